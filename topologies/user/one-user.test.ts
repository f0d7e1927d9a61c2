/** One user read from a changelog is the user that the task holds, whoever else stands there. */
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import {
  DAY,
  feedback,
  GAP,
  impression,
  MINUTE,
  namedItems,
  START,
  UserTask,
  watch,
} from '../../test/support/user-task.ts'
import { describeUser } from '../explain/describe.ts'
import { defaultFactors, parseCreatorWeights } from './creator-weights.ts'
import { OneUser } from './one-user.ts'

/** Ids that begin alike, and one whose first byte is the length of another. */
const userIds = ['u', 'u1', 'u11', 'u1\u0001', '\u0002u1', 'ü', `long${'x'.repeat(200)}`]

function readOne(task: UserTask, userId: string, items = namedItems()): OneUser {
  items.index('a decoy, so that indices differ')
  const user = new OneUser(userId, {
    items,
    gapMs: GAP,
    graceMs: DAY,
    repeatAfterMs: Number.POSITIVE_INFINITY,
    creatorWeights: parseCreatorWeights(defaultFactors),
  })
  for (const { records } of task.batches)
    for (const { key, value } of records) if (key !== null) user.take(key, value)
  return user
}

function busyTask(seed: number): UserTask {
  const task = new UserTask()
  const random = randomFrom(seed)
  const pick = (n: number) => Math.floor(random() * n)
  for (let k = 0; k < 1_500; k++) {
    const userId = userIds[pick(userIds.length - 1)]
    const ts = START + k * MINUTE
    const item = `i${pick(300)}`
    const kind = random()
    if (kind < 0.4) task.send(impression(userId, item, ts))
    else if (kind < 0.8)
      task.send(
        watch(userId, item, ts, `p${k}`, 40_000, random() < 0.5 ? { endReason: 'finished' } : {}),
      )
    else task.send(feedback(userId, item, ts, ['like', 'hide', 'follow', 'report'][pick(4)]))
    if (k % 40 === 0) {
      task.now += 11_000
      task.commit()
    }
  }
  task.now += 11_000
  task.commit()
  return task
}

describe('one user', () => {
  it.each([1, 2, 3])('is as the task holds it (seed %i)', seed => {
    const task = busyTask(seed)
    for (const userId of userIds.slice(0, -1)) {
      const items = namedItems()
      const user = readOne(task, userId, items).end()
      const held = task.users.get(userId)
      expect(held, userId).toBeDefined()
      expect(describeUser(user!, items)).toEqual(describeUser(held!, task.items))
    }
    expect(readOne(task, 'nobody').end()).toBeUndefined()
    expect(readOne(task, userIds.at(-1) as string).end()).toBeUndefined()
    expect(readOne(task, 'u1').watermark).toBe(task.users.watermark.at)
  })

  it('is gone after less consent, and the time is known', () => {
    const task = new UserTask()
    task.send(watch('u1', 'a', START, 'p1', 40_000))
    task.send(watch('u11', 'a', START, 'p2', 40_000))
    task.commit()
    task.send(impression('u1', 'a', START + MINUTE, { consent: 'none' }))
    task.commit()
    const user = readOne(task, 'u1')
    expect(user.end()).toBeUndefined()
    expect(user.withdrawnAt).toBe(START + MINUTE)
    expect(readOne(task, 'u11').end()?.positives.length).toBe(1)
    expect(readOne(task, 'u11').withdrawnAt).toBe(0)
  })
})

/** Users as a restore leaves them: what is superseded goes, what is damaged is refused, and nobody is put together unasked. */
import { describe, expect, it } from 'vitest'
import { HOUR, impression, MINUTE, START, UserTask, watch } from '../../test/support/user-task.ts'
import { USER_STORES } from './store-ids.ts'

const finished = { endReason: 'finished', durationMs: 60_000 }

/** Plays, sessions and lists enough that the user has rows of every kind. */
function manyRows(task: UserTask): void {
  for (let k = 0; k < 60; k++) {
    const ts = START + k * 20 * MINUTE + (k % 7 === 0 ? 45 * MINUTE : 0)
    task.send(impression('u', `i${k}`, ts, { requestId: `r${k}` }))
    task.send(watch('u', `i${k}`, ts + 1000, `p${k}`, 60_000, { ...finished, seq: 1 }))
    // rows of what was shown are soft: the open chunk is written again with each of these
    task.now += MINUTE
    if (k % 5 === 4) task.commit()
  }
  task.now += HOUR
  task.commit()
  // whoever stands in the last batch is asked for at once
  task.send(watch('later', 'a', START + 20 * HOUR, 'p', 1))
  task.commit()
}

/** All that can be seen of a user, as items' ids. */
function seen(task: UserTask) {
  const user = task.users.get('u')
  if (!user) return undefined
  const { state } = user
  const { startedAt, lastEventAt, impressions, watches, positives, watchedMs } = state.session
  const id = (item: number): string => task.items.idOf(item)
  return {
    session: { startedAt, lastEventAt, impressions, watches, positives, watchedMs },
    ends: [state.session.completes, state.session.skips, state.session.items.map(id)],
    older: (state.older ?? []).map(s => [s.startedAt, s.lastEventAt, s.watches, s.items.map(id)]),
    plays: state.plays.length,
    positives: Array.from({ length: state.length }, (_, k) => [id(state.item(k)), state.at(k)]),
    excluded: Array.from({ length: 60 }, (_, k) => user.excludes(task.items.index(`i${k}`))),
    doubles: [...(state.seen?.values ?? [])].sort((a, b) => a - b),
    shown: Array.from({ length: 60 }, (_, k) => state.last7d(task.items.index(`i${k}`), START)),
    times: [user.lastSeenAt, user.lastOffset, user.cohort, user.surface],
  }
}

describe('users after a restore', () => {
  it('are what they were, from all rows and from what compaction leaves', () => {
    const task = new UserTask()
    manyRows(task)
    const before = seen(task)
    for (const compacted of [false, true, true]) {
      task.restart(compacted)
      expect(seen(task)).toEqual(before)
    }
  })

  it('take no more memory for rows that were superseded', () => {
    const task = new UserTask()
    manyRows(task)
    const bytes = (compacted: boolean): number => {
      task.restart(compacted)
      return task.users.directory.arena.bytes
    }
    expect(bytes(false)).toBeGreaterThan(1000)
    expect(bytes(false)).toBe(bytes(true))
  })

  it('are gone with all rows where they were removed', () => {
    const task = new UserTask()
    manyRows(task)
    task.send({ ...impression('u', 'i0', START + 30 * HOUR), consent: 'none' })
    task.now += HOUR
    task.commit()
    task.restart()
    expect([...task.users.values()].map(({ id }) => id)).toEqual(['later'])
    expect(task.users.directory.arena.bytes).toBeLessThan(200)
  })

  it('are known by id, time and offset while they are bytes', () => {
    const task = new UserTask({ unpackedUsers: 0 })
    for (let n = 0; n < 10; n++) task.send(watch(`u${n}`, 'a', START + n * MINUTE, `p${n}`, 1))
    task.commit()
    task.send(watch('later', 'a', START + HOUR, 'p', 1))
    task.restart()
    const { users } = task
    const unpacked = users.memory.unpackedUsers
    const active = [...users.activeSince(START + 8 * MINUTE)].filter(id => id !== undefined)
    expect(active.sort()).toEqual(['later', 'u8', 'u9'])
    expect([...users.withOffsetFrom(9)].map(user => user.id).sort()).toEqual(['later', 'u9'])
    expect([...users.values()].map(user => user.id)).toHaveLength(11)
    expect(users.memory.unpackedUsers).toBe(unpacked)
  })

  it.each([
    ['is cut', (value: Buffer) => value.subarray(0, value.length - 9)],
    ['is too long', (value: Buffer) => Buffer.concat([value, Buffer.from([1])])],
    [
      'is of another layout',
      (value: Buffer) => Buffer.concat([Buffer.from([1]), value.subarray(1)]),
    ],
  ])('are refused with the address where a row %s', (_name, damage) => {
    const task = new UserTask()
    task.send(watch('u', 'a', START, 'p', 60_000, finished))
    task.commit()
    const [batch] = task.batches
    const at = batch.records.findIndex(({ key }) => key?.[0] === USER_STORES.users)
    const record = batch.records[at]
    batch.records[at] = { ...record, value: damage(record.value as Buffer) }
    expect(() => task.restart()).toThrow(`changelog-0@${record.offset}: row of users can't be read`)
  })
})

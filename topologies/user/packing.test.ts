/** Packing changes nothing: with every user packed after each commit, a task writes the same changelog to the byte. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DAY,
  feedback,
  HOUR,
  impression,
  type JsonEvent,
  MINUTE,
  START,
  UserTask,
  watch,
} from '../../test/support/user-task.ts'

const steps = fc
  .array(
    fc.record({
      user: fc.nat(2),
      kind: fc.constantFrom(
        'impression',
        'watch',
        'watch',
        'watch',
        'hide',
        'dislike',
        'like',
        'follow',
        'commit',
      ),
      item: fc.nat(200),
      play: fc.nat(4),
      seq: fc.nat(70),
      step: fc.constantFrom(1000, MINUTE, 20 * MINUTE, 2 * HOUR, 13 * HOUR),
      back: fc.constantFrom(0, 0, 0, 45 * MINUTE, 9 * HOUR, 3 * DAY),
      watched: fc.nat(90_000),
      end: fc.constantFrom('none', 'finished', 'left'),
    }),
    { maxLength: 80 },
  )
  .map(drafts => {
    let now = START
    return drafts.map((draft, k): JsonEvent | 'commit' => {
      now += draft.step
      const ts = now - draft.back
      const user = `u${draft.user}`
      const item = `i${draft.item}`
      const more = {
        eventId: `e${k}`,
        cohort: `c${k % 3}`,
        surface: draft.item % 2 ? 'home' : 'next',
      }
      if (draft.kind === 'commit') return 'commit'
      if (draft.kind === 'impression') return impression(user, item, ts, more)
      if (draft.kind !== 'watch') return feedback(user, item, ts, draft.kind, more)
      return watch(user, `i${draft.play * 60}`, ts, `p${draft.play}`, draft.watched, {
        ...more,
        seq: draft.seq,
        durationMs: 60_000,
        endReason: draft.end,
      })
    })
  })

/** The last record of each key of every commit: a row may stand twice in one commit. */
function rows(task: UserTask): Map<string, string | null>[] {
  return task.batches.map(
    ({ records }) =>
      new Map(
        records
          .filter(({ key }) => key?.[0] !== 0)
          .map(({ key, value }) => [
            String(key?.toString('latin1')),
            value?.toString('hex') ?? null,
          ]),
      ),
  )
}

describe('packed users', () => {
  it('write what unpacked ones write', () => {
    fc.assert(
      fc.property(steps, events => {
        const tasks = [new UserTask(), new UserTask({ unpackedUsers: 0 })]
        for (const event of events)
          for (const task of tasks) {
            task.now += 500
            if (event !== 'commit') task.send(event)
            else {
              task.tick()
              task.commit()
            }
          }
        for (const task of tasks) {
          task.now += HOUR
          task.commit()
        }
        expect(rows(tasks[1])).toEqual(rows(tasks[0]))
      }),
      { numRuns: 400 },
    )
  })

  it('are packed once nothing of them waits for a commit, and unpacked by whoever asks', () => {
    const task = new UserTask({ unpackedUsers: 0 })
    task.send(watch('u', 'a', START, 'p', 40_000, { cohort: 'c' }))
    task.users.packIdle()
    expect(task.users.memory).toEqual({ packedBytes: 0, unpackedUsers: 1 })
    task.commit()
    expect(task.users.memory).toEqual({ packedBytes: 72, unpackedUsers: 0 })
    const user = task.users.get('u')
    expect(user?.lastOffset).toBe(0)
    expect(task.users.memory.unpackedUsers).toBe(0)
    expect(user).toMatchObject({ cohort: 'c', surface: 'home', lastSeenAt: START })
    expect(user?.positives.length).toBe(1)
    expect(task.users.memory).toEqual({ packedBytes: 0, unpackedUsers: 1 })
  })
})

/** An old log, taken in at once: every event has a minute of its own, and commits stay small all the same (C1, C7). */
import { describe, expect, it } from 'vitest'
import { compose, Recommender } from '../support/recommender.ts'
import { MINUTE, START } from '../support/user-task.ts'

const composition = await compose({}, 'sessions,drift')
const events = 1_200
const mebibyte = 1024 * 1024

describe('an old log, taken in at once', () => {
  it('fills a commit by the windows that it changes, where they arrive too, and loses none', () => {
    let now = START
    const recommender = new Recommender({ composition, now: () => now })
    const user = recommender.users[0]
    const { statistics } = recommender
    for (let k = 0; k < events; k++)
      recommender.arrive(
        {
          type: 'watch',
          eventId: `e${k}`,
          userId: `u${k % 50}`,
          itemId: 'i',
          ts: START + k * 2 * MINUTE,
          playId: `p${k}`,
          watchedMs: 1_000 * (k % 40),
          durationMs: 100_000,
        },
        START + events * 2 * MINUTE,
      )
    let commits = 0
    for (let k = 0; k < events; k++) {
      user.take(1)
      // as the runtime does: input waits where a commit is full
      if (!user.core.full) continue
      recommender.commitUser(0)
      commits++
    }
    expect(commits).toBeGreaterThanOrEqual(2)
    recommender.commitUser(0)
    for (let k = 0; k < 3; k++) {
      recommender.commitStatistics()
      now += 12_000
    }
    const largest = Math.max(...statistics.batches.map(batch => sizeOf(batch.records)))
    expect(largest).toBeLessThan(2 * mebibyte)
    // the last windows are open still
    for (const k of [0, 1, 700, events - 3])
      expect(recommender.windowCount('feature:watched_ms', START + k * 2 * MINUTE)).toBe(1)
  })
})

function sizeOf(records: readonly { key: Buffer | null; value: Buffer | null }[]): number {
  return records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0)
}

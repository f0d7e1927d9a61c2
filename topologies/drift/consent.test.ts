import { expect, it } from 'vitest'
import { compose, Recommender } from '../../test/support/recommender.ts'
import { type JsonEvent, MINUTE, START } from '../../test/support/user-task.ts'

/** Rows of the store of plays on the user task's changelog. */
const plays = (recommender: Recommender): number =>
  [...recommender.users[0].rows().keys()].filter(key => Number.parseInt(key.slice(0, 2), 16) === 40)
    .length

it('plays of a user who gives less consent go from the changelog, those of others stay', async () => {
  const composition = await compose({}, 'sessions,drift')
  const recommender = new Recommender({ composition, now: () => START })
  const beat = (userId: string, at: number, consent: string): JsonEvent => ({
    type: 'watch',
    eventId: `${userId}-${at}`,
    userId,
    itemId: 'i',
    playId: `p-${userId}`,
    watchedMs: at,
    durationMs: 60_000,
    ts: START + at,
    consent,
  })
  for (const user of ['a', 'b']) recommender.arrive(beat(user, 1_000, 'full'), START + MINUTE)
  recommender.users[0].take()
  recommender.commitAll()
  expect(plays(recommender)).toBe(2)
  recommender.arrive(beat('a', 2_000, 'none'), START + MINUTE)
  recommender.users[0].take()
  recommender.commitAll()
  expect(plays(recommender)).toBe(1)
})

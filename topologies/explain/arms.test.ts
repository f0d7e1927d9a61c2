/** A list of a user whose arms change how it is drawn, explained. */
import { expect, it } from 'vitest'
import type { Experiment } from '../../schemas/index.ts'
import { ExperimentBook } from '../experiments/book.ts'
import { propensitiesOf } from '../topk/propensities.ts'
import { recommendersOfArms } from '../topk/recommend.ts'
import { now, optionsOf, seeds, userOf, worldOf } from './fakes.ts'
import { Listing } from './listing.ts'

const overrides = {
  'topk.temperature': '0.2',
  'topk.mmr': '0.7',
  'topk.creatorCap': '1',
  'topk.fatigue': 'false',
}
const rank7: Experiment = {
  experiment: 'rank7-b2',
  salt: '',
  arms: [
    { name: 'a', share: 1e-9, overrides: {} },
    { name: 'b', share: 1 - 1e-9, overrides },
  ],
  control: 'a',
  metrics: [],
  guardrails: {},
  start: 0,
  end: null,
}

it.each(seeds)(
  'is the one that a worker draws, and its p follow from the rules (world %i)',
  seed => {
    const options = optionsOf()
    const items = worldOf(seed)
    const user = userOf(seed)
    const book = new ExperimentBook({ 'explore.holdout': 0, 'explore.salt': '' })
    expect(book.apply('rank7-b2', rank7)).toEqual([])
    const arms = book.armsFor(user.id, now)
    const listing = new Listing({ options, items, arms }, user, now, 'home')
    const [worker] = recommendersOfArms(options, items, undefined, arms.overrides!, arms.tag)
    const subject = `${user.id} ${user.lastOffset}`
    worker.prepare(user, now, subject)
    const slate = worker.draw('home', subject)
    expect(listing.policy).toBe(worker.policy)
    expect(listing.policy).toMatch(/-pl@\d+\+rank7-b2\.b$/)
    expect(listing.experiments).toBe('{"rank7-b2":"b"}')
    expect(listing.rules).toMatchObject({ temperature: 0.2, mmr: 0.7, creatorCap: 1 })
    expect(listing.list.map(({ item }) => item)).toEqual(
      Array.from(slate.picked.subarray(0, slate.count), pick => worker.itemOf(pick)),
    )
    const again = propensitiesOf(listing.draw)
    listing.list.forEach(({ p }, k) => {
      expect(again[k]).toBeCloseTo(p, 9)
    })
  },
)

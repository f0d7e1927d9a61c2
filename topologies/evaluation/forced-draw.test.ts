/** Against `chancesAfter`, which shares no code with it, and against the drawer's own p. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { chancesAfter, type DrawnCandidate } from '../topk/propensities.ts'
import { EXPLORED, FRESH, Slate, type SlateRules, Traits } from '../topk/rules.ts'
import { SlateDrawer } from '../topk/slate.ts'
import { ForcedDraw } from './forced-draw.ts'

const d = 3

const candidate = fc.record({
  weight: fc.integer({ min: -3000, max: 3000 }).map(x => x / 1000),
  creator: fc.integer({ min: -1, max: 3 }),
  topic: fc.integer({ min: -1, max: 3 }),
  marks: fc.constantFrom(0, 1, 2, 3, FRESH, EXPLORED, 1 | FRESH, 2 | EXPLORED),
  vector: fc.constantFrom([1, 0, 0], [0, 1, 0], [0, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]),
})
const rules: fc.Arbitrary<SlateRules> = fc.record({
  size: fc.integer({ min: 1, max: 6 }),
  policy: fc.constantFrom('plackett-luce', 'epsilon'),
  temperature: fc.constantFrom(0, 0.1, 0.5, 1, 2),
  epsilon: fc.constantFrom(0, 0.05, 0.5),
  mmr: fc.constantFrom(0, 0.3, 1),
  mmrPositions: fc.integer({ min: 0, max: 4 }),
  creatorCap: fc.integer({ min: 0, max: 2 }),
  topicRun: fc.integer({ min: 0, max: 2 }),
  caps: fc.constantFrom([], [{ mark: 2, most: 1 }]),
  floors: fc.constantFrom([], [{ mark: 1, share: 0.5, after: 1 }]),
  fresh: fc.constantFrom(null, { atLeast: 1, ofFirst: 3 }),
  exploreMost: fc.constantFrom(0, 1, Number.POSITIVE_INFINITY),
  samples: fc.constant(1),
  rateWeight: fc.constant(0),
})

function traitsOf(candidates: readonly DrawnCandidate[]): Traits {
  const traits = new Traits(candidates.length, d)
  traits.count = candidates.length
  candidates.forEach(({ weight, creator, topic, marks, vector }, i) => {
    traits.logit[i] = weight
    traits.creator[i] = creator
    traits.topic[i] = topic
    traits.marks[i] = marks ?? 0
    traits.vectors.set(Float32Array.from(vector), i * d)
  })
  return traits
}

/** Vectors as a drawer has them: of 32 bits. */
const single = (given: DrawnCandidate): DrawnCandidate => ({
  ...given,
  vector: Float32Array.from(given.vector),
})

describe('a draw that is forced along a list', () => {
  it('finds the chances that are written out in propensities.ts', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { minLength: 1, maxLength: 9 }),
        rules,
        rules,
        fc.integer({ min: 1, max: 1e9 }),
        (given, logged, target, seed) => {
          const candidates = given.map(single)
          const traits = traitsOf(candidates)
          const slate = new Slate(logged.size)
          new SlateDrawer(logged, candidates.length).draw(traits, randomFrom(seed), slate)
          const picked = [...slate.picked.subarray(0, slate.count)]
          const forced = new ForcedDraw(candidates.length)
          const limits = { ...target, size: logged.size }
          forced.run(traits, limits, picked, picked.length, position => {
            const wanted = chancesAfter(picked.slice(0, position), candidates, limits)
            for (let i = 0; i < candidates.length; i++)
              expect(forced.chances[i]).toBeCloseTo(wanted.get(i) ?? 0, 9)
            // below an item that the target cannot show, nothing of it is asked any more
            return forced.chances[picked[position]] > 0
          })
          forced.run(traits, logged, picked, picked.length, position => {
            expect(forced.chances[picked[position]]).toBeCloseTo(slate.p[position], 9)
            return true
          })
        },
      ),
      { numRuns: 400 },
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BestOf } from './best-of.ts'
import { Ranking } from './ranking.ts'

const sorted = (scores: ReadonlyMap<number, number>): number[] =>
  [...scores].sort((a, b) => b[1] - a[1] || b[0] - a[0]).map(([index]) => index)

describe('a ranking', () => {
  it('equals a sort after any updates, up, down and out', () => {
    const update = fc.record({
      index: fc.nat(40),
      score: fc.oneof(fc.nat(8), fc.constant(Number.NaN)),
      look: fc.boolean(),
      n: fc.nat(8),
    })
    fc.assert(
      fc.property(fc.array(update, { maxLength: 200, size: 'max' }), updates => {
        // ties: the larger index first, to tell it from an accident
        const ranking = new Ranking(8, (a, b) => a > b)
        const scores = new Map<number, number>()
        for (const { index, score, look, n } of updates) {
          ranking.update(index, score)
          if (Number.isNaN(score)) scores.delete(index)
          else scores.set(index, score)
          if (look) expect(ranking.best(n)).toEqual(sorted(scores).slice(0, n))
        }
        expect(ranking.best(50)).toEqual(sorted(scores))
      }),
      { numRuns: 300 },
    )
  })
})

describe('the best of many', () => {
  it('equals a sort; equal scores by index', () => {
    const best = new BestOf()
    fc.assert(
      fc.property(
        fc.array(fc.nat(20), { maxLength: 300, size: 'max' }),
        fc.nat(90),
        (scores, n) => {
          best.reset(n)
          for (const [index, score] of scores.entries()) best.offer(index, score)
          const expected = scores
            .map((score, index) => ({ score, index }))
            .sort((a, b) => b.score - a.score || a.index - b.index)
            .slice(0, n)
          expect(best.take()).toEqual(expected.map(({ index }) => index))
        },
      ),
    )
  })
})

import { expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { BestOf } from './best-of.ts'
import { VectorScan } from './vector-scan.ts'

/** The definition: all dot products, sorted. */
function best(
  query: Float32Array,
  vectors: ReadonlyMap<number, Float32Array>,
  n: number,
): { index: number; score: number }[] {
  return [...vectors]
    .map(([index, v]) => ({ index, score: v.reduce((sum, x, k) => sum + x * query[k], 0) }))
    .sort((a, b) => b.score - a.score)
    .slice(0, n)
}

it.each([4, 12, 32])(
  'finds the best of %i numbers that a sort of all products finds, while vectors come, move and go',
  d => {
    const random = randomFrom(d)
    const size = 3_000
    const all = new Float32Array(size * d)
    const scan = new VectorScan(d)
    const present = new Map<number, Float32Array>()
    const found = new BestOf()
    for (let step = 0; step < 9_000; step++) {
      const index = Math.floor(random() * size)
      if (random() < 0.3) {
        scan.remove(index)
        present.delete(index)
      } else {
        for (let k = 0; k < d; k++) all[index * d + k] = random() - 0.5
        scan.set(index, all)
        present.set(index, all.slice(index * d, (index + 1) * d))
      }
      if (step % 500 !== 0) continue
      expect(scan.size).toBe(present.size)
      const query = Float32Array.from({ length: d }, () => random() - 0.5)
      for (const n of [1, 60, present.size + 1]) {
        found.reset(n)
        scan.offer(query, found)
        const expected = best(query, present, n)
        const scores = found
          .take()
          .map(i => best(query, new Map([[i, present.get(i)!]]), 1)[0].score)
        expect(scores.length).toBe(expected.length)
        // products closer than float32 can tell may change places
        scores.forEach((score, k) => {
          expect(score).toBeCloseTo(expected[k].score, 6)
        })
      }
    }
  },
)

it('gives the smaller index of two equal ones, nothing for what is not a number, and nothing once it is empty', () => {
  const scan = new VectorScan(4)
  const vectors = new Float32Array(40).fill(0.5)
  vectors[4 * 3] = Number.NaN
  for (const index of [9, 3, 7, 2]) scan.set(index, vectors)
  const found = new BestOf()
  const search = (n: number): number[] => {
    found.reset(n)
    scan.offer(Float32Array.of(1, 2, 3, 4), found)
    return found.take()
  }
  expect(search(2)).toEqual([2, 7])
  expect(search(9)).toEqual([2, 7, 9])
  expect(search(0)).toEqual([])
  scan.remove(5)
  scan.clear()
  expect(search(2)).toEqual([])
  scan.set(9, vectors)
  expect(search(2)).toEqual([9])
})

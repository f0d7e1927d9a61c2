import { describe, expect, it } from 'vitest'
import { coverage } from '../../test/quality/intervals.ts'
import { concentration } from './concentration.ts'
import { ratioOf } from './interval.ts'

describe('the interval of a ratio', () => {
  it.each([1, 5, 20])('holds the truth where %i impressions of a user are alike', perUser => {
    const { covered, naive } = coverage(perUser, 1000)
    expect(covered).toBeGreaterThan(0.93)
    expect(covered).toBeLessThan(0.97)
    if (perUser >= 5) expect(naive).toBeLessThan(0.9)
  })

  it('is none without two users, without a difference, and of nothing', () => {
    const of = (a: readonly number[], b: readonly number[]) =>
      ratioOf(
        b.length,
        g => a[g],
        g => b[g],
        1,
        true,
      )
    expect(of([1, 0], [4, 0])).toEqual({ value: 0.25, low: null, high: null, n: 4 })
    expect(of([0, 0], [4, 2])).toEqual({ value: 0, low: null, high: null, n: 6 })
    expect(of([0, 0], [0, 0])).toEqual({ value: null, low: null, high: null, n: 0 })
  })
})

describe('concentration', () => {
  it('is 0 where all are alike, and (n - 1) / n where one has all', () => {
    expect(concentration([3, 3, 3, 3])).toEqual({ gini: 0, topShare: 0.25, impressions: 12 })
    // the mean difference between two, by twice the mean
    const counts = [1, 2, 7, 30]
    const n = counts.length
    let differences = 0
    for (const a of counts) for (const b of counts) differences += Math.abs(a - b)
    expect(concentration(counts)?.gini).toBeCloseTo(differences / (2 * n * 40), 12)
    expect(concentration([])).toBeNull()
  })
})

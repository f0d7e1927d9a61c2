import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runPython } from '../../test/support/python.ts'
import { overlapAt, rboExt } from './rbo.ts'

const letters = (text: string): string[] => [...text]

/** Two lists over few items, of uneven lengths. */
const ranking = fc.uniqueArray(fc.integer({ min: 0, max: 30 }).map(String), {
  minLength: 1,
  maxLength: 25,
})
const persistence = fc.constantFrom(0.5, 0.8, 0.9, 0.95, 0.98)

/**
 * RBO by its definition, cut where p^d is nothing: agreement at depth d is overlap / d as far as it was seen; unseen ranks of the
 * shorter list hold shared items as often as its seen ones (X_s / s), and behind the longer list agreement stays.
 */
function byDefinition(one: readonly string[], other: readonly string[], p: number): number {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one]
  const s = short.length
  const l = long.length
  const overlap = (d: number): number =>
    short.slice(0, d).filter(item => long.slice(0, d).includes(item)).length
  const agreement = (d: number): number => {
    if (d <= s) return overlap(d) / d
    const rate = overlap(s) / s
    if (d <= l) return (overlap(d) + rate * (d - s)) / d
    return (overlap(l) - overlap(s)) / l + rate
  }
  let sum = 0
  for (let d = 1; d <= l; d++) sum += agreement(d) * p ** (d - 1)
  // from there on agreement is the same
  for (let d = l + 1; d <= 4_000; d++) sum += agreement(l + 1) * p ** (d - 1)
  return (1 - p) * sum
}

describe('RBO_ext', () => {
  it('is the sum of its definition, for uneven lists too', () => {
    fc.assert(
      fc.property(ranking, ranking, persistence, (one, other, p) => {
        expect(rboExt(one, other, p)).toBeCloseTo(byDefinition(one, other, p), 9)
      }),
      { numRuns: 300 },
    )
  })

  it('is symmetric, within 0 and 1, 1 for equal lists, 0 for lists that share nothing', () => {
    fc.assert(
      fc.property(ranking, ranking, persistence, (one, other, p) => {
        const value = rboExt(one, other, p)
        expect(value).toBeCloseTo(rboExt(other, one, p), 12)
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThanOrEqual(1)
        expect(rboExt(one, one, p)).toBeCloseTo(1, 12)
        expect(
          rboExt(
            one,
            other.map(item => `other ${item}`),
            p,
          ),
        ).toBe(0)
      }),
    )
  })

  it('never sinks where the other list goes on with what is shared', () => {
    expect(rboExt(letters('abc'), letters('abcdefgh'))).toBeCloseTo(1, 12)
    expect(rboExt([], [])).toBe(1)
    expect(rboExt([], ['a'])).toBe(0)
    expect(rboExt(['a', 'a', 'b'], ['a', 'b'])).toBeCloseTo(1, 12)
  })

  it('weighs the top: a swap above costs more than one below', () => {
    const list = letters('abcdefghij')
    const above = rboExt(list, letters('bacdefghij'))
    const below = rboExt(list, letters('abcdefghji'))
    expect(below).toBeGreaterThan(above)
    // only depth 1 disagrees: (1 - p) is lost
    expect(above).toBeCloseTo(1 - 0.1, 12)
  })

  it('says what the Python package rbo says', () => {
    const pairs = fc.sample(fc.tuple(ranking, ranking, persistence), { numRuns: 120, seed: 7 })
    const script = [
      'import json, sys',
      'from rbo import RankingSimilarity',
      'print(json.dumps([RankingSimilarity(a, b).rbo_ext(p) for a, b, p in json.load(sys.stdin)]))',
    ].join('\n')
    const theirs = runPython(script, pairs, ['rbo==0.1.3']) as number[]
    for (const [k, [one, other, p]] of pairs.entries())
      expect(rboExt(one, other, p), JSON.stringify([one, other, p])).toBeCloseTo(theirs[k], 9)
  }, 300_000)
})

it('overlap@k counts what both show, by the longer list', () => {
  expect(overlapAt(letters('abcd'), letters('badx'), 2)).toBe(1)
  expect(overlapAt(letters('abcd'), letters('badx'), 4)).toBe(0.75)
  expect(overlapAt(letters('ab'), letters('abcdefghijk'), 10)).toBe(0.2)
  expect(overlapAt([], [], 10)).toBe(1)
})

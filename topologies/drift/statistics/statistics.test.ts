import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../../streams/serde/hash.ts'
import { chi2 } from './chi2.ts'
import { type DesignEffect, designEffect } from './design-effect.ts'
import { groupBins, groupNames } from './grouping.ts'
import { js } from './js.ts'
import { kl } from './kl.ts'
import { ksD, ksP } from './ks.ts'
import { psi } from './psi.ts'
import { pseudocount, shares, total } from './shares.ts'
import {
  betaI,
  chi2Survival,
  fSurvival,
  fUpperQuantile,
  kolmogorovSurvival,
  logGamma,
} from './special.ts'
import { psiThreshold } from './threshold.ts'
import { w1 } from './w1.ts'

const close = (value: number, expected: number, relative = 1e-9) =>
  expect(Math.abs(value - expected)).toBeLessThanOrEqual(
    relative * Math.max(1e-300, Math.abs(expected)),
  )

/** The samples that published figures of the well-known tools were computed on. */
const reference = Array.from({ length: 2000 }, (_, i) => ((7919 * i) % 10007) / 10007)
const current = Array.from({ length: 1500 }, (_, i) => 0.1 + (1.1 * ((104729 * i) % 10007)) / 10007)
const published = {
  evidently: { psi: 1.7778937921843383, kl: 0.7055753245823743, js: 0.30296815617044726 },
  ksD: 0.18316666666666667,
  phoenixPsi: 0.48758709507753895,
}

function histogram(values: readonly number[], upper: readonly number[]): number[] {
  const counts = new Array<number>(upper.length + 1).fill(0)
  for (const value of values) counts[upper.filter(edge => edge <= value).length]++
  return counts
}

describe('special functions', () => {
  it('equal closed forms', () => {
    close(Math.exp(logGamma(5)), 24, 1e-12)
    close(Math.exp(logGamma(0.5)), Math.sqrt(Math.PI), 1e-12)
    for (const x of [0.01, 0.7, 3, 11, 60]) {
      close(chi2Survival(x, 2), Math.exp(-x / 2), 1e-12)
      close(chi2Survival(x, 4), Math.exp(-x / 2) * (1 + x / 2), 1e-12)
      // F(2, v): (1 + 2x/v)^(-v/2)
      close(fSurvival(x, 2, 7), (1 + (2 * x) / 7) ** -3.5, 1e-11)
    }
    // I_x(2, 3) = 6x^2 - 8x^3 + 3x^4
    for (const x of [0.1, 0.5, 0.9])
      close(betaI(x, 2, 3), 6 * x ** 2 - 8 * x ** 3 + 3 * x ** 4, 1e-12)
  })
  it('equal table values', () => {
    close(chi2Survival(3.841458820694124, 1), 0.05, 1e-10)
    close(chi2Survival(16.918977604620448, 9), 0.05, 1e-10)
    close(fUpperQuantile(0.05, 5, 10), 3.325834529923155, 1e-9)
    // the closed form of F(2, v) turned round
    close(fUpperQuantile(0.01, 2, 30), 15 * (0.01 ** (-1 / 15) - 1), 1e-9)
    close(kolmogorovSurvival(1.3580986393225505), 0.05, 1e-9)
    close(kolmogorovSurvival(1.6276236115189504), 0.01, 1e-9)
    close(kolmogorovSurvival(0.8275735551899077), 0.5, 1e-9)
  })
  it('kolmogorov: both series agree where they meet', () => {
    close(kolmogorovSurvival(0.5 - 1e-12), kolmogorovSurvival(0.5), 1e-9)
  })
})

describe('against published figures', () => {
  // numpy's 'sturges' bins on both samples together, a side's zeros raised to 1e-4
  const pooled = [...reference, ...current]
  const low = Math.min(...pooled)
  const high = Math.max(...pooled)
  const bins = Math.ceil(Math.log2(pooled.length) + 1)
  const inner = Array.from({ length: bins - 1 }, (_, i) => low + ((high - low) * (i + 1)) / bins)
  const r = histogram(reference, inner).map(count => count / reference.length)
  const c = histogram(current, inner).map(count => count / current.length)
  const filled = (s: number[]) => s.map(x => (x === 0 ? 1e-4 : x))

  it('psi, kl and js', () => {
    close(psi(filled(r), filled(c)), published.evidently.psi)
    close(js(r, c), published.evidently.js)
    close(psi(filled(r), filled(c)), kl(filled(r), filled(c)) + kl(filled(c), filled(r)))
    close(kl(shares(filled(r)), shares(filled(c))), published.evidently.kl)
  })
  it("phoenix' psi: reference deciles, pseudocount 1", () => {
    const sorted = [...reference].sort((a, b) => a - b)
    const decile = (q: number) => {
      const at = q * (sorted.length - 1)
      const below = Math.floor(at)
      return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below])
    }
    const edges = Array.from({ length: 9 }, (_, i) => decile((i + 1) / 10))
    const value = psi(shares(histogram(reference, edges), 1), shares(histogram(current, edges), 1))
    close(value, published.phoenixPsi, 1e-2)
  })
  it('ks: exact where each value has a bin', () => {
    const edges = [...new Set(pooled)].sort((a, b) => a - b)
    const index = new Map(edges.map((edge, i) => [edge, i]))
    const count = (values: number[]) => {
      const counts = new Float64Array(edges.length)
      for (const value of values) counts[index.get(value) as number]++
      return counts
    }
    close(ksD(count(reference), count(current)), published.ksD)
  })
})

describe('distances', () => {
  it('closed forms on two groups', () => {
    close(psi([0.5, 0.5], [0.9, 0.1]), 0.4 * Math.log(9))
    close(js([1, 0], [0, 1], 2), 1)
    const test = chi2([50, 50], [60, 40])
    close(test.statistic, 200 / 99)
    expect(test.df).toBe(1)
    close(ksP(0, 10, 10), 1)
  })
  it('w1: a shift by one bin is one width; mass is conserved whatever the widths', () => {
    close(w1([0, 10, 0, 0], [0, 0, 5, 0], [0, 2, 4]), 2)
    close(w1([0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 1, 3, 4]), 3)
    expect(w1([3, 3, 3], [1, 1, 1], [0, 1])).toBe(0)
  })
  it('are 0 for the same counts, symmetric where they should be, never NaN', () => {
    const counts = fc.array(fc.nat(500), { minLength: 2, maxLength: 20 })
    fc.assert(
      fc.property(counts, counts, (a, b) => {
        const x = a.slice(0, Math.min(a.length, b.length))
        const y = b.slice(0, x.length)
        const p = shares(x, pseudocount)
        const q = shares(y, pseudocount)
        expect(psi(p, p)).toBe(0)
        expect(psi(p, q)).toBeCloseTo(psi(q, p), 12)
        expect(js(p, q)).toBeCloseTo(js(q, p), 12)
        expect(psi(p, q)).toBeGreaterThanOrEqual(0)
        expect(8 * js(p, q) ** 2).toBeLessThanOrEqual(psi(p, q) + 1e-12)
      }),
    )
  })
})

describe('grouping', () => {
  it('keeps every bin, in order, and groups hold enough', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { minLength: 2, maxLength: 60 }), counts => {
        const starts = groupBins(counts)
        expect(starts[0]).toBe(0)
        expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b))
        expect(starts.length).toBeGreaterThanOrEqual(2)
        if (starts.length > 3) {
          const n = total(counts)
          const sizes = starts.map((from, i) => total(counts.slice(from, starts[i + 1])))
          for (const size of sizes) expect(size).toBeGreaterThanOrEqual(0.05 * n)
        }
      }),
    )
  })
  it('a constant keeps room on both sides', () => {
    expect(groupBins([0, 0, 100, 0, 0])).toEqual([0, 2, 3])
    expect(groupBins([100, 0])).toEqual([0, 1])
    expect(groupBins([0, 100])).toEqual([0, 1])
  })
  it('categories by frequency, the rare ones together', () => {
    expect(groupNames(['a', 'b', 'c', 'd'], [10, 80, 9, 1])).toEqual(['b', 'a', 'c'])
  })
})

/** Histograms of `users` users with `perUser` rows each; a user's rows lie around a place of the user's own. */
function clustered(random: () => number, users: number, perUser: number, spread: number) {
  const shards = Array.from({ length: 16 }, () => new Float64Array(10))
  for (let u = 0; u < users; u++) {
    const place = random()
    const shard = shards[Math.floor(random() * 16)]
    for (let e = 0; e < perUser; e++) {
      const x = spread === 1 ? random() : place + spread * (random() - 0.5)
      shard[Math.floor((((x % 1) + 1) % 1) * 10)]++
    }
  }
  return shards
}

const sumOf = (shards: readonly Float64Array[]) =>
  shards[0].map((_, b) => shards.reduce((sum, shard) => sum + shard[b], 0))

/** Share of quiet windows above the threshold, against a reference of five windows. */
function firing(alpha: number, perUser: number, spread: number, scaled: boolean): number {
  const random = randomFrom(77)
  let fired = 0
  const windows = 2000
  for (let w = 0; w < windows; w++) {
    const r = clustered(random, 1000, perUser, spread)
    const c = clustered(random, 200, perUser, spread)
    const value = psi(shares(sumOf(r), pseudocount), shares(sumOf(c), pseudocount))
    const side = (shards: Float64Array[]) => ({
      counts: sumOf(shards),
      design: (scaled && designEffect(shards)) || { effect: 1, df: 9, shards: 1e6 },
    })
    if (value > psiThreshold(alpha, side(r), side(c))) fired++
  }
  return fired / windows
}

describe('null-calibrated threshold', () => {
  it('independent rows: fires at the declared rate', () => {
    const rate = firing(0.05, 1, 1, true)
    expect(rate).toBeLessThan(0.065)
    expect(rate).toBeGreaterThan(0.035)
    expect(firing(0.05, 1, 1, false)).toBeGreaterThan(0.035)
  })
  it('20 alike rows a user: fires beyond half without the design effect, at the declared rate with it', () => {
    expect(firing(0.05, 20, 0.5, false)).toBeGreaterThan(0.5)
    const rate = firing(0.05, 20, 0.5, true)
    expect(rate).toBeLessThan(0.075)
    expect(rate).toBeGreaterThan(0.02)
    expect(firing(0.001, 20, 0.5, true)).toBeLessThan(0.005)
  })
  it('stands where there is one group, or nearly all rows are in one', () => {
    const sideOf = (rows: readonly number[]) => {
      const shards = Array.from({ length: 16 }, () => Float64Array.from(rows))
      return { counts: sumOf(shards), design: designEffect(shards) as DesignEffect }
    }
    for (const rows of [[3], [0, 3, 0], [0, 1000, 1]])
      for (const others of [rows, rows.map(count => count * 40)]) {
        const threshold = psiThreshold(0.001, sideOf(rows), sideOf(others))
        expect(threshold).toBeGreaterThan(0)
        expect(threshold).toBeLessThan(5)
      }
  })
  it('refuses where too few shards hold rows', () => {
    const shards = Array.from({ length: 16 }, (_, s) => [s < 5 ? 10 : 0, s < 5 ? 5 : 0])
    expect(designEffect(shards)).toBeNull()
  })
})

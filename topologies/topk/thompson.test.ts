import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { Slate, type SlateRules, Traits } from './rules.ts'
import { SlateDrawer } from './slate.ts'
import { RateSamples } from './thompson.ts'

const rules: SlateRules = {
  size: 1,
  policy: 'thompson',
  temperature: 0,
  epsilon: 0,
  mmr: 0,
  mmrPositions: 0,
  creatorCap: 0,
  topicRun: 0,
  caps: [],
  floors: [],
  fresh: null,
  exploreMost: Number.POSITIVE_INFINITY,
  samples: 8,
  rateWeight: 1,
}

/** Posteriors of a few items; the logit is the log-odds of the mean, as draw.ts gives it. */
function traitsOf(posteriors: readonly (readonly [number, number])[]): Traits {
  const traits = new Traits(posteriors.length, 1)
  traits.count = posteriors.length
  posteriors.forEach(([a, b], i) => {
    traits.alpha[i] = a
    traits.beta[i] = b
    traits.logit[i] = Math.log(a / b)
    traits.creator[i] = -1
    traits.topic[i] = -1
  })
  return traits
}

/** Chance that each item has the highest rate, by integrating density x the others' distribution on a grid. */
function chanceOfBest(posteriors: readonly (readonly [number, number])[]): number[] {
  const steps = 20_000
  const tables = posteriors.map(([a, b]) => {
    const density = Array.from({ length: steps }, (_, k) => {
      const x = (k + 0.5) / steps
      return x ** (a - 1) * (1 - x) ** (b - 1)
    })
    const sum = density.reduce((s, y) => s + y, 0)
    let below = 0
    return density.map(y => {
      const own = y / sum
      below += own
      return { own, below: below - own / 2 }
    })
  })
  return tables.map((table, i) =>
    table.reduce(
      (sum, { own }, k) =>
        sum + own * tables.reduce((p, other, j) => (j === i ? p : p * other[k].below), 1),
      0,
    ),
  )
}

const posteriors = [
  [3, 17],
  [1, 9],
  [0.5, 4],
  [12, 88],
] as const

describe('thompson sampling', () => {
  it('picks each item as often as it is likely to be the best: 200,000 draws against an integral', () => {
    const traits = traitsOf(posteriors)
    const slate = new Slate(1)
    const drawer = new SlateDrawer(rules, posteriors.length)
    const random = randomFrom(3)
    const draws = 200_000
    const picks = posteriors.map(() => 0)
    const sumOfWeights = posteriors.map(() => 0)
    for (let n = 0; n < draws; n++) {
      drawer.draw(traits, random, slate)
      picks[slate.picked[0]]++
      sumOfWeights[slate.picked[0]] += 1 / slate.p[0]
    }
    const best = chanceOfBest(posteriors)
    expect(best.reduce((a, b) => a + b)).toBeCloseTo(1, 3)
    const { samples } = rules
    best.forEach((chance, i) => {
      const expected = (samples * chance + 1 / posteriors.length) / (samples + 1)
      const error = Math.sqrt((expected * (1 - expected)) / draws)
      expect(Math.abs(picks[i] / draws - expected)).toBeLessThan(4.5 * error)
      // p is exact given the samples: the mean of 1 / p over the draws that picked an item is 1
      expect(sumOfWeights[i] / draws).toBeGreaterThan(0.97)
      expect(sumOfWeights[i] / draws).toBeLessThan(1.03)
    })
  })

  it('has p = (hits + 1 / allowed) / (M + 1), counted again', () => {
    const traits = traitsOf(posteriors)
    const samples = 16
    const value = Float64Array.from(traits.logit)
    const open = Uint8Array.from([1, 0, 1, 1])
    const counted = new Map<number, { p: number; n: number }>()
    const one = new RateSamples(samples, 4)
    one.draw(traits, 1, randomFrom(11))
    const random = randomFrom(12)
    const draws = 40_000
    for (let n = 0; n < draws; n++) {
      const { pick, p } = one.pick(value, open, 4, 3, random)
      const at = counted.get(pick) ?? { p, n: 0 }
      expect(p).toBe(at.p)
      counted.set(pick, { p, n: at.n + 1 })
    }
    expect(counted.has(1)).toBe(false)
    let sum = 0
    for (const { p, n } of counted.values()) {
      const hits = p * (samples + 1) - 1 / 3
      expect(hits).toBeCloseTo(Math.round(hits), 9)
      expect(Math.abs(n / draws - p)).toBeLessThan(4.5 * Math.sqrt((p * (1 - p)) / draws))
      sum += p
    }
    expect(sum).toBeCloseTo(1, 9)
  })

  it('samples log-odds with the mean and spread of the Beta, for small and large counts', () => {
    // Var of the logit of a Beta: trigamma(a) + trigamma(b), by their series
    const trigamma = (x: number): number =>
      x < 12 ? 1 / (x * x) + trigamma(x + 1) : 1 / x + 1 / (2 * x * x) + 1 / (6 * x ** 3)
    const digamma = (x: number): number =>
      x < 12 ? digamma(x + 1) - 1 / x : Math.log(x) - 1 / (2 * x) - 1 / (12 * x * x)
    for (const [a, b] of [
      [0.3, 2],
      [1, 19],
      [40, 900],
      [1, 1e6],
    ] as const) {
      const samples = 40_000
      const one = new RateSamples(samples, 1)
      one.draw(traitsOf([[a, b]]), 1, randomFrom(5))
      const shifts = Array.from(one.shift, x => x + Math.log(a / b))
      const mean = shifts.reduce((s, x) => s + x, 0) / samples
      const variance = shifts.reduce((s, x) => s + (x - mean) ** 2, 0) / samples
      const spread = trigamma(a) + trigamma(b)
      expect(mean).toBeCloseTo(digamma(a) - digamma(b), 1)
      expect(variance / spread).toBeGreaterThan(0.93)
      expect(variance / spread).toBeLessThan(1.07)
    }
  })
})

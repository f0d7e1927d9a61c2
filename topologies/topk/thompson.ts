/**
 * Thompson sampling over the positives per impression: chance in proportion to how likely an item is the best, given how
 * little is known of it (Thompson 1933; Chapelle and Li 2011).
 *
 * For each list M samples of every candidate's rate are drawn from its Beta posterior. At a position one of M + 1 decides,
 * all equally likely: a sample, whose best allowed candidate is picked, or a uniform pick among the allowed. So
 *
 *   p = (hits + 1 / allowed) / (M + 1), hits = samples whose best allowed candidate it is,
 *
 * is the exact chance given the samples, is never 0, and its mean over the samples is the policy's own propensity: p in a
 * list is an unbiased Monte Carlo estimate of that, with M re-draws. Weights by 1 / p are unbiased, since the samples know
 * nothing of what will be watched.
 *
 * Hot: M x candidates Beta samples a list (some 110 ns each, so ~ .8 ms at 64 x 110), M x allowed comparisons a position.
 */
import type { Traits } from './rules.ts'

export class RateSamples {
  /** By sample x capacity: how far the sampled rate lies above the expected one, as weighted log-odds. */
  readonly shift: Float64Array
  private readonly hits: Float64Array
  private readonly capacity: number
  private readonly samples: number

  constructor(samples: number, capacity: number) {
    this.samples = samples
    this.capacity = capacity
    this.shift = new Float64Array(samples * capacity)
    this.hits = new Float64Array(capacity)
  }

  draw(traits: Traits, weight: number, random: () => number): void {
    const { shift, capacity, samples } = this
    const { alpha, beta, count } = traits
    for (let i = 0; i < count; i++) {
      const expected = Math.log(alpha[i] / beta[i])
      for (let m = 0; m < samples; m++)
        shift[m * capacity + i] = weight * (betaLogOdds(alpha[i], beta[i], random) - expected)
    }
  }

  /**
   * Picks one of the `allowed` candidates (those with `isAllowed`), of which `best` has the largest value, and gives p.
   * @param value logits by candidate, at the expected rates and after penalties.
   */
  pick(
    value: Float64Array,
    isAllowed: Uint8Array,
    count: number,
    allowed: number,
    random: () => number,
  ): { pick: number; p: number } {
    const { samples, capacity, shift, hits } = this
    hits.fill(0, 0, count)
    const decides = Math.floor(random() * (samples + 1))
    let pick = -1
    for (let m = 0; m < samples; m++) {
      let best = -1
      let most = Number.NEGATIVE_INFINITY
      for (let i = 0, at = m * capacity; i < count; i++, at++) {
        if (isAllowed[i] === 0) continue
        const sampled = value[i] + shift[at]
        if (best === -1 || sampled > most) {
          best = i
          most = sampled
        }
      }
      hits[best]++
      if (m === decides) pick = best
    }
    if (pick === -1) {
      let skip = Math.floor(random() * allowed)
      for (let i = 0; pick === -1; i++) if (isAllowed[i] === 1 && skip-- === 0) pick = i
    }
    return { pick, p: (hits[pick] + 1 / allowed) / (samples + 1) }
  }
}

/** Log-odds of a sample from Beta(alpha, beta): the ratio of two gammas, which never underflows as a difference of logs. */
function betaLogOdds(alpha: number, beta: number, random: () => number): number {
  return logGammaSample(alpha, random) - logGammaSample(beta, random)
}

/** Logarithm of a sample from Gamma(shape, 1), shape > 0: Marsaglia and Tsang (2000), below 1 by shape + 1. */
function logGammaSample(shape: number, random: () => number): number {
  if (shape < 1) return logGammaSample(shape + 1, random) + Math.log(positive(random)) / shape
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = normal(random)
    const root = 1 + c * x
    if (root <= 0) continue
    const v = root * root * root
    const u = positive(random)
    if (Math.log(u) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d * v)
  }
}

/** Box and Muller's, without the second of the pair. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(positive(random))) * Math.cos(2 * Math.PI * random())
}

const positive = (random: () => number): number => 1 - random()

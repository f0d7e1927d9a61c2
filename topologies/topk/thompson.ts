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
 * Hot: M x candidates Beta samples a list (some 200 ns each) and M x allowed comparisons a position: 1.2 ms at 32 x 110.
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
    const gammas = new Gammas(random)
    for (let i = 0; i < count; i++) {
      const expected = Math.log(alpha[i] / beta[i])
      for (let m = 0; m < samples; m++)
        shift[m * capacity + i] = weight * (gammas.betaLogOdds(alpha[i], beta[i]) - expected)
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

/** Samples of gammas; normals come in pairs, of which the second is kept for the next. */
class Gammas {
  private readonly random: () => number
  private spare = Number.NaN

  constructor(random: () => number) {
    this.random = random
  }

  /** Log-odds of a sample from Beta(alpha, beta): the logarithm of the ratio of two gammas. */
  betaLogOdds(alpha: number, beta: number): number {
    if (alpha >= 1 && beta >= 1) return Math.log(this.sample(alpha) / this.sample(beta))
    return this.logSample(alpha) - this.logSample(beta)
  }

  /** Below 1 by way of shape + 1, as logarithms, which do not underflow. */
  private logSample(shape: number): number {
    if (shape >= 1) return Math.log(this.sample(shape))
    return Math.log(this.sample(shape + 1)) + Math.log(1 - this.random()) / shape
  }

  /** From Gamma(shape, 1), shape >= 1: Marsaglia and Tsang (2000). */
  private sample(shape: number): number {
    const d = shape - 1 / 3
    const c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const x = this.normal()
      const root = 1 + c * x
      if (root <= 0) continue
      const v = root * root * root
      const u = 1 - this.random()
      const square = x * x
      // the squeeze takes most without a logarithm
      if (u < 1 - 0.0331 * square * square) return d * v
      if (Math.log(u) < 0.5 * square + d * (1 - v + Math.log(v))) return d * v
    }
  }

  /** Box and Muller's. */
  private normal(): number {
    const { spare } = this
    if (!Number.isNaN(spare)) {
      this.spare = Number.NaN
      return spare
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.random()))
    const angle = 2 * Math.PI * this.random()
    this.spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
}

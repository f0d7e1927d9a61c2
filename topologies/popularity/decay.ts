/**
 * Exponentially decayed counts. Decay is the same for all, so two counts keep their order while no event comes: the rank
 * is by log2(count) + time / half-life, which is comparable between items whatever "now" is.
 */

/** .1, 1, 12, 96 and 720 h: the one configuration that was measured good on three public logs of films and news. */
export const halfLivesMs: readonly number[] = [0.1, 1, 12, 96, 720].map(hours => hours * 3_600_000)

/** A count of `value` as of `at`, seen at `now`; units of `at`, `now` and `halfLife` alike. */
function decayedTo(value: number, at: number, now: number, halfLife: number): number {
  return value === 0 ? 0 : value * 2 ** ((at - now) / halfLife)
}

/** Orders decayed counts at any common time; NaN for none. */
export function logScore(value: number, at: number, halfLife: number): number {
  return value > 0 ? Math.log2(value) + at / halfLife : Number.NaN
}

/** Sums of many decayed counts, one a half-life. A count that changes is taken out as it was and put in as it is. */
export class DecayedSums {
  private readonly halfLives: readonly number[]
  private readonly values: Float64Array
  private readonly ats: Float64Array

  constructor(halfLives: readonly number[]) {
    this.halfLives = halfLives
    this.values = new Float64Array(halfLives.length)
    this.ats = new Float64Array(halfLives.length)
  }

  /** Adds a count of `value` as of `at`. */
  add(h: number, value: number, at: number): void {
    if (value === 0) return
    if (at > this.ats[h]) {
      this.values[h] = decayedTo(this.values[h], this.ats[h], at, this.halfLives[h])
      this.ats[h] = at
    }
    this.values[h] += decayedTo(value, at, this.ats[h], this.halfLives[h])
  }

  /** The sum as of `now`; never below 0, whatever rounding left. */
  at(h: number, now: number): number {
    return Math.max(0, decayedTo(this.values[h], this.ats[h], now, this.halfLives[h]))
  }
}

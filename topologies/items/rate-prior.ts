/**
 * The prior of the rate of positives per impression: Beta(a, b), fitted over all items by moments (Kleinman 1973, weights
 * = impressions). All sums are kept as items change, so a fit costs nothing like a pass over the catalog.
 */
export interface BetaPrior {
  readonly a: number
  readonly b: number
}

/** Before ten items were shown: one positive in twenty impressions, worth twenty impressions. */
const unfitted: BetaPrior = { a: 1, b: 19 }
const MIN_ITEMS = 10
const MIN_STRENGTH = 1
const MAX_STRENGTH = 10_000

export class RatePrior {
  private items = 0
  private n = 0
  private k = 0
  private kkByN = 0
  private nn = 0
  private fitted: BetaPrior | undefined

  /** An item's counts became (impressions, positives) from what they were; positives beyond impressions are organic. */
  replace(oldN: number, oldK: number, newN: number, newK: number): void {
    this.sum(oldN, oldK, -1)
    this.sum(newN, newK, 1)
    this.fitted = undefined
  }

  private sum(n: number, positives: number, sign: number): void {
    if (n === 0) return
    const k = Math.min(positives, n)
    this.items += sign
    this.n += sign * n
    this.k += sign * k
    this.kkByN += (sign * k * k) / n
    this.nn += sign * n * n
  }

  get prior(): BetaPrior {
    this.fitted ??= this.fit()
    return this.fitted
  }

  private fit(): BetaPrior {
    if (this.items < MIN_ITEMS) return unfitted
    const p = (this.k + unfitted.a) / (this.n + unfitted.a + unfitted.b)
    const raw = this.k / this.n
    const spread = this.kkByN - 2 * raw * this.k + raw * raw * this.n
    const free = this.items - 1
    const excess = spread / (p * (1 - p)) - free
    // rho = 1 / (a + b + 1), the share of the variance that lies between items
    const rho = excess / (this.n - this.nn / this.n - free)
    const strength = rho > 0 ? 1 / rho - 1 : MAX_STRENGTH
    const s = Math.min(MAX_STRENGTH, Math.max(MIN_STRENGTH, strength))
    return { a: p * s, b: (1 - p) * s }
  }
}

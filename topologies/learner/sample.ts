/**
 * Keeps the learner's work within a rate: above `maxPerSecond` a uniform sample is kept, by hash, so that the same
 * positive is kept or left whichever worker asks.
 *
 * The share kept is maxPerSecond over the larger of the last second's arrivals and this second's so far: right on average
 * from the second second of a burst on, and bounded (max (1 + ln(arrivals / max))) within its first.
 */
export class RateSample {
  private readonly maxPerSecond: number
  private readonly share: number
  private second = 0
  private arrivals = 0
  private before = 0

  /** @param share of all that is kept at any rate; what is left out by it does not count as arrived. */
  constructor(maxPerSecond: number, share = 1) {
    this.maxPerSecond = maxPerSecond
    this.share = share
  }

  /** @param hash uniform over 53 bits; @param nowMs processing time. */
  keeps(hash: number, nowMs: number): boolean {
    const place = (hash * 2 ** -53) / this.share
    if (place >= 1) return false
    const second = Math.floor(nowMs / 1000)
    if (second !== this.second) {
      this.before = second === this.second + 1 ? this.arrivals : 0
      this.arrivals = 0
      this.second = second
    }
    this.arrivals++
    const rate = Math.max(this.before, this.arrivals)
    return rate <= this.maxPerSecond || place * rate < this.maxPerSecond
  }
}

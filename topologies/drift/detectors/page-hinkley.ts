/**
 * Page-Hinkley's test for a change of a stream's mean (Page 1954), with the constants and the arithmetic of river 0.26: the
 * faded sums  U = a U + x - mean - d  and  D = a D + x - mean + d  against the least U and the greatest D so far; a change is
 * a distance above the threshold, up or down. After one the next value begins anew.
 *
 * `clipped` is the older form, S = max(0, a S + x - mean - d) >= threshold, upwards alone: where U has long been falling, its
 * fading lets the two differ by a few values.
 */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'

export interface PageHinkleyOptions {
  /** Values before the first verdict. */
  readonly minRows: number
  /** d: a change of the mean that is let pass. */
  readonly delta: number
  readonly threshold: number
  /** a: what is kept of the sums with each value. */
  readonly fading: number
  readonly mode: 'both' | 'up' | 'down' | 'clipped'
}

const defaults: PageHinkleyOptions = {
  minRows: 30,
  delta: 0.005,
  threshold: 50,
  fading: 1 - 0.0001,
  mode: 'both',
}

export class PageHinkley {
  private readonly options: PageHinkleyOptions
  private n = 0
  private up = 0
  private down = 0
  private least = Number.POSITIVE_INFINITY
  private greatest = -1
  private changed = false
  /** Of the values since it began anew; 0 before the first. */
  mean = 0

  constructor(options: Partial<PageHinkleyOptions> = {}) {
    this.options = { ...defaults, ...options }
  }

  /** Takes a value in; true: with it the mean has changed. What is not finite is passed over. */
  update(x: number): boolean {
    if (!Number.isFinite(x)) return false
    if (this.changed) this.begin()
    const { minRows, delta, threshold, fading, mode } = this.options
    this.n++
    this.mean += (1 / this.n) * (x - this.mean)
    const deviation = x - this.mean
    this.up = fading * this.up + deviation - delta
    this.down = fading * this.down + deviation + delta
    if (mode === 'clipped') this.up = Math.max(0, this.up)
    this.least = Math.min(this.least, this.up)
    this.greatest = Math.max(this.greatest, this.down)
    if (this.n < minRows) return false
    if (mode === 'clipped') this.changed = this.up >= threshold
    else
      this.changed =
        (mode !== 'down' && this.up - this.least > threshold) ||
        (mode !== 'up' && this.greatest - this.down > threshold)
    return this.changed
  }

  private begin(): void {
    this.n = 0
    this.mean = 0
    this.up = 0
    this.down = 0
    this.least = Number.POSITIVE_INFINITY
    this.greatest = -1
    this.changed = false
  }

  write(w: ByteWriter): void {
    w.uint(this.n).u8(this.changed ? 1 : 0)
    for (const value of [this.mean, this.up, this.down, this.least, this.greatest]) w.f64(value)
  }

  /** The state that `write` wrote, under options that are not part of it. */
  static read(r: ByteReader, options: Partial<PageHinkleyOptions> = {}): PageHinkley {
    const detector = new PageHinkley(options)
    detector.n = r.uint()
    detector.changed = r.u8() === 1
    detector.mean = r.f64()
    detector.up = r.f64()
    detector.down = r.f64()
    detector.least = r.f64()
    detector.greatest = r.f64()
    return detector
  }
}

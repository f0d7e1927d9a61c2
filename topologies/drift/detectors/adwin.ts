/**
 * Adaptive windowing (Bifet & Gavaldà 2007) with the constants and the arithmetic of river 0.26: a window over the newest
 * values that is cut where its older part has another mean than the newer one. The window is kept as buckets of 1, 2, 4, ...
 * values, up to five of each size, so that a stream of n values takes O(log n).
 *
 *  - A1 Row i of buckets is of 2^i values each; within a row the oldest comes first. Every row but the last may be empty.
 *  - A2 Width, total and variance (a sum of squares) are those of all buckets.
 *  - A3 The order of floating-point additions is river's: a cut is a comparison, and must fall the same way.
 */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'

export interface AdwinOptions {
  /** How often chance alone may cut, about. */
  readonly delta: number
  /** A cut is looked for with every so many values. */
  readonly clock: number
  /** Window that must be passed before cuts are looked for. */
  readonly grace: number
  /** Buckets of a size, at most. */
  readonly maxBuckets: number
  /** Values that either part must have. */
  readonly minPart: number
}

const defaults: AdwinOptions = { delta: 0.002, clock: 32, grace: 10, maxBuckets: 5, minPart: 5 }

interface Bucket {
  readonly total: number
  readonly variance: number
}

export class Adwin {
  private readonly options: AdwinOptions
  private rows: Bucket[][] = [[]]
  private ticks = 0
  private total = 0
  private variance = 0
  private changed = false
  /** Values in the window. */
  width = 0

  constructor(options: Partial<AdwinOptions> = {}) {
    this.options = { ...defaults, ...options }
  }

  /** Mean of the window; 0 of an empty one. */
  get mean(): number {
    return this.width === 0 ? 0 : this.total / this.width
  }

  /**
   * Takes a value in; true: the window was cut. As in river, the value after that begins a new window rather than going on
   * with what was kept. What is not finite is passed over.
   */
  update(x: number): boolean {
    if (!Number.isFinite(x)) return false
    if (this.changed) this.begin()
    this.insert(x)
    this.ticks++
    if (this.ticks % this.options.clock === 0 && this.width > this.options.grace)
      while (this.mustCut()) {
        this.dropOldest()
        this.changed = true
      }
    return this.changed
  }

  private begin(): void {
    this.rows = [[]]
    this.ticks = 0
    this.width = 0
    this.total = 0
    this.variance = 0
    this.changed = false
  }

  private insert(x: number): void {
    this.rows[0].push({ total: x, variance: 0 })
    this.width++
    const { width } = this
    if (width > 1) {
      const distance = x - this.total / (width - 1)
      this.variance += ((width - 1) * distance * distance) / width
    }
    this.total += x
    this.compress()
  }

  /** Two oldest buckets of a row that is over-full become one of the next. */
  private compress(): void {
    const { rows } = this
    for (let i = 0; rows[i].length > this.options.maxBuckets; i++) {
      const size = 2 ** i
      const [a, b] = rows[i].splice(0, 2)
      const distance = a.total / size - b.total / size
      const variance = a.variance + b.variance + size * 0.5 * distance * distance
      if (i + 1 === rows.length) rows.push([])
      rows[i + 1].push({ total: a.total + b.total, variance })
    }
  }

  private dropOldest(): void {
    const last = this.rows.length - 1
    const size = 2 ** last
    const bucket = this.rows[last].shift() as Bucket
    this.width -= size
    this.total -= bucket.total
    const distance = bucket.total / size - this.total / this.width
    this.variance -=
      bucket.variance + (size * this.width * distance * distance) / (size + this.width)
    if (this.rows[last].length === 0) this.rows.pop()
  }

  /** Is there a place, from the oldest bucket on, where both parts are long enough and their means too far apart? */
  private mustCut(): boolean {
    const { minPart } = this.options
    let older = 0
    let newer = this.width
    let olderTotal = 0
    let newerTotal = this.total
    for (let i = this.rows.length - 1; i >= 0; i--) {
      const size = 2 ** i
      for (const bucket of this.rows[i]) {
        older += size
        newer -= size
        olderTotal += bucket.total
        newerTotal -= bucket.total
        if (newer < minPart) return false
        const distance = olderTotal / older - newerTotal / newer
        if (older >= minPart && Math.abs(distance) > this.bound(older, newer)) return true
      }
    }
    return false
  }

  /** Bernstein's bound on the difference of the parts' means. */
  private bound(older: number, newer: number): number {
    const { delta, minPart } = this.options
    const logs = Math.log((2 * Math.log(this.width)) / delta)
    const inverse = 1 / (older - minPart + 1) + 1 / (newer - minPart + 1)
    const deviation = Math.sqrt(2 * inverse * (this.variance / this.width) * logs)
    return deviation + (2 / 3) * logs * inverse
  }

  write(w: ByteWriter): void {
    w.uint(this.ticks)
      .u8(this.changed ? 1 : 0)
      .uint(this.width)
    w.f64(this.total).f64(this.variance).uint(this.rows.length)
    for (const row of this.rows) {
      w.uint(row.length)
      for (const { total, variance } of row) w.f64(total).f64(variance)
    }
  }

  /** The state that `write` wrote, under options that are not part of it. */
  static read(r: ByteReader, options: Partial<AdwinOptions> = {}): Adwin {
    const detector = new Adwin(options)
    detector.ticks = r.uint()
    detector.changed = r.u8() === 1
    detector.width = r.uint()
    detector.total = r.f64()
    detector.variance = r.f64()
    detector.rows = Array.from({ length: r.uint() }, () =>
      Array.from({ length: r.uint() }, () => ({ total: r.f64(), variance: r.f64() })),
    )
    return detector
  }
}

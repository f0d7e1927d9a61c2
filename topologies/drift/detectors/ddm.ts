/**
 * The drift detection method over a stream of errors (Gama et al. 2004), as in river 0.26: with error rate p and deviation
 * s = sqrt(p (1 - p) / n), the smallest p + s after the warm-up is kept; a warning is p + s above p_min + 2 s_min, a change
 * above p_min + 3 s_min. After one the next value begins anew.
 */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'

export interface DdmOptions {
  /** Values before the first verdict. */
  readonly warmUp: number
  /** In deviations. */
  readonly warning: number
  readonly change: number
}

const defaults: DdmOptions = { warmUp: 30, warning: 2, change: 3 }

export class Ddm {
  private readonly options: DdmOptions
  private n = 0
  private p = 0
  private leastP = 0
  private leastS = 0
  private least = Number.POSITIVE_INFINITY
  private changed = false
  /** With the newest value the error rate is in the zone of warning. */
  isWarning = false

  constructor(options: Partial<DdmOptions> = {}) {
    this.options = { ...defaults, ...options }
  }

  /** Errors per value since it began anew; 0 before the first. */
  get rate(): number {
    return this.p
  }

  /** Takes in whether an error was made; true: with it the error rate has risen. */
  update(error: boolean): boolean {
    if (this.changed) this.begin()
    const { warmUp, warning, change } = this.options
    this.n++
    this.p += (1 / this.n) * ((error ? 1 : 0) - this.p)
    // a mean may pass 1 by rounding
    const s = Math.sqrt(Math.max(0, this.p * (1 - this.p)) / this.n)
    if (this.n <= warmUp) return false
    if (this.p + s <= this.least) {
      this.leastP = this.p
      this.leastS = s
      this.least = this.p + s
    }
    this.changed = this.p + s > this.leastP + change * this.leastS
    this.isWarning = !this.changed && this.p + s > this.leastP + warning * this.leastS
    return this.changed
  }

  private begin(): void {
    this.n = 0
    this.p = 0
    this.leastP = 0
    this.leastS = 0
    this.least = Number.POSITIVE_INFINITY
    this.changed = false
    this.isWarning = false
  }

  write(w: ByteWriter): void {
    w.uint(this.n).u8((this.changed ? 1 : 0) | (this.isWarning ? 2 : 0))
    for (const value of [this.p, this.leastP, this.leastS, this.least]) w.f64(value)
  }

  /** The state that `write` wrote, under options that are not part of it. */
  static read(r: ByteReader, options: Partial<DdmOptions> = {}): Ddm {
    const detector = new Ddm(options)
    detector.n = r.uint()
    const flags = r.u8()
    detector.changed = (flags & 1) !== 0
    detector.isWarning = (flags & 2) !== 0
    detector.p = r.f64()
    detector.leastP = r.f64()
    detector.leastS = r.f64()
    detector.least = r.f64()
    return detector
  }
}

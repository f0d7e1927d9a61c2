/**
 * Sums over the users of one arm, of every metric: n, y, y^2, x, x^2, xy. Exact, so that they do not depend on the order or
 * the tasks in which they were added (topologies/ledger/exact-sum.ts).
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { addAt, isZeroAt, limbs, mergeAt, readAt, valueAt, writeAt } from '../ledger/exact-sum.ts'
import { type Outcome, userMetrics } from './metrics.ts'
import type { Sums } from './statistics/estimates.ts'

const moments = 6
const perMetric = moments * limbs

export class ArmSums {
  private readonly slots = new Float64Array(userMetrics.length * perMetric)

  /**
   * Counts a user in (`by` 1) or out (-1) as it stands. @param which metrics: those that count at once, those that count a
   * day later, or both.
   */
  count(of: Outcome, by: 1 | -1, which: 'now' | 'later' | 'all', capMs: number): void {
    const { slots } = this
    for (let m = 0; m < userMetrics.length; m++) {
      const metric = userMetrics[m]
      if (which !== 'all' && metric.aDayLater !== (which === 'later')) continue
      const y = metric.y(of, capMs)
      const x = metric.x(of)
      const at = m * perMetric
      addAt(slots, at, by)
      addAt(slots, at + limbs, by * y)
      addAt(slots, at + 2 * limbs, by * y * y)
      addAt(slots, at + 3 * limbs, by * x)
      addAt(slots, at + 4 * limbs, by * x * x)
      addAt(slots, at + 5 * limbs, by * x * y)
    }
  }

  merge(other: ArmSums): void {
    for (let at = 0; at < this.slots.length; at += limbs) mergeAt(this.slots, at, other.slots, at)
  }

  get isZero(): boolean {
    for (let at = 0; at < this.slots.length; at += limbs)
      if (!isZeroAt(this.slots, at)) return false
    return true
  }

  of(metric: number): Sums {
    const value = (k: number): number => valueAt(this.slots, metric * perMetric + k * limbs)
    return { n: value(0), y: value(1), yy: value(2), x: value(3), xx: value(4), xy: value(5) }
  }

  /** Metrics whose sums are all 0 take a byte. A row of before a metric was there reads as 0 of it. */
  write(w: ByteWriter): void {
    w.uint(userMetrics.length)
    for (let m = 0; m < userMetrics.length; m++) {
      let used = false
      for (let k = 0; k < moments; k++) used ||= !isZeroAt(this.slots, m * perMetric + k * limbs)
      w.u8(used ? 1 : 0)
      if (!used) continue
      for (let k = 0; k < moments; k++) writeAt(this.slots, m * perMetric + k * limbs, w)
    }
  }

  static read(r: ByteReader): ArmSums {
    const sums = new ArmSums()
    const metrics = r.uint()
    for (let m = 0; m < metrics; m++) {
      if (r.u8() === 0) continue
      for (let k = 0; k < moments; k++) readAt(sums.slots, m * perMetric + k * limbs, r)
    }
    return sums
  }
}

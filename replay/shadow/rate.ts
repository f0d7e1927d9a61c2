/** Records a second over the last seconds. */
import type { Clock } from '../../streams/clock.ts'

const SPAN_MS = 10_000

export class Rate {
  private readonly clock: Clock
  private readonly points: { at: number; count: number }[] = []

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** `count`: of all so far. */
  add(count: number): void {
    const at = this.clock.now()
    const newest = this.points.at(-1)
    if (newest && at - newest.at < 200) newest.count = count
    else this.points.push({ at, count })
    while (this.points.length > 2 && at - this.points[0].at > SPAN_MS) this.points.shift()
  }

  get value(): number {
    const [first, last] = [this.points[0], this.points.at(-1)]
    if (!first || !last || last.at === first.at) return 0
    return Math.round(((last.count - first.count) * 1000) / (last.at - first.at))
  }
}

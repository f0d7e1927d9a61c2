/**
 * Metrics of one task that also counts for itself, since it was last asked: what one row of the table `pipeline` says.
 * Freshness is counted in bins that are 2% wide (half a bin off is 1%), from 1 ms to 10 min; what lies outside counts in the
 * outermost.
 */
import type { Labels, Metrics } from '../metrics.ts'

/** Counts since the last row. */
export interface TaskCounts {
  events: number
  late: number
  duplicates: number
  deadLetters: number
  /** ms, from a record's Kafka timestamp to its output acknowledged; null where nothing went out. */
  freshnessP50: number | null
  freshnessP99: number | null
}

const counted = {
  freshet_events_total: 'events',
  freshet_late_total: 'late',
  freshet_duplicates_total: 'duplicates',
  freshet_dead_letters_total: 'deadLetters',
} as const
type Counted = (typeof counted)[keyof typeof counted]

const step = Math.log(1.02)
const bins = Math.ceil(Math.log(600_000) / step) + 1

export class TaskMeter implements Metrics {
  private readonly metrics: Metrics
  private counts: Record<Counted, number> = none()
  private freshness = new Uint32Array(bins)

  constructor(metrics: Metrics) {
    this.metrics = metrics
  }

  counter(name: string, labels?: Labels) {
    const counter = this.metrics.counter(name, labels)
    const what = counted[name as keyof typeof counted]
    if (what === undefined) return counter
    return {
      add: (n = 1) => {
        this.counts[what] += n
        counter.add(n)
      },
    }
  }

  gauge(name: string, labels?: Labels) {
    return this.metrics.gauge(name, labels)
  }

  histogram(name: string, labels?: Labels) {
    const histogram = this.metrics.histogram(name, labels)
    if (name !== 'freshet_freshness_seconds') return histogram
    return {
      observe: (seconds: number) => {
        this.freshness[binOf(seconds * 1000)]++
        histogram.observe(seconds)
      },
    }
  }

  /** What was counted since the last call. */
  take(): TaskCounts {
    const { counts, freshness } = this
    this.counts = none()
    this.freshness = new Uint32Array(bins)
    return {
      ...counts,
      freshnessP50: quantile(freshness, 0.5),
      freshnessP99: quantile(freshness, 0.99),
    }
  }
}

function none(): Record<Counted, number> {
  return { events: 0, late: 0, duplicates: 0, deadLetters: 0 }
}

function binOf(ms: number): number {
  return ms <= 1 ? 0 : Math.min(bins - 1, Math.round(Math.log(ms) / step))
}

/** The least value that a share `q` of all lie at or below, within 1%. */
function quantile(counts: Uint32Array, q: number): number | null {
  const n = counts.reduce((sum, count) => sum + count, 0)
  let left = Math.ceil(q * n)
  if (left === 0) return null
  const bin = counts.findIndex(count => {
    left -= count
    return left <= 0
  })
  return Math.exp(bin * step)
}

/** What the demo shows in figures: rates, freshness, popularity, drift. Gathered once a beat, never computed for show. */
import type { ClickHouseStore } from '../../sinks/clickhouse/store.ts'
import type { Histogram, Labels } from '../../streams/metrics.ts'
import type { ViewReader } from '../../streams/sinks.ts'
import { PrometheusMetrics } from '../metrics.ts'

/** Keeps each freshness value besides counting it: a demo is short, so quantiles can be exact. */
export class DemoMetrics extends PrometheusMetrics {
  readonly freshness = new Map<string, number[]>()

  override histogram(name: string, labels: Labels = {}): Histogram {
    const counted = super.histogram(name, labels)
    if (name !== 'freshet_freshness_seconds') return counted
    const output = labels.output ?? ''
    const values = this.freshness.get(output) ?? []
    this.freshness.set(output, values)
    return {
      observe(seconds) {
        values.push(seconds)
        counted.observe(seconds)
      },
    }
  }

  /** ms; NaN before the first. */
  quantile(output: string, q: number): number {
    const sorted = [...(this.freshness.get(output) ?? [])].sort((a, b) => a - b)
    return sorted.length === 0 ? Number.NaN : sorted[Math.floor(q * (sorted.length - 1))] * 1000
  }
}

export interface DriftPoint {
  /** Event time, ms. */
  readonly start: number
  readonly psi: number
  readonly threshold: number
}

export interface RaisedAlert {
  readonly subject: string
  readonly segment: string
  /** Event time of the first window over the threshold, ms. */
  readonly since: number
}

export const DRIFTING = 'feature:watched_ratio'

export class Measures {
  popular: readonly string[] = []
  readonly popularSeen = new Set<string>()
  drift: readonly DriftPoint[] = []
  alerts: readonly RaisedAlert[] = []
  private readonly views: ViewReader
  private readonly tables: ClickHouseStore

  constructor(views: ViewReader, tables: ClickHouseStore) {
    this.views = views
    this.tables = tables
  }

  async gather(): Promise<void> {
    this.popular = (await this.views.zset('pop:5m', 5)).map(entry => entry.member)
    if (this.popular.length > 0) this.popularSeen.add(this.popular.join())
    const points = await this.tables.query<{ at: string; value: number; threshold: number | null }>(
      `SELECT toUnixTimestamp64Milli(window_start) AS at, value, threshold FROM freshet.v_drift
       WHERE subject = '${DRIFTING}' AND segment = '' AND statistic = 'psi' AND value IS NOT NULL
         AND window_end - window_start = 60 ORDER BY window_start`,
    )
    this.drift = points.map(({ at, value, threshold }) => ({
      start: Number(at),
      psi: value,
      threshold: threshold ?? Number.NaN,
    }))
    const alerts = await this.tables.query<{ subject: string; segment: string; at: string }>(
      `SELECT subject, segment, toUnixTimestamp64Milli(since) AS at FROM freshet.v_alerts
       WHERE startsWith(rule, 'drift_') ORDER BY since`,
    )
    this.alerts = alerts.map(({ subject, segment, at }) => ({
      subject,
      segment,
      since: Number(at),
    }))
  }
}

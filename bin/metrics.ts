/** prom-client behind the Metrics port. Names and labels are CONTRACT 4's; an unknown name is made on first use. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Labels, Metrics } from '../streams/metrics.ts'

const help: Readonly<Record<string, string>> = {
  freshet_events_total: 'Events taken in, by topology and type',
  freshet_freshness_seconds: 'Kafka record timestamp to output acknowledged',
  freshet_lateness_seconds: 'Record timestamp less event timestamp',
  freshet_lag_records: 'Records behind the high watermark that are not yet committed',
  freshet_commit_seconds: 'Append of a commit batch to its acknowledgement',
  freshet_restore_seconds: 'Claim and restore of a task',
  freshet_dead_letters_total: 'Records that could not be used, by reason',
  freshet_late_total: 'Events later than the grace',
  freshet_duplicates_total: 'Events seen before',
  freshet_topk_seconds: 'Time per list, by stage',
  freshet_state_bytes: 'Memory of a store, estimated',
  freshet_webhook_waiting: 'Alerts that wait to be posted to the webhook',
  freshet_waiting: '1 while something outside is waited for',
  freshet_changelog_bytes_total: 'Bytes of commit batches',
}

const SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1, 2, 5, 15, 60,
]

export class PrometheusMetrics implements Metrics {
  readonly registry = new Registry()
  private readonly families = new Map<string, Counter | Gauge | Histogram>()
  private readonly handles = new Map<string, unknown>()

  /** Adds the process' own: CPU, memory, event loop lag. */
  withProcess(): this {
    collectDefaultMetrics({ register: this.registry })
    return this
  }

  counter(name: string, labels: Labels = {}) {
    return this.handle(name, labels, () => {
      const child = this.family(name, labels, config => new Counter(config)) as Counter
      return { add: (n = 1) => child.inc(labels, n) }
    })
  }

  gauge(name: string, labels: Labels = {}) {
    return this.handle(name, labels, () => {
      const child = this.family(name, labels, config => new Gauge(config)) as Gauge
      return { set: (value: number) => child.set(labels, value) }
    })
  }

  histogram(name: string, labels: Labels = {}) {
    return this.handle(name, labels, () => {
      const child = this.family(
        name,
        labels,
        config => new Histogram({ ...config, buckets: SECONDS }),
      ) as Histogram
      return { observe: (value: number) => child.observe(labels, value) }
    })
  }

  private family(
    name: string,
    labels: Labels,
    make: (config: {
      name: string
      help: string
      labelNames: string[]
      registers: Registry[]
    }) => Counter | Gauge | Histogram,
  ): Counter | Gauge | Histogram {
    const existing = this.families.get(name)
    if (existing) return existing
    const made = make({
      name,
      help: help[name] ?? name.replaceAll('_', ' '),
      labelNames: Object.keys(labels),
      registers: [this.registry],
    })
    this.families.set(name, made)
    return made
  }

  private handle<T>(name: string, labels: Labels, make: () => T): T {
    const key = `${name}|${Object.values(labels).join('|')}`
    const existing = this.handles.get(key)
    if (existing) return existing as T
    const made = make()
    this.handles.set(key, made)
    return made
  }
}

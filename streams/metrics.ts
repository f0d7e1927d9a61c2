/**
 * Counters, gauges and histograms by Prometheus name (CONTRACT 4). Hot code takes a handle once and keeps it:
 * `const late = metrics.counter('freshet_late_total', {topology: 'sessions'})`.
 */
export interface Counter {
  add(n?: number): void
}

export interface Gauge {
  set(value: number): void
}

export interface Histogram {
  /** Seconds for *_seconds. */
  observe(value: number): void
}

export type Labels = Readonly<Record<string, string>>

export interface Metrics {
  counter(name: string, labels?: Labels): Counter
  gauge(name: string, labels?: Labels): Gauge
  histogram(name: string, labels?: Labels): Histogram
}

const nothing = { add() {}, set() {}, observe() {} }

export const noMetrics: Metrics = {
  counter: () => nothing,
  gauge: () => nothing,
  histogram: () => nothing,
}

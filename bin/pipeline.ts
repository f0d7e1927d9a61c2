/** Rows of the table `pipeline`: what each task of this process did, once an interval. Its own clock: they describe the machine, not the log. */
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import type { Clock } from '../streams/clock.ts'
import { messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import type { Worker } from '../streams/runtime/worker.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import type { PipelineAlerts } from './alerts-pipeline.ts'

/** @param at wall clock, ms. @param overMs what the counts are of, ms. */
export function pipelineRows(
  worker: Pick<Worker, 'progress'>,
  at: number,
  overMs: number,
): TableRow[] {
  return worker.progress().map(task => ({
    time: at,
    topology: task.kind,
    partition: task.partition,
    lag: task.lag,
    events_per_second: (task.events * 1000) / overMs,
    freshness_p50: task.freshnessP50,
    freshness_p99: task.freshnessP99,
    dead_letters: task.deadLetters,
    late: task.late,
    duplicates: task.duplicates,
    revision: 1,
  }))
}

/**
 * Writes them, and shows them to their alarms, until it is closed. While the store is away the counts go on and stand in the
 * first row after it. `tables` null: the alarms alone.
 */
export function writePipeline(
  worker: Worker,
  tables: ClickHouseStore | null,
  {
    everyMs,
    clock,
    log,
    alerts,
  }: { everyMs: number; clock: Clock; log: Logger; alerts: PipelineAlerts },
): { close(): void } {
  let since = clock.now()
  let writing = false
  const timer = setInterval(() => {
    if (writing || tables?.waiting() !== undefined) return
    writing = true
    const now = clock.now()
    const rows = pipelineRows(worker, clock.wall(), Math.max(1, now - since))
    since = now
    Promise.resolve(tables?.insert('pipeline', rows))
      .catch(error => log.warn({}, `the table pipeline is not written: ${messageOf(error)}`))
      .then(() => alerts.judge(rows))
      .finally(() => {
        writing = false
      })
  }, everyMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

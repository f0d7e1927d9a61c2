/** Rows of the table `pipeline`: what each task of this process did, once an interval. Its own clock: they describe the machine, not the log. */
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import type { Clock } from '../streams/clock.ts'
import { messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import type { TaskProgress } from '../streams/runtime/task-progress.ts'
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

/** What two progresses of the same tasks came to: counts of both, the rest as of the second; of a task that left, nothing. */
function together(before: readonly TaskProgress[], now: readonly TaskProgress[]): TaskProgress[] {
  return now.map(task => {
    const own = before.find(each => each.kind === task.kind && each.partition === task.partition)
    if (own === undefined) return task
    return {
      ...task,
      events: own.events + task.events,
      deadLetters: own.deadLetters + task.deadLetters,
      late: own.late + task.late,
      duplicates: own.duplicates + task.duplicates,
    }
  })
}

/**
 * Writes them, and shows them to their alarms, until it is closed. While the store is away the alarms go on, since that is
 * when tasks fall behind; the counts stand in the first row after it. `tables` null: the alarms alone.
 */
export function writePipeline(
  worker: Pick<Worker, 'progress'>,
  tables: Pick<ClickHouseStore, 'insert' | 'waiting'> | null,
  {
    everyMs,
    clock,
    log,
    alerts,
  }: { everyMs: number; clock: Clock; log: Logger; alerts: Pick<PipelineAlerts, 'judge'> },
): { close(): void } {
  let since = clock.now()
  let writing = false
  let judging = false
  let unwritten: { tasks: readonly TaskProgress[]; overMs: number } = { tasks: [], overMs: 0 }

  const judge = (rows: readonly TableRow[]): void => {
    if (judging) return
    judging = true
    alerts.judge(rows).finally(() => {
      judging = false
    })
  }
  const write = (rows: readonly TableRow[]): void => {
    if (tables === null) return
    writing = true
    tables
      .insert('pipeline', rows)
      .catch(error => log.warn({}, `the table pipeline is not written: ${messageOf(error)}`))
      .finally(() => {
        writing = false
      })
  }
  const timer = setInterval(() => {
    const now = clock.now()
    const overMs = Math.max(1, now - since)
    since = now
    const tasks = worker.progress()
    const rows = (of: readonly TaskProgress[], ms: number): TableRow[] =>
      pipelineRows({ progress: () => [...of] }, clock.wall(), ms)
    judge(rows(tasks, overMs))
    const all = together(unwritten.tasks, tasks)
    const allMs = unwritten.overMs + overMs
    const isAway = writing || tables?.waiting() !== undefined
    unwritten = isAway ? { tasks: all, overMs: allMs } : { tasks: [], overMs: 0 }
    if (!isAway) write(rows(all, allMs))
  }, everyMs)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

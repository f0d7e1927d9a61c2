/**
 * The task kind `statistics`: fed by the user tasks' deltas alone, writes tables and alerts. The drift stage stands first
 * and moves the task's one watermark on; the stages after it read it in the same commit. The last one judges the rows
 * that all of them write.
 */
import type { OptionValues } from '../../streams/options.ts'
import type { Stage, TaskContext, TaskKind } from '../../streams/topology/stage.ts'
import { type AlertsSettings, createAlertsStage } from '../alerts/statistics-stage.ts'
import { statisticsKind } from './deltas.ts'
import type { driftOptions } from './options.ts'
import type { ReferenceBook } from './reference-book.ts'
import { createDriftStatisticsStage } from './statistics-stage.ts'
import { Watermark } from './watermark.ts'

/** Makes a stage of a statistic task. It only reads the watermark: `watermark.passed(end, delayMs)` says that a window closes. */
export type StatisticsStageFactory = (
  ctx: TaskContext,
  watermark: Readonly<Watermark>,
) => Stage<never>

export function createStatisticsKind(
  options: OptionValues<typeof driftOptions>,
  further: readonly StatisticsStageFactory[],
  alerts: AlertsSettings,
  references?: ReferenceBook,
  /** Followed tables that the stages read. */
  tables: readonly string[] = [],
): TaskKind<never> {
  return {
    name: statisticsKind,
    inputs: [],
    partitions: options['statistics.partitions'],
    deltas: true,
    // its inputs are durable and a window is a minute: a second costs nothing
    commitIntervalMs: 1_000,
    tables,
    create(ctx) {
      const watermark = new Watermark(options['drift.idle'], () => ctx.partitionsOf('user'))
      const judging = createAlertsStage(alerts, ctx)
      const stages = [
        createDriftStatisticsStage(options, ctx, watermark, references),
        ...further.map(create => create(ctx, watermark)),
      ]
      return { decode: () => 'skip', stages: [...stages.map(judging.watch), judging.stage] }
    },
  }
}

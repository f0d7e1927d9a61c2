/** The task kind `statistics`: fed by the user tasks' deltas alone, writes tables and alerts. */
import type { OptionValues } from '../../streams/options.ts'
import type { TaskKind } from '../../streams/topology/stage.ts'
import { statisticsKind } from './deltas.ts'
import type { driftOptions } from './options.ts'
import { createDriftStatisticsStage } from './statistics-stage.ts'

export function createStatisticsKind(options: OptionValues<typeof driftOptions>): TaskKind<never> {
  return {
    name: statisticsKind,
    inputs: [],
    partitions: options['statistics.partitions'],
    deltas: true,
    // its inputs are durable and a window is a minute: a second costs nothing
    commitIntervalMs: 1_000,
    tables: [],
    create: ctx => ({ decode: () => 'skip', stages: [createDriftStatisticsStage(options, ctx)] }),
  }
}

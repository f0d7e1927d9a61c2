/** The stages of experiments in both kinds of task that have some. */
import type { OptionValues } from '../../streams/options.ts'
import type { TaskContext } from '../../streams/topology/stage.ts'
import type { StatisticsStageFactory } from '../drift/topology.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserTable } from '../user/users.ts'
import type { ExperimentBook } from './book.ts'
import type { experimentsOptions } from './options.ts'
import { createExperimentsStatisticsStage } from './statistics-stage.ts'
import { createExperimentsUserStage, type ExperimentsUserStage } from './user-stage.ts'

type Options = OptionValues<typeof experimentsOptions>

export function experimentsUserStage(
  options: Options,
  ctx: TaskContext,
  users: UserTable,
  book: ExperimentBook,
): ExperimentsUserStage {
  return createExperimentsUserStage(
    {
      users,
      book,
      items: ctx.table<ItemTable>('items'),
      intervalMs: options['experiments.interval'],
      watchCapMs: options['experiments.watchCap'],
    },
    ctx,
  )
}

export function experimentsStatisticsStage(
  options: Options,
  book: ExperimentBook,
): StatisticsStageFactory {
  return (_ctx, watermark) => createExperimentsStatisticsStage(options, book, watermark)
}

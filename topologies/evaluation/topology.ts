/** Live policy evaluation, put together: what of it runs in user tasks and in statistic tasks. */
import type { OptionValues } from '../../streams/options.ts'
import type { TaskContext } from '../../streams/topology/stage.ts'
import type { StatisticsStageFactory } from '../drift/topology.ts'
import type { ItemTable } from '../items/table.ts'
import type { labelsOptions } from '../labels/options.ts'
import type { qualityOptions } from '../quality/options.ts'
import type { sessionsOptions } from '../sessions/options.ts'
import type { UserTable } from '../user/users.ts'
import { SampledDraws } from './live/draws.ts'
import { createEvaluationStatisticsStage } from './live/statistics-stage.ts'
import { createEvaluationUserStage } from './live/user-stage.ts'
import type { evaluationOptions } from './options.ts'

type Options = OptionValues<typeof evaluationOptions> &
  Pick<OptionValues<typeof labelsOptions>, 'labels.startWithin' | 'labels.slack'> &
  Pick<OptionValues<typeof sessionsOptions>, 'session.gap'> &
  Pick<OptionValues<typeof qualityOptions>, 'quality.watchCap'>

export function evaluationUserStage(options: Options, ctx: TaskContext, users: UserTable) {
  const factors = options['evaluation.temperatures']
  const draws = new SampledDraws({
    items: ctx.table<ItemTable>('items'),
    factors,
    most: options['evaluation.draws'],
  })
  const stage = createEvaluationUserStage(ctx, {
    draws,
    watermark: users.watermark,
    gapMs: options['session.gap'],
    watchCapMs: options['quality.watchCap'],
    targets: factors.length,
  })
  return { draws, stage }
}

export function evaluationStatisticsStage(options: Options): StatisticsStageFactory {
  return (ctx, watermark) =>
    createEvaluationStatisticsStage(ctx, {
      factors: options['evaluation.temperatures'],
      // when most lists are judged: nothing was played, and nobody came back to them
      delayMs: options['labels.startWithin'] + options['labels.slack'] + options['session.gap'],
      watermark,
    })
}

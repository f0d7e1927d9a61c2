/** Online quality and calibration, as the options say: the ledger's two stages (docs/quality-live.md). */
import type { OptionValues } from '../../streams/options.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { calibrationOptions } from '../calibration/options.ts'
import type { driftOptions } from '../drift/options.ts'
import type { StatisticsStageFactory } from '../drift/topology.ts'
import type { ItemTable } from '../items/table.ts'
import type { labelsOptions } from '../labels/options.ts'
import { createLedgerStatisticsStage, type LedgerTimes } from '../ledger/statistics-stage.ts'
import { createLedgerUserStage } from '../ledger/user-stage.ts'
import type { sessionsOptions } from '../sessions/options.ts'
import type { UserEvent } from '../user/event.ts'
import type { LabelSink } from '../user/labels-port.ts'
import type { UserTable } from '../user/users.ts'
import type { qualityOptions } from './options.ts'

type Options = OptionValues<typeof qualityOptions> &
  OptionValues<typeof calibrationOptions> &
  Pick<
    OptionValues<typeof labelsOptions>,
    'labels.startWithin' | 'labels.joinWithin' | 'labels.longest' | 'labels.slack'
  > &
  Pick<OptionValues<typeof sessionsOptions>, 'session.gap'> &
  Pick<OptionValues<typeof driftOptions>, 'drift.delay'>

/** It is one of the sinks of the labels stage, and is to stand behind it. */
export function qualityUserStage(
  options: Options,
  ctx: TaskContext,
  users: UserTable,
): Stage<UserEvent> & LabelSink {
  return createLedgerUserStage(ctx, {
    users,
    items: ctx.table<ItemTable>('items'),
    slackMs: options['labels.slack'],
    watchCapMs: options['quality.watchCap'],
  })
}

export function qualityStatisticsStage(options: Options): StatisticsStageFactory {
  return (ctx, watermark) =>
    createLedgerStatisticsStage(ctx, {
      times: ledgerTimes(options),
      scores: options['calibration.scores'],
      watermark,
    })
}

/** A label, a session's end and a list's last label are told a slack behind the watermark. */
function ledgerTimes(options: Options): LedgerTimes {
  const slackMs = options['labels.slack'] + options['drift.delay']
  const { 'labels.startWithin': start, 'labels.joinWithin': join } = options
  return {
    slackMs,
    labelsMs: start + slackMs,
    endedMs: Math.max(options['session.gap'], start, join) + slackMs,
    settledMs: Math.max(options['labels.longest'], start, join) + slackMs + 600_000,
  }
}

/**
 * The last stage of a statistic task: looks at the rows that the stages before it write with the same commit and tells
 * which alarms they raise or end, to the topic, the table `alerts` and the log.
 */
import type { Outbox, TableRow } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { Store } from '../../streams/topology/store.ts'
import { type News, RuleEngine } from './engine.ts'
import type { Rule } from './rule-file.ts'
import { readSeries, type Series, writeSeries } from './series.ts'
import { tapped } from './tap.ts'
import { withSegment } from './words.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const storeNumber = 65

/** Some 2 MB of history at most; a series is a subject, segment and window, or a policy and metric. */
export const maxSeries = 10_000

export interface AlertsSettings {
  readonly rules: readonly Rule[]
  /** Of ClickHouse, for the alerts' queries. */
  readonly database: string
}

/** The stage, and what lets it see the rows of another stage of the same task. */
export function createAlertsStage(
  { rules, database }: AlertsSettings,
  ctx: Pick<TaskContext, 'metrics' | 'log'>,
): { stage: Stage<never>; watch(other: Stage<never>): Stage<never> } {
  const refused = ctx.metrics.counter('freshet_alert_series_refused_total')
  let told = false
  const store = new Store<Series>({
    id: storeNumber,
    name: 'alert-series',
    write: 'exact',
    writeKey: (row, w) => w.string(row.rule).string(row.subject).string(row.segment),
    writeValue: writeSeries,
    restore(key, value) {
      const id = { rule: key.string(), subject: key.string(), segment: key.string() }
      if (value === null) engine.forget(id)
      else engine.restore(readSeries(id, value))
    },
  })
  const engine = new RuleEngine(rules, {
    database,
    maxSeries,
    changed: series => store.touch(series),
    dropped: series => store.remove(series),
    refused() {
      refused.add()
      if (told) return
      told = true
      ctx.log.warn(
        { maxSeries },
        'alert rules fit more series than are watched; narrow their where',
      )
    },
  })
  const observe = (table: string, row: TableRow): void => engine.observe(table, row)
  return {
    stage: {
      name: 'alerts',
      stores: [store] as unknown as readonly Store<never>[],
      flush(out) {
        for (const news of engine.judge()) announce(news, out, ctx)
      },
    },
    watch(other) {
      const flush = other.flush?.bind(other)
      if (flush) other.flush = out => flush(tapped(out, observe))
      return other
    },
  }
}

function announce(news: News, out: Outbox, ctx: Pick<TaskContext, 'log'>): void {
  const { rule, subject, segment, since, until, value, threshold, message } = news
  out.alert(alertOf(news))
  out.row('alerts', alertRow(news))
  const told = { rule, subject, segment, since, until, value, threshold }
  if (news.state === 'raised') ctx.log.warn(told, message)
  else ctx.log.info(told, message)
}

/** As the topic has it. */
export function alertOf({
  rule,
  subject,
  segment,
  since,
  until,
  value,
  threshold,
  message,
  query,
}: News) {
  return {
    rule,
    subject: withSegment(subject, segment),
    since,
    until,
    // the topic's record has no null
    value: value ?? 0,
    threshold: threshold ?? 0,
    message,
    query,
  }
}

/** As the table has it: revision 1 raised, 2 over. */
export function alertRow(news: News): TableRow {
  const { state, rule, subject, segment, since, until, value, threshold, message, query } = news
  return {
    rule,
    subject,
    segment,
    since,
    until,
    value,
    threshold,
    message,
    query,
    revision: state === 'raised' ? 1 : 2,
  }
}

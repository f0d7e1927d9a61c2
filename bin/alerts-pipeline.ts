/**
 * Alarms of the rules on `pipeline`, whose rows the process writes itself: the same engine over the same rows, its state in
 * memory. An alarm that another process, or this one before it ended, left open for a task that is now here is taken over
 * from the table, so that it ends once; without ClickHouse it stays open in the topic.
 */
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import { messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import type { Publisher } from '../streams/transport/port.ts'
import { type News, RuleEngine } from '../topologies/alerts/engine.ts'
import type { Rule } from '../topologies/alerts/rule-file.ts'
import { newSeries } from '../topologies/alerts/series.ts'
import { alertOf, alertRow, maxSeries } from '../topologies/alerts/statistics-stage.ts'

export interface PipelineAlertsSettings {
  readonly rules: readonly Rule[]
  readonly database: string
  readonly publisher: Publisher
  /** Of the alerts, with its prefix; null: it is not written. */
  readonly topic: string | null
  readonly tables: Pick<ClickHouseStore, 'insert' | 'query' | 'waiting'> | null
  readonly log: Logger
}

interface OpenAlert {
  readonly rule: string
  readonly subject: string
  readonly since: number
  readonly threshold: number | null
  readonly query: string
}

/** News that wait for the topic: some for each task. The oldest go. */
const mostUntold = 1_000

export class PipelineAlerts {
  private readonly settings: PipelineAlertsSettings
  private readonly rules: readonly Rule[]
  private readonly engine: RuleEngine
  private known = new Set<string>()
  /** Tasks of which it was not asked yet what is open: the table was away. */
  private readonly unasked = new Set<string>()
  /** What the topic did not take yet. */
  private untold: News[] = []

  constructor(settings: PipelineAlertsSettings) {
    this.settings = settings
    const { database } = settings
    this.rules = settings.rules.filter(rule => rule.table === 'pipeline')
    this.engine = new RuleEngine(this.rules, { database, maxSeries })
  }

  /** Of all tasks of this process, once an interval. Does not throw. */
  async judge(rows: readonly TableRow[]): Promise<void> {
    if (this.rules.length === 0) return
    await this.follow(rows)
    for (const row of rows) this.engine.observe('pipeline', row)
    this.untold = [...this.untold, ...this.engine.judge()].slice(-mostUntold)
    if (this.untold.length > 0) await this.announce()
  }

  /** Forgets tasks that moved away and takes over what is open of those that came. */
  private async follow(rows: readonly TableRow[]): Promise<void> {
    const here = new Set(rows.map(row => `${row.topology}-${row.partition}`))
    for (const subject of this.known)
      if (!here.has(subject))
        for (const { name } of this.rules) this.engine.forget({ rule: name, subject, segment: '' })
    for (const subject of here) if (!this.known.has(subject)) this.unasked.add(subject)
    for (const subject of this.unasked) if (!here.has(subject)) this.unasked.delete(subject)
    this.known = here
    const { tables } = this.settings
    if (this.unasked.size === 0 || tables === null || tables.waiting() !== undefined) return
    try {
      for (const open of await this.openAlerts([...this.unasked])) this.takeOver(open)
      this.unasked.clear()
    } catch (error) {
      this.settings.log.warn({}, `open alerts can't be looked up: ${messageOf(error)}`)
    }
  }

  private async openAlerts(subjects: readonly string[]): Promise<readonly OpenAlert[]> {
    const { tables, database } = this.settings
    const list = (names: readonly string[]) => names.map(name => `'${name}'`).join(', ')
    const rules = list(this.rules.map(({ name }) => name))
    return (
      (await tables?.query<OpenAlert>(
        `SELECT rule, subject, toFloat64(toUnixTimestamp64Milli(since)) AS since, threshold, query FROM ${database}.v_alerts WHERE until IS NULL AND rule IN (${rules}) AND subject IN (${list(subjects)}) AND segment = ''`,
      )) ?? []
    )
  }

  private takeOver({ rule, subject, since, threshold, query }: OpenAlert): void {
    const id = { rule, subject, segment: '' }
    // raised here while the table was away
    if (this.engine.isRaised(id)) return
    const series = newSeries(id)
    const at = Number(since)
    this.engine.restore({
      ...series,
      raised: true,
      since: at,
      newest: at,
      end: at,
      threshold,
      query,
    })
  }

  private async announce(): Promise<void> {
    const { publisher, topic, log } = this.settings
    const news = this.untold
    try {
      if (topic !== null) await publisher.send(topic, news.map(recordOf))
    } catch (error) {
      log.error({}, `alerts of the pipeline are not told, tried again: ${messageOf(error)}`)
      return
    }
    this.untold = []
    for (const { state, rule, subject, value, threshold, message } of news)
      log[state === 'raised' ? 'warn' : 'info']({ rule, subject, value, threshold }, message)
    const stored = this.store(news.map(alertRow))
    // an alarm about a store that is away does not wait for it
    if (this.settings.tables?.waiting() === undefined) await stored
  }

  private async store(rows: readonly TableRow[]): Promise<void> {
    try {
      await this.settings.tables?.insert('alerts', rows)
    } catch (error) {
      this.settings.log.error({}, `alerts of the pipeline are in no table: ${messageOf(error)}`)
    }
  }
}

function recordOf(news: News) {
  const alert = alertOf(news)
  const { rule, subject, since, until } = alert
  return {
    key: Buffer.from(subject),
    value: Buffer.from(JSON.stringify(alert)),
    headers: { id: `${rule}/${subject}/${since}/${until ?? 'open'}` },
  }
}

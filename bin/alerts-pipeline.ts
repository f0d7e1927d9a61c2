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

export class PipelineAlerts {
  private readonly settings: PipelineAlertsSettings
  private readonly rules: readonly Rule[]
  private readonly engine: RuleEngine
  private known = new Set<string>()

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
    const news = this.engine.judge()
    if (news.length > 0) await this.announce(news)
  }

  /** Forgets tasks that moved away and takes over what is open of those that came. */
  private async follow(rows: readonly TableRow[]): Promise<void> {
    const here = new Set(rows.map(row => `${row.topology}-${row.partition}`))
    for (const subject of this.known)
      if (!here.has(subject))
        for (const { name } of this.rules) this.engine.forget({ rule: name, subject, segment: '' })
    const came = [...here].filter(subject => !this.known.has(subject))
    this.known = here
    const { tables } = this.settings
    if (came.length === 0 || tables === null || tables.waiting() !== undefined) return
    try {
      for (const open of await this.openAlerts(came)) this.takeOver(open)
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
    const series = newSeries({ rule, subject, segment: '' })
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

  private async announce(news: readonly News[]): Promise<void> {
    const { publisher, topic, tables, log } = this.settings
    for (const { state, rule, subject, value, threshold, message } of news)
      log[state === 'raised' ? 'warn' : 'info']({ rule, subject, value, threshold }, message)
    try {
      if (topic !== null) await publisher.send(topic, news.map(recordOf))
      await tables?.insert('alerts', news.map(alertRow))
    } catch (error) {
      log.error({}, `alerts of the pipeline are not told: ${messageOf(error)}`)
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

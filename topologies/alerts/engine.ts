/**
 * The rule engine: is shown the rows of a commit, judges each series of each rule window by window, and says which alarms
 * were raised and which are over. Without clock, sink or stream.
 *
 *  - R1 A window is judged once, in order of time, by the first revision that tells its figure. A correction says what a
 *       window was in the end; alarms are about what comes, are counted in windows in a row, and one that was raised and
 *       read can't be unsaid.
 *  - R2 A figure that can't be told (null, of too few rows, before there is a history) is not shown to its alarm: it neither
 *       raises nor ends one.
 *  - R3 Every alarm ends: its figures are back, or none came for `silentMs`, or its rule is gone.
 *  - R4 At most `maxSeries` are held. Quiet ones of which nothing came for `silentMs` make room; beyond that new ones are
 *       counted and not watched.
 */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { step } from '../drift/alarm.ts'
import { judge, remember } from './condition.ts'
import { type Rule, windowSizes } from './rule-file.ts'
import { newSeries, type Series, type SeriesId, seriesKey } from './series.ts'
import { hasN, keysOf, spanOf, tables } from './tables.ts'
import { clearedMessage, queryOf, raisedMessage, subjectOf, withSegment } from './words.ts'

/** Of event time. Two days: the longest window is one. */
export const silentMs = 2 * 86_400_000

export interface News extends SeriesId {
  readonly state: 'raised' | 'cleared'
  /** Start of the first window of the run that raised it; end of the one that ended it. ms */
  readonly since: number
  readonly until: number | null
  readonly value: number | null
  readonly threshold: number | null
  readonly message: string
  readonly query: string
}

export interface EngineSettings {
  readonly database: string
  readonly maxSeries: number
  /** A series changed, or is held no longer. */
  changed?(series: Series): void
  dropped?(series: Series): void
  /** A new series beyond the limit. */
  refused?(): void
}

/** What is to be judged of one series and window: its row, or the first of several that repeat the figure. */
interface Observed {
  readonly rule: Rule
  readonly id: SeriesId
  readonly row: TableRow
  readonly start: number
  readonly end: number
  readonly n: number
}

export class RuleEngine {
  private readonly settings: EngineSettings
  private readonly byTable = new Map<string, Rule[]>()
  private readonly names: ReadonlySet<string>
  private readonly series = new Map<string, Series>()
  private observed = new Map<string, Observed>()
  /** Newest end of a window seen, ms, and up to where silence was looked for. */
  private newest = 0
  private sweptAt = 0

  constructor(rules: readonly Rule[], settings: EngineSettings) {
    this.settings = settings
    this.names = new Set(rules.map(rule => rule.name))
    for (const rule of rules) {
      const known = this.byTable.get(rule.table)
      if (known) known.push(rule)
      else this.byTable.set(rule.table, [rule])
    }
  }

  /** Hot where many figures are written: most rows fit no rule. */
  observe(table: string, row: TableRow): void {
    const rules = this.byTable.get(table)
    if (rules === undefined) return
    for (const rule of rules) if (fits(rule, row)) this.take(rule, row)
  }

  private take(rule: Rule, row: TableRow): void {
    const spec = tables[rule.table]
    const { start, end } = spanOf(rule.table, row)
    if (rule.window !== undefined && end - start !== windowSizes[rule.window]) return
    const figure = row[rule.column]
    if (figure === null || figure === undefined) return
    const hasSegment = keysOf(rule.table, rule.column).includes('segment')
    const segment = hasSegment ? String(row.segment) : ''
    const id = { rule: rule.name, subject: subjectOf(rule, row), segment }
    const key = `${seriesKey(id)}\n${start}`
    if (this.observed.has(key)) return
    const n = hasN(rule.table, rule.column) ? rowsOf(row[spec.n ?? '']) : 0
    this.observed.set(key, { rule, id, row, start, end, n })
  }

  /** Judges what was observed since the last call, in order of time. */
  judge(): News[] {
    const news: News[] = []
    if (this.observed.size > 0) {
      // a part comes after the whole, by which it is known to say the same
      const all = [...this.observed.values()].sort(
        (a, b) => a.end - b.end || a.start - b.start || bySegment(a, b),
      )
      this.observed = new Map()
      for (const each of all) {
        const found = this.judgeOne(each)
        if (found) news.push(found)
      }
    }
    return [...news, ...this.endSilent()]
  }

  private judgeOne(each: Observed): News | undefined {
    const { rule, id, start, end, n } = each
    this.newest = Math.max(this.newest, end)
    if (n < rule.minN) return undefined
    const series = this.seriesOf(id)
    if (series === undefined || start <= series.newest) return undefined
    let news: News | undefined
    // passed, so that a correction is not judged in its place; not heard of, so that an open alarm still ends (R3)
    if (this.saysTheSame(each)) series.newest = start
    else news = this.show(series, each)
    this.settings.changed?.(series)
    return news
  }

  private show(series: Series, { rule, id, row, start, end, n }: Observed): News | undefined {
    const given = row[rule.column]
    const figure = {
      value: typeof given === 'number' ? given : null,
      text: typeof given === 'string' ? given : '',
      threshold: numberOrNull(row.threshold),
      high: numberOrNull(row.high),
    }
    const verdict = judge(rule.condition, figure, series.history)
    const { since } = series
    const said = verdict && step(series, start, verdict.over, rule.raise, rule.clear)
    const suspect = verdict?.over === true || series.raised
    remember(rule.condition, series.history, figure.value, suspect)
    series.newest = start
    series.n = n
    series.end = end
    if (verdict === undefined || said === undefined) return undefined
    const { threshold } = verdict
    const found = { ...id, ...figure, threshold, since: said === 'raised' ? series.since : since }
    const told = { ...id, since: found.since, value: figure.value, threshold }
    if (said === 'raised') {
      series.threshold = threshold
      series.query = queryOf(rule, row, series.since, this.settings.database)
      const message = raisedMessage(rule, row, found)
      return { ...told, state: 'raised', until: null, message, query: series.query }
    }
    const { query } = series
    series.query = ''
    const message = clearedMessage(rule, row, found, end)
    return { ...told, state: 'cleared', until: end, message, query }
  }

  /** With one surface, or one policy, its figures are those of the whole: their alarm would be the same one twice. */
  private saysTheSame({ rule, id, row, start, n }: Observed): boolean {
    const { parts } = tables[rule.table]
    if (n === 0 || parts.every(part => (row[part] ?? '') === '')) return false
    const subject = subjectOf(rule, { ...row, ...noParts(parts) })
    const whole = this.series.get(seriesKey({ rule: id.rule, subject, segment: '' }))
    return whole !== undefined && whole.newest === start && whole.n === n
  }

  private seriesOf(id: SeriesId): Series | undefined {
    const key = seriesKey(id)
    const known = this.series.get(key)
    if (known) return known
    if (this.series.size >= this.settings.maxSeries) this.forgetSilent()
    if (this.series.size >= this.settings.maxSeries) {
      this.settings.refused?.()
      return undefined
    }
    const made = newSeries(id)
    this.series.set(key, made)
    return made
  }

  /** Quiet series that nothing came of for long. */
  private forgetSilent(): void {
    for (const series of this.series.values())
      if (!series.raised && series.end < this.newest - silentMs) this.drop(series)
  }

  private drop(series: Series): void {
    this.series.delete(seriesKey(series))
    this.settings.dropped?.(series)
  }

  /** R3, looked for once an hour of event time. */
  private endSilent(): News[] {
    const hour = Math.floor(this.newest / 3_600_000)
    if (hour === this.sweptAt) return []
    this.sweptAt = hour
    const news: News[] = []
    for (const series of this.series.values()) {
      const gone = !this.names.has(series.rule)
      if (!series.raised) {
        if (gone) this.drop(series)
        continue
      }
      if (!gone && series.end >= this.newest - silentMs) continue
      news.push(endOf(series, gone ? 'its rule is gone' : 'nothing was heard of it for two days'))
      this.drop(series)
    }
    return news
  }

  /** Series as they were: at a restore, or open alarms that an earlier process left. */
  restore(series: Series): void {
    this.series.set(seriesKey(series), series)
    this.newest = Math.max(this.newest, series.end)
  }

  isRaised(id: SeriesId): boolean {
    return this.series.get(seriesKey(id))?.raised === true
  }

  forget(id: SeriesId): void {
    this.series.delete(seriesKey(id))
  }

  get size(): number {
    return this.series.size
  }
}

function endOf(series: Series, why: string): News {
  const { rule, subject, segment, since, threshold, query } = series
  const until = Math.max(series.end, since)
  const message = `${withSegment(subject, segment)}: the alarm ${rule} is taken back, ${why}`
  return {
    rule,
    subject,
    segment,
    state: 'cleared',
    since,
    until,
    value: null,
    threshold,
    message,
    query,
  }
}

function fits(rule: Rule, row: TableRow): boolean {
  for (const [key, patterns] of rule.where) {
    const value = String(row[key] ?? '')
    // with nothing but exceptions, everything else fits
    let fitting = patterns.every(isException)
    for (const pattern of patterns)
      if (!isException(pattern)) fitting ||= matches(pattern, value)
      else if (matches(pattern.slice(1), value)) return false
    if (!fitting) return false
  }
  return true
}

function isException(pattern: string): boolean {
  return pattern.startsWith('!')
}

function matches(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : pattern === value
}

function bySegment(a: Observed, b: Observed): number {
  const x = seriesKey(a.id)
  const y = seriesKey(b.id)
  return x < y ? -1 : x > y ? 1 : 0
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function rowsOf(value: unknown): number {
  return Math.max(0, Math.round(Number(value) || 0))
}

function noParts(parts: readonly string[]): TableRow {
  return Object.fromEntries(parts.map(part => [part, '']))
}

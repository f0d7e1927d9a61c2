/** How an alert says what it is about, how far it went, and which query shows it. */
import type { TableRow } from '../../streams/topology/outbox.ts'
import type { Rule } from './rule-file.ts'
import { windowSizes } from './rule-file.ts'
import { hasN, keysOf, tables } from './tables.ts'

/** The keys that a rule pins to one value each; the others tell its series apart. */
function isPinned(rule: Rule, key: string): boolean {
  const patterns = rule.where.get(key)
  return patterns?.length === 1 && !/^!|\*$/.test(patterns[0])
}

/** What the row is about, and by which values the series differs from the rule's others: `ctr policy=blend-pl@3`. */
export function subjectOf(rule: Rule, row: TableRow): string {
  const [main, ...others] = keysOf(rule.table, rule.column)
  if (rule.table === 'pipeline') return `${row.topology}-${row.partition}`
  const told = others.filter(key => key !== 'segment' && !isPinned(rule, key) && row[key] !== '')
  return [String(row[main]), ...told.map(key => `${key}=${row[key]}`)].join(' ')
}

export const withSegment = (subject: string, segment: string): string =>
  segment === '' ? subject : `${subject}[${segment}]`

/** What was measured: the statistic of `drift`, else the column. */
function measureOf(rule: Rule, row: TableRow): string {
  if (rule.table === 'drift' && isPinned(rule, 'statistic')) return String(row.statistic)
  return rule.column === 'value' ? 'value' : rule.column
}

const spell = (value: number): string => String(Number(value.toPrecision(4)))

const iso = (ms: number): string => new Date(ms).toISOString()

/** How many times the threshold; undefined where that says nothing. */
export function ratioOf(value: number | null, threshold: number | null): number | undefined {
  if (value === null || threshold === null || threshold === 0) return undefined
  return value / threshold
}

export interface Finding {
  readonly subject: string
  readonly segment: string
  /** ms */
  readonly since: number
  readonly value: number | null
  readonly text: string
  readonly threshold: number | null
}

export function raisedMessage(rule: Rule, row: TableRow, found: Finding): string {
  const where = withSegment(found.subject, found.segment)
  const measure = measureOf(rule, row)
  const { condition } = rule
  const ratio = ratioOf(found.value, found.threshold)
  const times = ratio === undefined ? '' : ` (${spell(ratio)} times)`
  const limit = found.threshold === null ? '' : spell(found.threshold)
  const value = found.value === null ? found.text : spell(found.value)
  let far: string
  switch (condition.kind) {
    case 'is':
      far = `is ${found.text}`
      break
    case 'above':
      far = `${value} is above ${limit}${times}`
      break
    case 'below':
      far = `${value} is below ${limit}${times}`
      break
    case 'outside':
      far = `${value} is outside ${condition.low} to ${condition.high}`
      break
    case 'drop':
      far = `${value} is over ${spell(100 * condition.share)}% below the mean of the ${condition.against} before, ${spell((found.threshold ?? 0) / (1 - condition.share))}`
      break
  }
  const reference = rule.table === 'drift' && row.reference ? ` against ${row.reference}` : ''
  return `${where}: ${measure} ${far}${windowText(rule)}${reference} since ${iso(found.since)}`
}

export function clearedMessage(rule: Rule, row: TableRow, found: Finding, until: number): string {
  const where = withSegment(found.subject, found.segment)
  const value = found.value === null ? found.text : spell(found.value)
  const limit = found.threshold === null ? '' : ` (limit ${spell(found.threshold)})`
  return `${where} is back: ${measureOf(rule, row)} ${value}${limit}${windowText(rule)}; it was not from ${iso(found.since)} to ${iso(until)}`
}

function windowText({ window }: Rule): string {
  return window === undefined ? '' : ` in windows of ${window}`
}

const quoted = (value: unknown): string =>
  typeof value === 'number'
    ? String(value)
    : `'${String(value).replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** How much before the alarm began its query shows: so many windows, or an hour where rows are of a moment. */
const windowsBefore = 24
const momentsBeforeMs = 3_600_000

/** The SQL that shows the figures behind an alarm, from some time before it began. */
export function queryOf(rule: Rule, row: TableRow, since: number, database: string): string {
  const { table, column, window } = rule
  const spec = tables[table]
  const time = spec.windows ? 'window_start' : 'time'
  const before = window === undefined ? momentsBeforeMs : windowsBefore * windowSizes[window]
  const from = new Date(Math.max(0, since - before)).toISOString().replace('T', ' ').slice(0, -1)
  const holds = keysOf(table, column).map(key => `${key} = ${quoted(row[key])}`)
  if (window !== undefined) holds.push(`window_end - window_start = ${windowSizes[window] / 1000}`)
  holds.push(`${time} >= toDateTime64('${from}', 3, 'UTC')`)
  const repeated = spec.columns[column].of !== undefined
  const shown = repeated
    ? [`any(${column}) AS figure`, ...(hasN(table, column) ? [`any(${spec.n}) AS n`] : [])]
    : [column, ...spec.shown.filter(each => each !== column)]
  const grouped = repeated ? ` GROUP BY ${time}` : ''
  return `SELECT ${[time, ...shown].join(', ')} FROM ${database}.v_${table} WHERE ${holds.join(' AND ')}${grouped} ORDER BY ${time}`
}

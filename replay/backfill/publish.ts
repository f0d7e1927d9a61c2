/**
 * Brings a backfill's rows from under its own name to live's place, once all are there.
 *
 *  - U1 A row that says what live's row of its key says is not written: publishing again, or the same backfill again, changes
 *       nothing.
 *  - U2 Any other stands one revision above live's row: what live writes for the key later (a correction, a newer generation)
 *       stands above it in turn.
 *  - U3 Live's rows without a counterpart stay.
 *  - U4 A row of a user that live has erased since it was shown is not brought over: the computation knew of erasures as of its
 *       beginning.
 *
 * A day of the column of time at a time, so that memory does not grow with the range.
 */
import type { SqlPort } from '../../sinks/clickhouse/connection.ts'
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import type { Backfill } from '../shadow/spec.ts'
import { type BackfillTable, backfillTableSpecs, dayMs } from './tables.ts'

export interface PublishedTable {
  readonly table: string
  /** Rows of keys that live had none of, rows that differed from live's, and rows that were the same. */
  readonly added: number
  readonly changed: number
  readonly same: number
  /** Live's rows of the time that have no counterpart. */
  readonly stay: number
}

export interface PublishSettings {
  readonly sql: SqlPort
  readonly database: string
  /** The name that the rows stand under. */
  readonly run: string
  readonly backfill: Backfill
  readonly onDay?: (table: string, done: number, days: number) => void
}

export async function publish(settings: PublishSettings): Promise<PublishedTable[]> {
  const { sql, database, backfill } = settings
  const published: PublishedTable[] = []
  for (const table of backfill.tables) {
    const columns = await sql.query<{ name: string }>(
      `SELECT name FROM system.columns WHERE database = ${sqlText(database)} AND table = ${sqlText(table)} ORDER BY position`,
    )
    const names = columns.map(({ name }) => name)
    published.push(await publishTable(settings, table, names))
  }
  return published
}

async function publishTable(
  { sql, database, run, backfill: { fromMs, toMs }, onDay }: PublishSettings,
  table: string,
  names: readonly string[],
): Promise<PublishedTable> {
  const sums = { added: 0, changed: 0, same: 0, stay: 0 }
  const days = Math.ceil((toMs - fromMs) / dayMs)
  for (let day = 0; day < days; day++) {
    const from = fromMs + day * dayMs
    const statements = statementsOf({
      of: backfillTableSpecs[table],
      place: `${database}.${table}`,
      erasures: `${database}.erasures`,
      names,
      run,
      from,
      to: Math.min(from + dayMs, toMs),
    })
    const [found] = await sql.query<Record<keyof typeof sums, unknown>>(statements.count)
    for (const what of ['added', 'changed', 'same', 'stay'] as const)
      sums[what] += Number(found[what])
    if (Number(found.added) + Number(found.changed) > 0) await sql.command(statements.insert)
    onDay?.(table, day + 1, days)
  }
  return { table, ...sums }
}

/** Columns that say where a row is from, not what it says. */
const about: ReadonlySet<string> = new Set(['run', 'revision', 'inserted_at'])

/** What counts a slice's rows, and what writes those that differ. Times in ms: [from, to). */
function statementsOf(slice: {
  readonly of: BackfillTable
  readonly place: string
  readonly erasures: string
  readonly names: readonly string[]
  readonly run: string
  readonly from: number
  readonly to: number
}): { count: string; insert: string } {
  const { of, place, erasures, names, run, from, to } = slice
  const at = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}), 'UTC')`
  const rowsOf = (name: string): string =>
    `(SELECT *, 1 AS there FROM ${place} FINAL WHERE run = ${sqlText(name)} AND ${of.time} >= ${at(from)} AND ${of.time} < ${at(to)})`
  const ofRun = of.key.includes('user')
    ? `(SELECT x.* FROM ${rowsOf(run)} AS x
        LEFT JOIN (SELECT pseudonym, max(asked) AS erased FROM ${erasures} WHERE run = 'live' GROUP BY pseudonym) AS e
          ON x.user = e.pseudonym WHERE x.${of.time} > e.erased)`
    : rowsOf(run)
  const key = of.key.map(name => `\`${name}\``)
  const keys = `(${key.join(', ')})`
  const values = names.filter(name => !about.has(name) && !of.key.includes(name))
  const ours = values.map(name =>
    of.keeps.includes(name)
      ? `if(empty(s.\`${name}\`), l.\`${name}\`, s.\`${name}\`)`
      : `s.\`${name}\``,
  )
  const theirs = values.map(name => `l.\`${name}\``)
  const differs = `toString(tuple(${ours.join(', ')})) != toString(tuple(${theirs.join(', ')}))`
  const joined = `FROM ${ofRun} AS s LEFT JOIN ${rowsOf('live')} AS l USING ${keys}`
  const quoted = [...key, ...values.map(name => `\`${name}\``)]
  return {
    count: `SELECT countIf(l.there = 0) AS added, countIf(l.there = 1 AND ${differs}) AS changed,
        countIf(l.there = 1 AND NOT (${differs})) AS same,
        (SELECT count() FROM ${rowsOf('live')}) - changed - same AS stay
      ${joined}`,
    insert: `INSERT INTO ${place} (run, ${quoted.join(', ')}, revision)
      SELECT 'live', ${[...key.map(name => `s.${name}`), ...ours].join(', ')}, if(l.there = 1, l.revision + 1, 1)
      ${joined} WHERE l.there = 0 OR ${differs}`,
  }
}

/** Takes the rows under the backfill's own name away; resolves when they are gone. */
export async function dropRows({ sql, database, run, backfill }: PublishSettings): Promise<void> {
  for (const table of backfill.tables)
    await sql.command(
      `ALTER TABLE ${database}.${table} DELETE WHERE run = ${sqlText(run)} SETTINGS mutations_sync = 1`,
    )
}

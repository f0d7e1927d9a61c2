/**
 * Rows of tables that live lacks after a cutover. The replay's state knows them as written, and they were, under the replay's
 * name: a window that ended just before the change and that the old workers had not closed yet, or what they could not
 * bring out any more. Nobody would write them again, so they are copied; live's own rows stay as they are.
 */
import type { SqlPort } from '../../sinks/clickhouse/connection.ts'
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { backfillTableSpecs, dayMs } from '../backfill/tables.ts'

/** Before the newest row of a table: the longest windows are a day, and labels come hours later. */
const BACK_MS = 2 * dayMs

/** Columns that are not copied: whose row it is, and when it came. */
const OWN = new Set(['run', 'inserted_at'])

/** Copies them; gives how many there were by table. May be repeated. */
export async function copyMissingRows(
  sql: SqlPort,
  database: string,
  replay: string,
): Promise<Record<string, number>> {
  const copied: Record<string, number> = {}
  for (const [table, { time, key }] of Object.entries(backfillTableSpecs)) {
    const place = `${database}.${table}`
    const run = sqlText(replay)
    const [{ n, newest }] = await sql.query<{ n: number; newest: number }>(
      `SELECT toUInt32(count()) AS n, toFloat64(toUnixTimestamp64Milli(max(${time}))) AS newest FROM ${place} WHERE run = ${run}`,
    )
    if (Number(n) === 0) continue
    const columns = await sql.query<{ name: string }>(
      `SELECT name FROM system.columns WHERE database = ${sqlText(database)} AND table = ${sqlText(table)} ORDER BY position`,
    )
    const names = columns.map(({ name }) => name).filter(name => !OWN.has(name))
    const quoted = names.map(name => `\`${name}\``).join(', ')
    const since = `${time} >= fromUnixTimestamp64Milli(toInt64(${Number(newest) - BACK_MS}), 'UTC')`
    const keys = key.map(name => `\`${name}\``).join(', ')
    const missing = `FROM (SELECT * FROM ${place} FINAL WHERE run = ${run} AND ${since}) AS ours
      LEFT ANTI JOIN (SELECT ${keys} FROM ${place} WHERE run = 'live' AND ${since}) AS theirs USING (${keys})`
    const [{ rows }] = await sql.query<{ rows: number }>(
      `SELECT toUInt32(count()) AS rows ${missing}`,
    )
    if (Number(rows) === 0) continue
    await sql.command(`INSERT INTO ${place} (run, ${quoted}) SELECT 'live', ${quoted} ${missing}`)
    copied[table] = Number(rows)
  }
  return copied
}

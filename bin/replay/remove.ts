/**
 * `freshet replay rm`: what a replay has written goes, outside first and its folder last, so that a call that was cut short
 * finds it again. May be repeated.
 */
import { takeLock } from '../../replay/archive/lock.ts'
import { removeUpload, stateInUse } from '../../replay/cutover/states.ts'
import type { ReplayFolder } from '../../replay/shadow/folder.ts'
import { connect as connectTables } from '../../sinks/clickhouse/connect.ts'
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { removeKeys } from '../../sinks/redis/remove-keys.ts'
import { FreshetError } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Values } from '../call.ts'
import { isEmbedded, journalOf, namesOf, openTransport, REACH_MS, tablesUrl } from '../compose.ts'
import { nameOnly } from '../doctor/examine.ts'
import { createLogger } from '../logger.ts'
import { shadowPrefix } from './values.ts'

export interface Removed {
  readonly keys: number
  /** Tables of which rows were removed. */
  readonly tables: readonly string[]
  readonly topics: readonly string[]
  readonly folder: boolean
}

/** Errors: CALL_INVALID while it runs; what can't be reached. */
export async function removeReplay(values: Values, folder: ReplayFolder): Promise<Removed> {
  const isThere = folder.exists
  const release = isThere ? takeLock(folder.dir, 'rm', 'the replay') : () => undefined
  try {
    const topics = await removeTopics(values, folder.name)
    const keys = await removeViews(values, folder.name)
    const tables = await removeRows(values, folder.name)
    folder.remove()
    return { keys, tables, topics, folder: isThere }
  } finally {
    release()
  }
}

async function removeViews(values: Values, name: string): Promise<number> {
  const url = values['redis.url']
  if (url === '' || url === 'none') return 0
  return removeKeys(url, shadowPrefix(values['redis.prefix'], name))
}

async function removeRows(values: Values, name: string): Promise<string[]> {
  const url = tablesUrl(values)
  if (url === undefined) return []
  const sql = await connectTables(url)
  const database = values['clickhouse.database']
  const run = `run = ${sqlText(name)}`
  try {
    const withRuns = await sql.query<{ table: string }>(
      `SELECT c.table AS table FROM system.columns c JOIN system.tables t ON t.database = c.database AND t.name = c.table WHERE c.database = ${sqlText(database)} AND c.name = 'run' AND t.engine LIKE '%MergeTree' ORDER BY c.table`,
    )
    const removed: string[] = []
    for (const { table } of withRuns) {
      const of = `${database}.${table}`
      const found = await sql.query(`SELECT 1 FROM ${of} WHERE ${run} LIMIT 1`)
      if (found.length === 0) continue
      await sql.command(`ALTER TABLE ${of} DELETE WHERE ${run} SETTINGS mutations_sync = 1`)
      removed.push(table)
    }
    return removed
  } finally {
    await sql.close()
  }
}

/**
 * Topics that a cutover made for its state.
 * Errors: CALL_INVALID while that state is live, or kept for a rollback.
 */
async function removeTopics(values: Values, name: string): Promise<string[]> {
  if (isEmbedded(values)) return []
  const log = createLogger(values['log.level'])
  const transport = await openTransport({ values, log, metrics: noMetrics }, REACH_MS)
  try {
    const names = namesOf(values)
    const inUse = stateInUse(await journalOf(values, transport).read(), names, name)
    if (inUse !== undefined) throw new FreshetError('CALL_INVALID', inUse)
    const { kinds } = await nameOnly({ ...values, topologies: 'all' })
    const removed = await removeUpload(
      transport,
      names,
      name,
      kinds.map(kind => kind.name),
    )
    return removed.sort()
  } finally {
    await transport.close()
  }
}

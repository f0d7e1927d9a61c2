/** Redis and ClickHouse: there, new enough, kept as they must be. Nothing is written. */
import { createRequire } from 'node:module'
import { newestMigration } from '../../sinks/clickhouse/migrate.ts'
import type { ClickHouseStore } from '../../sinks/clickhouse/store.ts'
import type { RedisCondition } from '../../sinks/redis/store.ts'
import { messageOf } from '../../streams/errors.ts'
import { count } from '../terminal.ts'
import { type Finding, ok, orOk, warning, wrong } from './finding.ts'

const OLDEST_REDIS = 5
const MEGABYTE = 1024 * 1024
/** A list of 50 and a session hash with their keys. */
const USER_BYTES = 4 * 1024

/** `users`: how many are to be stored, where it is known. */
export function checkRedis(condition: RedisCondition, users?: number): readonly Finding[] {
  const check = 'redis'
  const { address, version, evictionPolicy, usedBytes, maxBytes, cluster, roundTripMs } = condition
  const found: Finding[] = []
  if (Number.parseInt(version, 10) < OLDEST_REDIS)
    found.push(wrong(check, `${address} is Redis ${version}`, 'use Redis 5 or newer'))
  if (!/^(noeviction|volatile-)/.test(evictionPolicy))
    found.push(
      warning(
        check,
        `${address} has maxmemory-policy ${evictionPolicy}: when memory is full it may drop freshet:blocked, and withdrawn items are seen again`,
        'CONFIG SET maxmemory-policy volatile-ttl (or noeviction), and in its configuration file',
      ),
    )
  const needed = users === undefined ? usedBytes : Math.max(usedBytes, users * USER_BYTES)
  if (maxBytes > 0 && needed > maxBytes * 0.9)
    found.push(
      warning(
        check,
        `${address} uses ${count(Math.round(usedBytes / MEGABYTE))} MB of ${count(Math.round(maxBytes / MEGABYTE))} MB${users === undefined ? '' : `; ${count(users)} users need about ${count(Math.round(needed / MEGABYTE))} MB`}`,
        'raise maxmemory, or shorten topk.life, topk.size, or set topk.format=compact',
      ),
    )
  return orOk(
    found,
    check,
    `${address}${cluster ? ' (cluster)' : ''}, Redis ${version}, ${roundTripMs.toFixed(1)} ms, ${evictionPolicy}, ${count(Math.round(usedBytes / MEGABYTE))} MB used`,
  )
}

export async function checkClickHouse(tables: ClickHouseStore, database: string): Promise<Finding> {
  const check = 'clickhouse'
  try {
    const [{ version }] = await tables.query<{ version: string }>('SELECT version() AS version')
    const [{ made }] = await tables.query<{ made: string }>(
      `SELECT count() AS made FROM system.tables WHERE database = '${database}' AND name = 'migrations'`,
    )
    const [{ newest }] =
      Number(made) === 0
        ? [{ newest: 0 }]
        : await tables.query<{ newest: number }>(
            `SELECT max(number) AS newest FROM ${database}.migrations`,
          )
    const where = `${tables.name} ${version}, database ${database}`
    if (Number(newest) > newestMigration)
      return wrong(
        check,
        `${where} stands at migration ${newest}, this freshet knows up to ${newestMigration}`,
        'run the newer freshet, or name another database with clickhouse.database',
      )
    return ok(
      check,
      Number(newest) === newestMigration
        ? `${where}, migrated to ${newest}`
        : `${where}; \`freshet run\` migrates it from ${newest} to ${newestMigration}`,
    )
  } catch (error) {
    return wrong(
      check,
      `${tables.name} does not answer: ${messageOf(error).split('\n')[0]}`,
      'start it, see that user and password stand in FRESHET_CLICKHOUSE_URL, or set it to none to go without statistics',
    )
  }
}

/** The embedded ClickHouse is an optional package. It is not opened: another process may have it. */
export function checkEmbeddedClickHouse(): Finding {
  const check = 'clickhouse'
  try {
    createRequire(import.meta.url).resolve('chdb')
    return ok(check, 'the embedded one is installed')
  } catch (error) {
    return wrong(
      check,
      `none is named, and the embedded one is not installed (${messageOf(error).split('\n')[0]})`,
      'npm install without --omit=optional, set FRESHET_CLICKHOUSE_URL, or clickhouse.url=none to go without statistics',
    )
  }
}

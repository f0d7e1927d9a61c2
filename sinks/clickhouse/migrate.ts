/**
 * Numbered migrations, kept in the table `migrations`. Every statement may be run twice (IF NOT EXISTS): several workers
 * that start together do no harm, and a worker killed in the middle goes on at its next start.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { SqlPort } from './connection.ts'
import { tablesMigration } from './migrations/0001-tables.ts'
import { outcomesMigration } from './migrations/0002-outcomes.ts'
import { calibrationMigration } from './migrations/0004-calibration.ts'
import { slatesMigration } from './migrations/0005-slates.ts'
import { experimentsMigration } from './migrations/0006-experiments.ts'

export interface Migration {
  readonly number: number
  readonly name: string
  statements(database: string): readonly string[]
}

/** In order of their numbers. */
export const migrations: readonly Migration[] = [
  tablesMigration,
  outcomesMigration,
  calibrationMigration,
  slatesMigration,
  experimentsMigration,
]

/** The number that a database of this version stands at. */
export const newestMigration = Math.max(...migrations.map(({ number }) => number))

export interface Retention {
  /** How long stored rows of a table live, ms. */
  readonly examples: number
  readonly slates: number
}

/**
 * Brings the database to the newest migration and sets the declared retention where it differs.
 * Returns the numbers that were applied now.
 * Errors: DEPENDENCY_UNSUITABLE for a database that a newer freshet has migrated.
 */
export async function migrate(
  sql: SqlPort,
  database: string,
  retention: Retention,
): Promise<number[]> {
  await sql.command(`CREATE DATABASE IF NOT EXISTS ${database}`)
  await sql.command(
    `CREATE TABLE IF NOT EXISTS ${database}.migrations
     (number UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
     ENGINE = ReplacingMergeTree ORDER BY number`,
  )
  const rows = await sql.query<{ number: number }>(
    `SELECT DISTINCT number FROM ${database}.migrations`,
  )
  const done = new Set(rows.map(row => Number(row.number)))
  const beyond = Math.max(0, ...done)
  if (beyond > newestMigration)
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `ClickHouse database ${database} stands at migration ${beyond}, this freshet knows up to ${newestMigration}; run the newer freshet, or name another database with clickhouse.database`,
    )
  const applied: number[] = []
  for (const migration of migrations) {
    if (done.has(migration.number)) continue
    for (const statement of migration.statements(database)) await sql.command(statement)
    await sql.command(
      `INSERT INTO ${database}.migrations (number, name) VALUES (${migration.number}, '${migration.name}')`,
    )
    applied.push(migration.number)
  }
  await keepFor(sql, database, 'examples', retention.examples)
  await keepFor(sql, database, 'slates', retention.slates)
  return applied
}

/** Sets the TTL of a table whose rows carry `inserted_at`; changes nothing where it already is so. */
async function keepFor(
  sql: SqlPort,
  database: string,
  table: string,
  retentionMs: number,
): Promise<void> {
  const seconds = Math.max(1, Math.round(retentionMs / 1000))
  const [{ engine_full }] = await sql.query<{ engine_full: string }>(
    `SELECT engine_full FROM system.tables WHERE database = '${database}' AND name = '${table}'`,
  )
  if (engine_full.includes(`TTL inserted_at + toIntervalSecond(${seconds})`)) return
  await sql.command(
    `ALTER TABLE ${database}.${table} MODIFY TTL inserted_at + toIntervalSecond(${seconds})`,
  )
}

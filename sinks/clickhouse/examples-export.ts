/**
 * Writes examples with their features as served to a Parquet file: one column a feature. ClickHouse makes the file, a
 * server's answer is streamed into it, so memory does not grow with its size.
 *
 *  - X1 The file has its name only once it is whole: until then it is FILE.part, which the next call begins anew. A server
 *       that fails in the middle of an answer cuts it: a Parquet file ends with the mark it begins with.
 *  - X2 All rows of a file have features of one hash, so a column means one thing.
 *  - X3 Rows of users who gave less consent since are left out (withdrawn.ts).
 */
import { closeSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { Connection, SqlPort } from './connection.ts'
import { sqlText } from './sql-text.ts'
import { mayBeUsed } from './withdrawn.ts'

export interface ExamplesWanted {
  readonly database: string
  /** Event time of the impressions, ms: from, and before. */
  readonly from: number
  readonly to: number
  readonly surface?: string
  /** Only those whose label is known. */
  readonly labelled: boolean
}

/** What the registry says of today's features: in the order of the column `features`. */
export interface FeatureColumns {
  readonly hash: string
  readonly names: readonly string[]
}

/** Rows by the hash of their features; '': they have none. */
export interface FoundExamples {
  readonly hash: string
  readonly rows: number
  /** Event time, ms. */
  readonly first: number
  readonly last: number
}

/** Before the features, in this order. */
const columns = [
  'ts',
  'request',
  'user',
  'item',
  'position',
  'propensity',
  // of a row in training: what was shown rarely counts for more, cut as the response learner does (docs/learning.md)
  'least(10, 1 / ifNull(propensity, 1)) AS weight',
  'policy',
  'model',
  'surface',
  'cohort',
  'experiments',
  'explore',
  'source',
  'list_version',
  'prediction',
  'label',
  'graded',
  'graded_quantile',
  'watched_ms',
  'clicked',
  'completed',
  'returned',
  'feedback',
  'target',
  'feature_hash',
]

export async function countExamples(
  sql: Pick<SqlPort, 'query'>,
  wanted: ExamplesWanted,
): Promise<FoundExamples[]> {
  const rows = await sql.query<Record<'hash' | 'n' | 'a' | 'b', unknown>>(
    `SELECT feature_hash AS hash, count() AS n, toUnixTimestamp64Milli(min(ts)) AS a,
       toUnixTimestamp64Milli(max(ts)) AS b
     FROM ${wanted.database}.v_examples WHERE ${condition(wanted)} GROUP BY hash ORDER BY a`,
  )
  return rows.map(({ hash, n, a, b }) => ({
    hash: String(hash),
    rows: Number(n),
    first: Number(a),
    last: Number(b),
  }))
}

/**
 * Writes those with today's hash. Gives the file's size in bytes.
 * Errors: CALL_INVALID where the file can't be written; the ClickHouse's own, or DEPENDENCY_UNSUITABLE for an answer cut off.
 */
export async function exportExamples(
  connection: Pick<Connection, 'parquet' | 'address'>,
  wanted: ExamplesWanted,
  features: FeatureColumns,
  file: string,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const part = `${file}.part`
  writable(part, file)
  try {
    await connection.parquet(select(wanted, features), part, onBytes)
    const size = statSync(part).size
    if (!isWhole(part, size))
      throw new FreshetError(
        'DEPENDENCY_UNSUITABLE',
        `ClickHouse ${connection.address} broke off its answer after ${size} bytes: ${file} is not written; try again, or a shorter time with --from and --to`,
      )
    renameSync(part, file)
    return size
  } catch (error) {
    rmSync(part, { force: true })
    throw error
  }
}

function select(wanted: ExamplesWanted, { hash, names }: FeatureColumns): string {
  const named = names.map((name, i) => `features[${i + 1}] AS \`${name}\``)
  return `SELECT ${[...columns, ...named].join(', ')} FROM ${wanted.database}.v_examples
    WHERE ${condition(wanted)} AND feature_hash = ${sqlText(hash)}`
}

function condition({ database, from, to, surface, labelled }: ExamplesWanted): string {
  const at = (ms: number): string => `fromUnixTimestamp64Milli(${ms}, 'UTC')`
  const parts = [`ts >= ${at(from)}`, `ts < ${at(to)}`, mayBeUsed(database, { from, to })]
  if (surface !== undefined) parts.push(`surface = ${sqlText(surface)}`)
  if (labelled) parts.push('label IS NOT NULL')
  return parts.join(' AND ')
}

/** Leaves no file behind: the engine makes it. */
function writable(part: string, file: string): void {
  try {
    closeSync(openSync(part, 'w'))
    rmSync(part)
  } catch (error) {
    throw new FreshetError('CALL_INVALID', `${file} can't be written: ${messageOf(error)}`, error)
  }
}

const mark = 'PAR1'

function isWhole(file: string, size: number): boolean {
  if (size < 2 * mark.length) return false
  const handle = openSync(file, 'r')
  try {
    const at = (position: number): string => {
      const bytes = Buffer.alloc(mark.length)
      readSync(handle, bytes, 0, mark.length, position)
      return bytes.toString('latin1')
    }
    return at(0) === mark && at(size - mark.length) === mark
  } finally {
    closeSync(handle)
  }
}

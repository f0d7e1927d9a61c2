/**
 * The log as it stands in ClickHouse: `examples` for impressions and outcomes, `slates` for what else could have been drawn.
 * Rows of users who gave less consent since are passed over.
 */

import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { mayBeUsed } from '../../sinks/clickhouse/withdrawn.ts'
import type { LoggedImpression } from './impressions.ts'
import { type Metric, type Outcome, rewardOf } from './rewards.ts'
import type { ShownSlate, SlateImpression } from './slates.ts'

export interface LogExtent {
  /** ms; from inclusive, to exclusive. */
  readonly from: number
  readonly to: number
  /** Logged policy; undefined: all. */
  readonly logged?: string
  /** `surface`, `cohort`, `policy`, `model` to a value. */
  readonly segment: Readonly<Record<string, string>>
}

export const segmentKeys = ['surface', 'cohort', 'policy', 'model'] as const

export interface LoggedTables {
  query<T>(sql: string): Promise<T[]>
}

interface ExampleRow extends Outcome {
  readonly user: string
  readonly request: string
  readonly surface: string
  readonly list_version: string
  readonly item: string
  readonly position: number
  readonly propensity: number | null
}

type StoredSlate = ShownSlate['row'] & {
  readonly user: string
  readonly list_version: string
}

export interface RewardSettings {
  readonly metric: Metric
  /** Of a play's watch time, ms. */
  readonly capMs: number
}

/** Every impression of the extent. A list version is one draw; an impression without one is its request's. */
export async function loggedImpressions(
  tables: LoggedTables,
  database: string,
  extent: LogExtent,
  { metric, capMs }: RewardSettings,
): Promise<LoggedImpression[]> {
  const rows = await tables.query<ExampleRow>(
    `SELECT user, request, surface, list_version, item, position, propensity, ${outcomes} FROM ${database}.v_examples WHERE ${where(database, extent)} ORDER BY ts`,
  )
  return rows.map(row => ({
    user: row.user,
    request: row.list_version || row.request,
    surface: row.surface,
    item: row.item,
    position: row.position,
    propensity: row.propensity,
    reward: rewardOf(metric, row, capMs),
    pTarget: null,
    q: null,
    qTarget: null,
    otherWeight: null,
  }))
}

export interface LoggedSlates {
  readonly slates: readonly ShownSlate[]
  /** Lists of the extent, sampled or not. */
  readonly lists: number
  readonly policies: readonly string[]
}

/** The sampled lists of which something was shown within the extent. `withFeatures`: what a model would rank them by, too. */
export async function loggedSlates(
  tables: LoggedTables,
  database: string,
  extent: LogExtent,
  { metric, capMs }: RewardSettings,
  withFeatures = false,
): Promise<LoggedSlates> {
  const sampled = `(user, surface, list_version) IN (SELECT user, surface, list_version FROM ${database}.v_slates WHERE list_version != '')`
  const condition = `${where(database, extent)} AND list_version != ''`
  const examples = await tables.query<ExampleRow>(
    `SELECT user, request, surface, list_version, item, position, propensity, ${outcomes} FROM ${database}.v_examples WHERE ${condition} AND ${sampled} ORDER BY ts`,
  )
  const rows = await tables.query<StoredSlate>(
    `SELECT user, list_version, surface, policy, candidates, list, propensities${withFeatures ? ', ranker_features, feature_hash, bucket, log_weights' : ''} FROM ${database}.v_slates WHERE (user, surface, list_version) IN (SELECT user, surface, list_version FROM ${database}.v_examples WHERE ${condition}) ORDER BY ts`,
  )
  const [{ lists }] = await tables.query<{ lists: number }>(
    `SELECT toUInt32(uniqExact(user, surface, list_version)) AS lists FROM ${database}.v_examples WHERE ${condition}`,
  )
  const impressions = new Map<string, SlateImpression[]>()
  for (const row of examples) {
    const key = keyOf(row)
    const list = impressions.get(key) ?? []
    impressions.set(key, list)
    const { item, propensity } = row
    list.push({ item, propensity, reward: rewardOf(metric, row, capMs) })
  }
  const slates = rows.flatMap(row => {
    const shown = impressions.get(keyOf(row))
    return shown === undefined ? [] : [{ user: row.user, row, impressions: shown }]
  })
  return { slates, lists, policies: [...new Set(rows.map(({ policy }) => policy))].sort() }
}

const outcomes = 'label, clicked, completed, returned, watched_ms, graded, target'

const keyOf = (row: {
  readonly user: string
  readonly surface: string
  readonly list_version: string
}): string => JSON.stringify([row.user, row.surface, row.list_version])

function where(database: string, { from, to, logged, segment }: LogExtent): string {
  const at = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}), 'UTC')`
  const conditions = [`ts >= ${at(from)}`, `ts < ${at(to)}`, mayBeUsed(database, { from, to })]
  if (logged !== undefined) conditions.push(`policy = ${sqlText(logged)}`)
  for (const [key, value] of Object.entries(segment)) conditions.push(`${key} = ${sqlText(value)}`)
  return conditions.join(' AND ')
}

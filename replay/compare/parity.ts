/**
 * Offline against online: the features that an example was served with, and those that the replay has for the same
 * impression. Examples are joined by user (pseudonym), request, item and time.
 */
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { featureHash, featureNames } from '../../topologies/blend/features.ts'
import type { QueriedTables, Runs } from './tables.ts'

/** Rows that a comparison looks at; of more, those whose hash is divisible. */
const mostExamples = 400_000
const shownExamples = 5

export interface FeatureParity {
  readonly feature: string
  /** Share of examples whose values are equal within the tolerance. */
  readonly equal: number
  /** Of the two values over the examples (Pearson's); null where one of them does not vary. */
  readonly correlation: number | null
  /** Of recomputed less served, over all examples. */
  readonly meanDifference: number
  readonly meanAbsolute: number
  readonly p95Absolute: number
  readonly largest: number
}

export interface ParityExample {
  readonly user: string
  readonly request: string
  readonly item: string
  /** ms. */
  readonly ts: number
  readonly feature: string
  readonly served: number
  readonly recomputed: number
}

export interface ParityFigures {
  /** Of the larger of the two values, or of the feature's standard deviation over the examples as served. */
  readonly tolerance: number
  /** One of so many examples was looked at. */
  readonly every: number
  /** Looked at: in both runs; with features as served; with recomputed ones; with both, of one feature registry. */
  readonly both: number
  readonly served: number
  readonly recomputed: number
  readonly compared: number
  /** With features of two registries, which mean different things. */
  readonly otherRegistry: number
  /** Of the compared: all features are equal. */
  readonly equal: number
  /** Share of all their values that are equal; null without any. */
  readonly equalValues: number | null
  /** Worst first. */
  readonly features: readonly FeatureParity[]
  readonly examples: readonly ParityExample[]
}

interface Counts {
  readonly both: number
  readonly served: number
  readonly recomputed: number
  readonly compared: number
  readonly otherRegistry: number
  readonly equal: number
}

interface FeatureRow extends Omit<FeatureParity, 'feature' | 'equal'> {
  readonly f: number
  readonly n: number
  readonly same: number
}

/**
 * Equal where |a - b| <= tolerance max(|a|, |b|, s) + 1e-9, s the feature's standard deviation: near 0 a relative difference
 * says nothing of what a ranker makes of it. Features are float32.
 */
export async function compareParity(
  tables: QueriedTables,
  runs: Runs,
  tolerance: number,
): Promise<ParityFigures | null> {
  const { database, replay, with: other } = runs
  const [{ rows }] = await tables.query<{ rows: number }>(
    `SELECT toUInt32(count()) AS rows FROM ${database}.examples WHERE run = ${sqlText(replay)}`,
  )
  if (rows === 0) return null
  const every = Math.max(1, Math.ceil(rows / mostExamples))
  const mine = `run = ${sqlText(replay)}`
  const joined = `SELECT user, request, item, ts, countIf(${mine}) AS r, countIf(NOT ${mine}) AS w,
      anyIf(features, NOT ${mine}) AS online, anyIf(features, ${mine}) AS offline,
      anyIf(feature_hash, NOT ${mine}) AS onlineHash, anyIf(feature_hash, ${mine}) AS offlineHash
    FROM ${database}.v_examples_runs
    WHERE run IN (${sqlText(replay)}, ${sqlText(other)}) AND cityHash64(user, request, item) % ${every} = 0
    GROUP BY user, request, item, ts HAVING r > 0 AND w > 0`
  const isSame = (a: string, b: string, s: string): string =>
    `abs(toFloat64(${a}) - ${b}) <= 1e-9 + ${tolerance} * greatest(abs(toFloat64(${a})), abs(toFloat64(${b})), ${s})`
  const comparable =
    'notEmpty(online) AND onlineHash = offlineHash AND length(online) = length(offline)'
  const values = `SELECT user, request, item, ts, f, toFloat64(a) AS a, toFloat64(b) AS b
    FROM (SELECT * FROM (${joined}) WHERE ${comparable})
    ARRAY JOIN online AS a, offline AS b, arrayEnumerate(online) AS f`
  const spreads = await tables.query<{ s: number }>(
    `SELECT stddevPop(a) AS s FROM (${values}) GROUP BY f ORDER BY f`,
  )
  // none where nothing can be compared, and then of no type
  const spread = `CAST([${spreads.map(({ s }) => `toFloat64(${s})`).join(', ')}], 'Array(Float64)')`
  const [counts] = await tables.query<Counts>(
    `SELECT toUInt32(count()) AS both, toUInt32(countIf(notEmpty(online))) AS served, toUInt32(countIf(notEmpty(offline))) AS recomputed,
       toUInt32(countIf(${comparable})) AS compared,
       toUInt32(countIf(notEmpty(online) AND notEmpty(offline) AND NOT (${comparable}))) AS otherRegistry,
       toUInt32(countIf(${comparable} AND arrayAll((a, b, s) -> ${isSame('a', 'b', 's')}, online, offline, arrayResize(${spread}, length(online), 0.)))) AS equal
     FROM (${joined})`,
  )
  const pairs = `SELECT *, ${isSame('a', 'b', `arrayElement(${spread}, f)`)} AS same FROM (${values})`
  const features = await tables.query<FeatureRow>(
    `SELECT toUInt32(f) AS f, toUInt32(count()) AS n, toUInt32(countIf(same)) AS same, avg(b - a) AS meanDifference,
       avg(abs(b - a)) AS meanAbsolute, quantile(0.95)(abs(b - a)) AS p95Absolute, max(abs(b - a)) AS largest, if(isFinite(corr(a, b)), corr(a, b), NULL) AS correlation
     FROM (${pairs}) GROUP BY f ORDER BY same / n, meanAbsolute DESC, f`,
  )
  const examples = await tables.query<Omit<ParityExample, 'feature'> & { f: number }>(
    `SELECT user, request, item, toFloat64(toUnixTimestamp64Milli(ts)) AS ts, toUInt32(f) AS f, a AS served, b AS recomputed
     FROM (${pairs}) WHERE NOT same ORDER BY abs(a - b) / (abs(a) + abs(b)) DESC, user, request, item, f
     LIMIT 1 BY f LIMIT ${shownExamples}`,
  )
  const isOurs = await hasOurRegistry(tables, runs)
  const nameOf = (f: number): string => (isOurs ? featureNames[f - 1] : undefined) ?? `feature ${f}`
  return {
    tolerance,
    every,
    ...counts,
    equalValues: equalShare(features),
    features: features.map(({ f, n, same, ...rest }) => ({
      feature: nameOf(f),
      equal: same / n,
      ...rest,
    })),
    examples: examples.map(({ f, ...rest }) => ({ ...rest, feature: nameOf(f) })),
  }
}

function equalShare(features: readonly FeatureRow[]): number | null {
  const n = features.reduce((sum, row) => sum + row.n, 0)
  return n === 0 ? null : features.reduce((sum, row) => sum + row.same, 0) / n
}

/** Features have this version's names. */
async function hasOurRegistry(tables: QueriedTables, { database, replay }: Runs): Promise<boolean> {
  const found = await tables.query<{ feature_hash: string }>(
    `SELECT DISTINCT feature_hash FROM ${database}.v_examples_runs WHERE run = ${sqlText(replay)} AND feature_hash != ''`,
  )
  return found.every(row => row.feature_hash === featureHash)
}

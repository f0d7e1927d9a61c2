/**
 * Intervals of estimators over users. Draws of one user are alike, so users are what is counted: a user's sums are one
 * observation.
 *
 *  - `normal`: the value is a smooth function of sums over users; its variance is that of its linearisation,
 *    U/(U-1) sum_u (sum over terms of (above_u - R below_u) / below)^2 (Taylor linearisation for clusters; Cochran 1977, 6.4;
 *    Owen 2013, 2.8), with a t quantile at U - 1 degrees of freedom.
 *  - `bootstrap`: users drawn with replacement, percentiles (Efron & Tibshirani 1993, 13.3; so does obp, by rounds). One set of
 *    resamples serves all estimators.
 *  - `bernsteinLower`: mean - 7 b ln(2/d) / (3 (n-1)) - sqrt(2 ln(2/d) var / (n-1)), var over n (Maurer & Pontil 2009, as in obp): a bound
 *    that holds with probability 1 - d for rewards of any shape, from 0 to b.
 */
import { hash53, randomFrom } from '../../../streams/serde/hash.ts'
import { tQuantile } from '../../drift/statistics/student.ts'
import { type ClusterSums, type Estimator, estimateOf } from './terms.ts'

export type Interval = readonly [low: number, high: number]

/** null with fewer than two clusters, or where the value is none. */
export function normalInterval(
  estimator: Estimator,
  sums: ClusterSums,
  alpha = 0.05,
): Interval | null {
  const error = standardError(estimator, sums)
  if (error === null) return null
  const value = estimateOf(estimator, sums.totals())
  const half = tQuantile(alpha, sums.size - 1) * error
  return [value - half, value + half]
}

/** Of the linearised value; null with fewer than two clusters, or where the value is none. */
export function standardError({ terms }: Estimator, sums: ClusterSums): number | null {
  const clusters = sums.size
  if (clusters < 2) return null
  const totals = sums.totals()
  const { values, columns } = sums
  let squares = 0
  for (let at = 0; at < values.length; at += columns) {
    let influence = 0
    for (let k = 0; k < terms.length; k++) {
      const { above, below } = terms[k]
      influence +=
        (values[at + above] - (totals[above] / totals[below]) * values[at + below]) / totals[below]
    }
    squares += influence * influence
  }
  const error = Math.sqrt((squares * clusters) / (clusters - 1))
  return Number.isFinite(error) ? error : null
}

/** Enough for percentiles at 2.5%; more clusters than this are dealt to as many groups at random. */
const mostGroups = 4_000

export interface BootstrapSettings {
  readonly seed?: number
  readonly replicates?: number
  readonly alpha?: number
}

/**
 * One an estimator, by the same resamples; null where a tenth of them have no value. Costs replicates x min(clusters, 4,000) x
 * columns additions.
 */
export function bootstrapIntervals(
  estimators: readonly Estimator[],
  sums: ClusterSums,
  { seed = 1, replicates = 10_000, alpha = 0.05 }: BootstrapSettings = {},
): (Interval | null)[] {
  const { used, narrow } = narrowed(estimators, sums)
  const random = randomFrom(hash53('evaluation bootstrap', seed))
  const rows = grouped(narrow, used, random)
  const groups = rows.length / Math.max(1, used)
  if (groups < 2) return estimators.map(() => null)
  const totals = new Float64Array(used)
  const own = reindexed(estimators)
  const found = own.map(() => new Float64Array(replicates))
  for (let replicate = 0; replicate < replicates; replicate++) {
    totals.fill(0)
    for (let k = 0; k < groups; k++) {
      const at = Math.floor(random() * groups) * used
      for (let c = 0; c < used; c++) totals[c] += rows[at + c]
    }
    for (let e = 0; e < own.length; e++) found[e][replicate] = estimateOf(own[e], totals)
  }
  return found.map(values => percentiles(values, alpha))
}

/** The columns that the estimators read, side by side: the inner loop touches no others. */
function narrowed(
  estimators: readonly Estimator[],
  sums: ClusterSums,
): { used: number; narrow: Float64Array } {
  const columns = columnsOf(estimators)
  const { values, size } = sums
  const narrow = new Float64Array(size * columns.length)
  for (let u = 0; u < size; u++)
    for (let c = 0; c < columns.length; c++)
      narrow[u * columns.length + c] = values[u * sums.columns + columns[c]]
  return { used: columns.length, narrow }
}

function columnsOf(estimators: readonly Estimator[]): number[] {
  return [...new Set(estimators.flatMap(({ terms }) => terms.flatMap(t => [t.above, t.below])))]
}

function reindexed(estimators: readonly Estimator[]): Estimator[] {
  const columns = columnsOf(estimators)
  const place = new Map(columns.map((column, k) => [column, k]))
  const of = (column: number): number => place.get(column) as number
  return estimators.map(({ name, terms }) => ({
    name,
    terms: terms.map(({ above, below }) => ({ above: of(above), below: of(below) })),
  }))
}

function grouped(rows: Float64Array, columns: number, random: () => number): Float64Array {
  const clusters = rows.length / Math.max(1, columns)
  if (clusters <= mostGroups) return rows
  // in turn over a random order: groups of the same size, to one
  const order = Uint32Array.from({ length: clusters }, (_, u) => u)
  for (let k = clusters - 1; k > 0; k--) {
    const other = Math.floor(random() * (k + 1))
    const kept = order[k]
    order[k] = order[other]
    order[other] = kept
  }
  const groups = new Float64Array(mostGroups * columns)
  order.forEach((u, k) => {
    for (let c = 0; c < columns; c++)
      groups[(k % mostGroups) * columns + c] += rows[u * columns + c]
  })
  return groups
}

function percentiles(values: Float64Array, alpha: number): Interval | null {
  const sorted = values.filter(value => Number.isFinite(value)).sort()
  if (sorted.length < 0.9 * values.length || sorted.length === 0) return null
  // linear between neighbours, as numpy.percentile
  const at = (share: number): number => {
    const place = share * (sorted.length - 1)
    const low = Math.floor(place)
    const high = Math.min(low + 1, sorted.length - 1)
    return sorted[low] + (place - low) * (sorted[high] - sorted[low])
  }
  return [at(alpha / 2), at(1 - alpha / 2)]
}

/**
 * Lower bound of the mean of `values`, each from 0 to `most` (their largest where it is not given, as obp does: then the bound
 * is only as good as that guess). null with fewer than two, or with a negative one.
 */
export function bernsteinLower(
  values: ArrayLike<number>,
  most?: number,
  delta = 0.05,
): number | null {
  const n = values.length
  if (n < 2) return null
  let sum = 0
  let largest = 0
  for (let i = 0; i < n; i++) {
    if (values[i] < 0) return null
    sum += values[i]
    largest = Math.max(largest, values[i])
  }
  const mean = sum / n
  let squares = 0
  for (let i = 0; i < n; i++) squares += (values[i] - mean) ** 2
  const log = Math.log(2 / delta)
  return (
    mean -
    (7 * (most ?? largest) * log) / (3 * (n - 1)) -
    Math.sqrt((2 * log * (squares / n)) / (n - 1))
  )
}

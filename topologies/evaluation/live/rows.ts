/** Rows of the table `evaluation` from the sums of a window. */
import type { TableRow } from '../../../streams/topology/outbox.ts'
import { normalInterval, standardError } from '../estimators/intervals.ts'
import { refusalOf } from '../estimators/support.ts'
import { ClusterSums, type Estimator, estimateOf } from '../estimators/terms.ts'
import { columnCount, estimatorsOf, metrics, onPolicy, weightColumns } from './columns.ts'
import type { BucketRow, Series } from './sums.ts'

export interface Window {
  /** ms */
  readonly start: number
  readonly end: number
  readonly revision: number
}

/** As the column `policy_evaluated` has a target. */
const targetName = (factor: number): string => `temperature*${factor}`

export function evaluationRows(
  window: Window,
  { policy, segment }: Series,
  buckets: readonly BucketRow[],
  factors: readonly number[],
): TableRow[] {
  const sums = new ClusterSums(columnCount(factors.length))
  for (const row of buckets) {
    const at = sums.at(row.bucket)
    sums.values.set(row.values(), at)
  }
  const totals = sums.totals()
  const n = totals[0]
  const row = (evaluated: string, metric: number, estimator: Estimator, support: Support) => {
    const value = estimateOf(estimator, totals)
    const interval = support.refused === '' ? normalInterval(estimator, sums) : null
    const isTold = support.refused === '' && Number.isFinite(value)
    return {
      window_start: window.start,
      window_end: window.end,
      policy_evaluated: evaluated,
      policy_logged: policy,
      metric: metrics[metric],
      segment,
      estimator: estimator.name,
      value: isTold ? value : null,
      low: isTold && interval ? interval[0] : null,
      high: isTold && interval ? interval[1] : null,
      n,
      effective_sample_size: support.ess,
      refused: support.refused !== '' ? support.refused : isTold ? '' : 'no list could be used',
      revision: window.revision,
    }
  }
  const rows = metrics.map((_, metric) =>
    row(policy, metric, onPolicy(metric), { ess: n, refused: '' }),
  )
  factors.forEach((factor, target) => {
    const support = supportOf(sums, totals, buckets, target)
    metrics.forEach((_, metric) => {
      for (const estimator of estimatorsOf(target, metric))
        rows.push(row(targetName(factor), metric, estimator, support))
    })
  })
  return rows
}

interface Support {
  readonly ess: number
  readonly refused: string
}

function supportOf(
  sums: ClusterSums,
  totals: Float64Array,
  buckets: readonly BucketRow[],
  target: number,
): Support {
  const { weight, squares } = weightColumns(target)
  const n = totals[0]
  const largest = Math.max(0, ...buckets.map(row => row.largest[target]))
  const ess = totals[squares] > 0 ? totals[weight] ** 2 / totals[squares] : 0
  const meanWeight = { name: 'weight', terms: [{ above: weight, below: 0 }] }
  return {
    ess,
    refused: refusalOf({
      n,
      effectiveSampleSize: ess,
      mean: n > 0 ? totals[weight] / n : 0,
      meanError: standardError(meanWeight, sums),
      largestShare: totals[weight] > 0 ? largest / totals[weight] : 0,
    }),
  }
}

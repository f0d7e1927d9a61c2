/**
 * What all estimators have in common: a value is a sum of ratios of sums, and the sums are over users.
 *
 *   value = sum over terms of (sum_u numerator_u) / (sum_u denominator_u)
 *
 * An inverse-propensity mean is one term (sum w r over the number of draws); a self-normalised one has sum w below; a
 * self-normalised slate estimator has a term a position. Keeping the sums by user makes every interval a cluster interval,
 * and a resample of users a few additions.
 */

/** Numbers of columns of `ClusterSums`. */
export interface Term {
  readonly above: number
  readonly below: number
}

export interface Estimator {
  readonly name: string
  readonly terms: readonly Term[]
}

/** Sums by cluster (user), columns side by side. */
export class ClusterSums {
  readonly columns: number
  private readonly index = new Map<string | number, number>()
  private rows: Float64Array
  private count = 0

  constructor(columns: number) {
    this.columns = columns
    this.rows = new Float64Array(64 * columns)
  }

  /** How many clusters there are. */
  get size(): number {
    return this.count
  }

  /** Where the cluster's sums begin in `values`. */
  at(cluster: string | number): number {
    const known = this.index.get(cluster)
    if (known !== undefined) return known * this.columns
    if ((this.count + 1) * this.columns > this.rows.length) {
      const larger = new Float64Array(this.rows.length * 2)
      larger.set(this.rows)
      this.rows = larger
    }
    this.index.set(cluster, this.count)
    return this.count++ * this.columns
  }

  add(cluster: string | number, column: number, x: number): void {
    const at = this.at(cluster)
    this.rows[at + column] += x
  }

  /** Sums by cluster x column; valid until the next cluster is added. */
  get values(): Float64Array {
    return this.rows.subarray(0, this.count * this.columns)
  }

  totals(): Float64Array {
    const { rows, columns } = this
    const totals = new Float64Array(columns)
    for (let at = 0; at < this.count * columns; at += columns)
      for (let c = 0; c < columns; c++) totals[c] += rows[at + c]
    return totals
  }

  /** The sums of one column, by cluster. */
  column(column: number): Float64Array {
    return Float64Array.from({ length: this.count }, (_, u) => this.rows[u * this.columns + column])
  }
}

/** NaN where a term has nothing below. */
export function estimateOf({ terms }: Estimator, totals: ArrayLike<number>): number {
  let value = 0
  for (let k = 0; k < terms.length; k++) value += totals[terms[k].above] / totals[terms[k].below]
  return value
}

/**
 * Whether predicted probabilities are what happens.
 *
 * Of all rows, from sums: log loss, Brier score, expected / observed, and the normalised entropy (He et al., "Practical lessons
 * from predicting clicks on ads at Facebook", ADKDD 2014): mean log loss by the entropy of the base rate.
 * Of a uniform sample of rows (all, up to its size): 10 bins of equal mass with the expected calibration error, and Brier's
 * parts (Murphy, "A new vector partition of the probability score", 1973).
 *
 * A figure that cannot be told is null, and `reason` says why.
 */
import type { Totals } from './sums.ts'

export const binCount = 10

export interface Bin {
  readonly meanPrediction: number
  readonly meanLabel: number
  readonly n: number
}

export interface Reliability {
  /** Without those that hold no row (equal predictions stand in one bin). */
  readonly bins: readonly Bin[]
  /** sum n_b |mean label - mean prediction| / n; null without a row. */
  readonly ece: number | null
  /** sum n_b (mean prediction - mean label)^2 / n */
  readonly reliability: number | null
  /** sum n_b (mean label - base rate)^2 / n */
  readonly resolution: number | null
  readonly n: number
}

/**
 * Bins as scikit-learn's `calibration_curve(strategy='quantile')` makes them: edges at the deciles of the predictions (linear
 * between neighbours), a prediction equal to an edge below it. `labels` are 0 or 1, by the same place.
 */
export function reliability(predictions: Float64Array, labels: Float64Array): Reliability {
  const n = predictions.length
  if (n === 0) return { bins: [], ece: null, reliability: null, resolution: null, n }
  const order = [...predictions.keys()].sort(
    // equal predictions in the order of their labels: sums must not depend on the order of rows
    (a, b) => predictions[a] - predictions[b] || labels[a] - labels[b],
  )
  const sorted = Float64Array.from(order, k => predictions[k])
  const sums = Array.from({ length: binCount }, () => ({ prediction: 0, label: 0, n: 0 }))
  let bin = 0
  for (let k = 0; k < n; k++) {
    while (bin < binCount - 1 && sorted[k] > quantile(sorted, (bin + 1) / binCount)) bin++
    const into = sums[bin]
    into.prediction += sorted[k]
    into.label += labels[order[k]]
    into.n++
  }
  const bins = sums
    .filter(each => each.n > 0)
    .map(each => ({
      meanPrediction: each.prediction / each.n,
      meanLabel: each.label / each.n,
      n: each.n,
    }))
  const baseRate = sums.reduce((sum, each) => sum + each.label, 0) / n
  const over = (of: (bin: Bin) => number): number =>
    bins.reduce((sum, each) => sum + each.n * of(each), 0) / n
  return {
    bins,
    ece: over(each => Math.abs(each.meanLabel - each.meanPrediction)),
    reliability: over(each => (each.meanPrediction - each.meanLabel) ** 2),
    resolution: over(each => (each.meanLabel - baseRate) ** 2),
    n,
  }
}

/** numpy's percentile, linear. */
function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1)
  const below = Math.floor(at)
  const above = Math.min(below + 1, sorted.length - 1)
  const part = at - below
  const [a, b] = [sorted[below], sorted[above]]
  // as numpy interpolates: from the nearer end, so that equal neighbours give themselves
  return part >= 0.5 ? b - (b - a) * (1 - part) : a + (b - a) * part
}

export interface ClosedForms {
  readonly logLoss: number | null
  readonly brier: number | null
  readonly baseRate: number | null
  /** base rate (1 - base rate): Brier's third part. */
  readonly uncertainty: number | null
  readonly normalisedEntropy: number | null
  readonly expectedObserved: number | null
  readonly reason: string
}

export function closedForms(totals: Totals): ClosedForms {
  const { n, positives, sumPrediction, sumBrier, sumLogLoss } = totals
  if (n === 0)
    return {
      logLoss: null,
      brier: null,
      baseRate: null,
      uncertainty: null,
      normalisedEntropy: null,
      expectedObserved: null,
      reason: 'no usable score',
    }
  const baseRate = positives / n
  const entropy = -baseRate * Math.log(baseRate) - (1 - baseRate) * Math.log(1 - baseRate)
  const isMixed = positives > 0 && positives < n
  return {
    logLoss: sumLogLoss / n,
    brier: sumBrier / n,
    baseRate,
    uncertainty: baseRate * (1 - baseRate),
    normalisedEntropy: isMixed ? sumLogLoss / n / entropy : null,
    expectedObserved: positives > 0 ? sumPrediction / positives : null,
    reason: isMixed
      ? ''
      : `all labels are ${positives > 0 ? 'positive' : 'negative'}: the base rate has no entropy`,
  }
}

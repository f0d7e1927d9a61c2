/**
 * Whether a log can answer for a policy that did not draw it. Weights say it: where a few carry the sum, a few impressions speak
 * for all; where their mean is not 1, the log never shows some of what the target would (or a propensity is wrong).
 */
export interface Limits {
  /** Effective sample size below which an estimate is refused. */
  readonly leastEss: number
  /** Largest share of one weight in the sum of all. */
  readonly mostShare: number
  /** How far the mean weight may be from 1, and how many of its standard errors. */
  readonly meanOff: number
  readonly meanErrors: number
}

/**
 * 500: as many draws of the target itself would give a rate of 5% within 1 in 100, no closer. 5%: one draw must not move the
 * value by a twentieth. The mean weight is told from 1 only where both a tenth and chance are exceeded.
 */
export const defaultLimits: Limits = {
  leastEss: 500,
  mostShare: 0.05,
  meanOff: 0.1,
  meanErrors: 5,
}

export interface Overlap {
  readonly n: number
  /** (sum w)^2 / sum w^2 (Kish 1965). */
  readonly effectiveSampleSize: number
  readonly mean: number
  /** Of the mean, over users. */
  readonly meanError: number | null
  readonly largest: number
  readonly largestShare: number
  /** At 1, 25, 50, 75, 99 and 99.9%. */
  readonly quantiles: readonly number[]
  /** Share of weights that are 0: the target never does what was shown. */
  readonly zeros: number
}

export const quantileShares = [0.01, 0.25, 0.5, 0.75, 0.99, 0.999] as const

/** `users`: whose each weight is. All figures are 0 where there is no weight. */
export function overlapOf(weights: ArrayLike<number>, users: ArrayLike<string | number>): Overlap {
  const n = weights.length
  const byUser = new Map<string | number, { sum: number; n: number }>()
  let sum = 0
  let squares = 0
  let largest = 0
  let zeros = 0
  for (let i = 0; i < n; i++) {
    const w = weights[i]
    sum += w
    squares += w * w
    if (w > largest) largest = w
    if (w === 0) zeros++
    const of = byUser.get(users[i])
    if (of === undefined) byUser.set(users[i], { sum: w, n: 1 })
    else {
      of.sum += w
      of.n++
    }
  }
  const sorted = Float64Array.from(weights).sort()
  const mean = n === 0 ? 0 : sum / n
  let scatter = 0
  for (const of of byUser.values()) scatter += (of.sum - mean * of.n) ** 2
  const clusters = byUser.size
  return {
    n,
    effectiveSampleSize: squares === 0 ? 0 : (sum * sum) / squares,
    mean,
    meanError: clusters < 2 ? null : Math.sqrt((scatter * clusters) / (clusters - 1)) / n,
    largest,
    largestShare: sum === 0 ? 0 : largest / sum,
    quantiles: quantileShares.map(share =>
      n === 0 ? 0 : sorted[Math.min(n - 1, Math.floor(share * n))],
    ),
    zeros: n === 0 ? 0 : zeros / n,
  }
}

/** Why an estimate by these weights is refused; '' where it stands. */
export function refusalOf(
  overlap: Pick<Overlap, 'n' | 'effectiveSampleSize' | 'largestShare' | 'mean' | 'meanError'>,
  limits: Limits = defaultLimits,
): string {
  const { n, effectiveSampleSize: ess, largestShare, mean, meanError } = overlap
  if (n === 0) return 'no draw could be used'
  if (mean === 0) return 'no support: the target gives no chance to anything that was shown'
  // a weight of 5% leaves an effective size of 400 at most: it is the more telling of the two
  if (largestShare > limits.mostShare)
    return `one weight is ${(100 * largestShare).toFixed(1)}% of the sum of weights, over ${100 * limits.mostShare}%`
  if (ess < limits.leastEss)
    return `effective sample size ${ess.toFixed(1)} is below ${limits.leastEss}`
  const off = Math.abs(mean - 1)
  if (off > limits.meanOff && off > limits.meanErrors * (meanError ?? 0))
    return mean < 1
      ? `the mean weight is ${mean.toFixed(3)} and should be 1: the log never shows a part of what the target does`
      : `the mean weight is ${mean.toFixed(3)} and should be 1: propensities or the target's chances are not what they are said to be`
  return ''
}

/** Why a propensity cannot be divided by; undefined: it can. */
export function propensityFault(
  p: number | null | undefined,
): 'missing' | 'not a number' | 'zero or negative' | 'above 1' | undefined {
  if (p === null || p === undefined) return 'missing'
  if (Number.isNaN(p)) return 'not a number'
  if (p <= 0) return 'zero or negative'
  // logs round to a few digits
  if (p > 1 + 1e-9) return 'above 1'
  return undefined
}

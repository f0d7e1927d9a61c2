/**
 * What the sums over an arm's users say of a metric. A metric of a user is y; x is what stands beside it: a covariate of
 * before the exposure (CUPED), or the denominator of a ratio.
 *
 *  - mean: sum y / n; the variance of a user is that of the sample (n - 1)
 *  - share: y is 0 or 1; p (1 - p)
 *  - ratio: sum y / sum x, so that a user weighs as much as its denominator; the variance is the delta method's, of
 *    (y - R x) / mean x between users (Deng et al., "Applying the Delta Method in Metric Analytics", 2018, eq. 5)
 *  - cuped: y - theta (x - mean x over all arms), theta = cov(x, y) / var(x) over all users of all arms (Deng et al., 2013)
 */

/** Over the users of an arm. */
export interface Sums {
  readonly n: number
  readonly y: number
  readonly yy: number
  readonly x: number
  readonly xx: number
  readonly xy: number
}

/** `mean` null where there is nothing to divide by; `variance` (of one user) null where n does not allow one. */
export interface Estimate {
  readonly n: number
  readonly mean: number | null
  readonly variance: number | null
}

export type Estimator = 'mean' | 'share' | 'ratio' | 'cuped'

/** Each arm's estimate. Never NaN. */
export function estimates(arms: readonly Sums[], how: Estimator): Estimate[] {
  if (how === 'cuped') return cuped(arms)
  if (how === 'ratio') return arms.map(ratio)
  return arms.map(sums => {
    const { n, y, yy } = sums
    if (n === 0) return { n, mean: null, variance: null }
    const mean = y / n
    if (how === 'share') return { n, mean, variance: n < 2 ? null : mean * (1 - mean) }
    return { n, mean, variance: sampled(n, yy - (y * y) / n, yy) }
  })
}

function ratio({ n, y, yy, x, xx, xy }: Sums): Estimate {
  if (x === 0) return { n, mean: null, variance: null }
  const r = y / x
  // the mean of y - r x is 0: its sum of squares is its variance
  const spread = yy - 2 * r * xy + r * r * xx
  return { n, mean: r, variance: scaled(sampled(n, spread, yy), (n / x) ** 2) }
}

function cuped(arms: readonly Sums[]): Estimate[] {
  const all = arms.reduce(added, none)
  const theta = thetaOf(all)
  const middle = all.n === 0 ? 0 : all.x / all.n
  return arms.map(({ n, y, yy, x, xx, xy }) => {
    if (n === 0) return { n, mean: null, variance: null }
    const mean = y / n - theta * (x / n - middle)
    const spread =
      yy - (y * y) / n - 2 * theta * (xy - (x * y) / n) + theta * theta * (xx - (x * x) / n)
    return { n, mean, variance: sampled(n, spread, yy) }
  })
}

/** 0 where x is the same for all: then it explains nothing. */
export function thetaOf({ n, y, x, xx, xy }: Sums): number {
  if (n === 0) return 0
  const spread = xx - (x * x) / n
  // of sums of whole numbers: what is left of a constant x is rounding
  return spread <= xx * 1e-13 ? 0 : (xy - (x * y) / n) / spread
}

export const none: Sums = { n: 0, y: 0, yy: 0, x: 0, xx: 0, xy: 0 }

function added(a: Sums, b: Sums): Sums {
  return {
    n: a.n + b.n,
    y: a.y + b.y,
    yy: a.yy + b.yy,
    x: a.x + b.x,
    xx: a.xx + b.xx,
    xy: a.xy + b.xy,
  }
}

/** @param yy what `spread` is left of: the rounding of a difference is no variance. */
function sampled(n: number, spread: number, yy: number): number | null {
  if (n < 2) return null
  return spread <= yy * 1e-13 ? 0 : spread / (n - 1)
}

function scaled(variance: number | null, by: number): number | null {
  return variance === null ? null : variance * by
}

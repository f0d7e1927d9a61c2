/**
 * The interval of a ratio of sums, such as clicks per impression, with users as the units that are drawn: the impressions of
 * one user are alike, so rows are never taken for independent.
 *
 * Users are parted into G buckets by hash. With R = sum a / sum b and residuals e_g = a_g - R b_g, the variance of R is
 * G / (G - 1) sum e_g^2 / (sum b)^2 (the linearised ratio estimator of cluster sampling: Cochran, "Sampling Techniques", 1977,
 * 11.7; buckets are random groups of users), and R -+ t(.975; G - 1) sqrt(variance) covers it.
 */
import { tQuantile } from '../drift/statistics/student.ts'

export interface Ratio {
  readonly value: number | null
  /** 95%; null where there are fewer than two buckets with rows, or no difference between them. */
  readonly low: number | null
  readonly high: number | null
  readonly n: number
}

/**
 * `numerator` and `denominator` give the sums of a bucket. `unit` scales the value. Nothing here is below 0, and a share not above 1.
 */
export function ratioOf(
  buckets: number,
  numerator: (bucket: number) => number,
  denominator: (bucket: number) => number,
  unit: number,
  isShare: boolean,
): Ratio {
  let a = 0
  let b = 0
  let filled = 0
  for (let g = 0; g < buckets; g++) {
    const bg = denominator(g)
    if (bg === 0) continue
    a += numerator(g)
    b += bg
    filled++
  }
  if (b === 0) return { value: null, low: null, high: null, n: 0 }
  const ratio = a / b
  const value = ratio * unit
  let squares = 0
  for (let g = 0; g < buckets; g++) {
    const bg = denominator(g)
    if (bg > 0) squares += (numerator(g) - ratio * bg) ** 2
  }
  if (filled < 2 || squares === 0) return { value, low: null, high: null, n: b }
  const deviation = (Math.sqrt((filled / (filled - 1)) * squares) / b) * unit
  const half = tQuantile(0.05, filled - 1) * deviation
  return {
    value,
    low: Math.max(0, value - half),
    high: isShare ? Math.min(1, value + half) : value + half,
    n: b,
  }
}

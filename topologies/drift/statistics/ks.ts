/** Two-sample Kolmogorov-Smirnov from counts in common bins: exact where each bin holds one distinct value, else a bound. */
import { total } from './shares.ts'
import { kolmogorovSurvival } from './special.ts'

/** Largest difference of the cumulative shares. */
export function ksD(reference: ArrayLike<number>, current: ArrayLike<number>): number {
  const n = total(reference)
  const m = total(current)
  let r = 0
  let c = 0
  let largest = 0
  for (let i = 0; i < reference.length; i++) {
    r += reference[i]
    c += current[i]
    largest = Math.max(largest, Math.abs(r / n - c / m))
  }
  return largest
}

/** Asymptotic two-sided p-value of independent rows: Q(D sqrt(nm / (n + m))). Users with many rows make it too small. */
export function ksP(d: number, n: number, m: number): number {
  return kolmogorovSurvival(d * Math.sqrt((n * m) / (n + m)))
}

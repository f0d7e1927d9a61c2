/**
 * Chi-square test of independence of a 2 x k table, as scipy's `chi2_contingency`: with two columns each count is moved
 * towards what is expected by a half (Yates' correction). One column: statistic 0, p 1.
 */
import { total } from './shares.ts'
import { chi2Survival } from './special.ts'

/** Counts by group; both sides hold something. Groups empty on both sides are left out. */
export function contingency(
  reference: ArrayLike<number>,
  current: ArrayLike<number>,
): { statistic: number; df: number; p: number } {
  const n = total(reference)
  const m = total(current)
  const used: number[] = []
  for (let i = 0; i < reference.length; i++) if (reference[i] + current[i] > 0) used.push(i)
  const df = used.length - 1
  if (df < 1) return { statistic: 0, df: 0, p: 1 }
  let statistic = 0
  for (const i of used)
    for (const [count, size] of [
      [reference[i], n],
      [current[i], m],
    ]) {
      const expected = ((reference[i] + current[i]) * size) / (n + m)
      const distance = Math.abs(count - expected)
      statistic += (distance - (df === 1 ? Math.min(0.5, distance) : 0)) ** 2 / expected
    }
  return { statistic, df, p: chi2Survival(statistic, df) }
}

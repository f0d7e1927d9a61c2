/**
 * Chi-square test that two sets of counts come from one distribution: sum (c sqrt(N/M) - r sqrt(M/N))^2 / (c + r) over
 * groups that are not empty on both sides. df 0: nothing to test.
 */
import { total } from './shares.ts'
import { chi2Survival } from './special.ts'

export function chi2(
  reference: ArrayLike<number>,
  current: ArrayLike<number>,
): { statistic: number; df: number; p: number } {
  const scale = Math.sqrt(total(reference) / total(current))
  let statistic = 0
  let df = -1
  for (let i = 0; i < reference.length; i++) {
    const both = reference[i] + current[i]
    if (both === 0) continue
    df++
    statistic += (current[i] * scale - reference[i] / scale) ** 2 / both
  }
  return { statistic, df, p: df > 0 ? chi2Survival(statistic, df) : 1 }
}

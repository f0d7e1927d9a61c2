/** Sample ratio mismatch: do the arms have as many users as their shares say? Pearson's chi-square on the exposed users. */
import { chi2Survival } from '../../drift/statistics/special.ts'

/** Below it the split is broken, and no figure of the experiment is to be trusted. */
export const srmAlarm = 0.001
const leastExpected = 5

/**
 * @param users of each arm. @param shares of each arm, of any sum; users of an arm with share 0 were not dealt to it and
 * must not be among them. null where fewer than two arms have a share, or one is expected to have fewer than five users
 * (Cochran 1954: the approximation is one of larger counts).
 */
export function srmP(users: readonly number[], shares: readonly number[]): number | null {
  let n = 0
  let total = 0
  let arms = 0
  for (let k = 0; k < users.length; k++) {
    if (!(shares[k] > 0)) continue
    n += users[k]
    total += shares[k]
    arms++
  }
  if (arms < 2 || n === 0) return null
  let chi2 = 0
  for (let k = 0; k < users.length; k++) {
    if (!(shares[k] > 0)) continue
    const expected = (n * shares[k]) / total
    if (expected < leastExpected) return null
    chi2 += (users[k] - expected) ** 2 / expected
  }
  return chi2Survival(chi2, arms - 1)
}

/** p-values of several questions asked at once, adjusted: compared with alpha as they stand. */

export const adjustments = ['none', 'bonferroni', 'holm', 'benjamini-hochberg'] as const
export type Adjustment = (typeof adjustments)[number]

/**
 *  - bonferroni: m p
 *  - holm (1979): the k-th smallest times m - k + 1, never below a smaller one's; the chance of any false alarm, under any
 *    dependence
 *  - benjamini-hochberg (1995): the k-th smallest times m / k, never above a larger one's; the share of false alarms among
 *    all alarms, for p-values that are independent or rise together
 *
 * null stays null and is not counted.
 */
export function adjusted(p: readonly (number | null)[], how: Adjustment): (number | null)[] {
  const order = [...p.keys()].filter(k => p[k] !== null).sort((a, b) => at(p, a) - at(p, b))
  const m = order.length
  const out: (number | null)[] = p.map(() => null)
  if (how === 'benjamini-hochberg') {
    let least = 1
    for (let k = m - 1; k >= 0; k--) {
      least = Math.min(least, (at(p, order[k]) * m) / (k + 1))
      out[order[k]] = least
    }
    return out
  }
  let most = 0
  order.forEach((place, k) => {
    const factor = how === 'none' ? 1 : how === 'bonferroni' ? m : m - k
    const value = Math.min(1, at(p, place) * factor)
    most = Math.max(most, value)
    out[place] = most
  })
  return out
}

function at(p: readonly (number | null)[], k: number): number {
  return p[k] as number
}

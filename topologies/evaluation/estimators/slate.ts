/**
 * Estimators of whole lists. At each position one item was drawn given those above; w_k is the product of target / logged
 * conditional chances down to position k, r_k the reward there, n the number of lists, L the positions of list i:
 *
 *   ips_step  sum_k of position k's own ratio times r_k, a list. *Not* the value of another list policy: it says what this
 *             position's item alone, changed below the same items, would earn
 *   iips      the same with ratios of the chances of the item at the position whatever stands above (independence of
 *             positions); where those are known
 *   sips      w_L sum_k r_k                                  Swaminathan et al. 2017
 *   rips      sum_k w_k r_k                                  McInerney et al. 2020: a reward depends on what stands above
 *   snsips    sips over the mean of w_L
 *   snips     rips, each position over its own mean weight   (self-normalised rips)
 *   dr        sum_k w_k (r_k - Q_k) + w_(k-1) V_k            cascade-DR, Kiyohara et al. 2022; Q_k the model's value of the
 *             item at k and what follows, V_k of the target's choice there
 *
 * as in obp 0.5.5 for lists of one length. Where a viewer stopped at position s, positions below were not asked for: their
 * rewards are 0, and a position's mean weight takes w_s of such a list. A stopped product of ratios has the mean 1 as well.
 */
import type { Summed } from './single.ts'
import { ClusterSums, type Estimator } from './terms.ts'

export interface Step {
  /** Target / logged chance of the item, given those above. */
  readonly ratio: number
  readonly reward: number
  /** The same of the item at the position whatever stands above; null: not known. */
  readonly marginalRatio?: number | null
  /** Q and V; null: no model knows. */
  readonly expected: number | null
  readonly expectedOfTarget: number | null
}

export interface LoggedSlate {
  readonly user: string | number
  /** By position, down to the last that was shown. */
  readonly steps: readonly Step[]
  /** Of the whole drawn list, further than what was shown; absent: that of the last step. */
  readonly wholeWeight?: number
}

const column = { n: 0, reward: 1, step: 2, iips: 3, sips: 4, whole: 5, rips: 6, dr: 7 } as const
const fixed = 8

const mean = (name: string, above: number): Estimator => ({
  name,
  terms: [{ above, below: column.n }],
})

/** Sums by user. Estimators that ask what a step lacks are left out. `positions`: the longest list's. */
export function sumSlates(slates: Iterable<LoggedSlate>, positions: number): Summed {
  const sums = new ClusterSums(fixed + 2 * positions)
  let hasModel = true
  let hasMarginal = true
  let n = 0
  for (const { user, steps, wholeWeight } of slates) {
    n++
    const at = sums.at(user)
    const { values } = sums
    let weight = 1
    let reward = 0
    for (let k = 0; k < positions; k++) {
      const stopped = at + fixed + 2 * k + 1
      if (k >= steps.length) {
        values[stopped] += weight
        continue
      }
      const { ratio, reward: r, marginalRatio = null, expected, expectedOfTarget } = steps[k]
      const before = weight
      weight *= ratio
      reward += r
      values[stopped - 1] += weight * r
      values[stopped] += weight
      values[at + column.step] += ratio * r
      values[at + column.rips] += weight * r
      if (marginalRatio === null) hasMarginal = false
      else values[at + column.iips] += marginalRatio * r
      if (expected === null || expectedOfTarget === null) hasModel = false
      else values[at + column.dr] += weight * (r - expected) + before * expectedOfTarget
    }
    const whole = wholeWeight ?? weight
    values[at + column.n] += 1
    values[at + column.reward] += reward
    values[at + column.sips] += whole * reward
    values[at + column.whole] += whole
  }
  const estimators: Estimator[] = [
    mean('on_policy', column.reward),
    mean('ips_step', column.step),
    ...(hasMarginal && n > 0 ? [mean('iips', column.iips)] : []),
    mean('sips', column.sips),
    { name: 'snsips', terms: [{ above: column.sips, below: column.whole }] },
    mean('rips', column.rips),
    {
      name: 'snips',
      terms: Array.from({ length: positions }, (_, k) => ({
        above: fixed + 2 * k,
        below: fixed + 2 * k + 1,
      })),
    },
    ...(hasModel && n > 0 ? [mean('dr', column.dr)] : []),
  ]
  return { sums, estimators }
}

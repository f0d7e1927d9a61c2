/**
 * Estimators of draws of one item: a contextual bandit's log. With weight w = target / logged chance of the item, reward r,
 * q the mean reward that a model expects of the item, qT the same of the target's choice (sum over items of target chance
 * times q):
 *
 *   ipw        mean of min(w, l) r                         Strehl et al. 2010; clipped: Ionides 2008
 *   snipw      sum of w r / sum of w                       Swaminathan & Joachims 2015
 *   dm         mean of qT
 *   dr         mean of qT + min(w, l) (r - q)              Dudik et al. 2014
 *   sndr       mean of qT, and sum of w (r - q) / sum of w
 *   switch_dr  mean of qT + [w <= l] w (r - q)             Wang et al. 2017
 *   dros       mean of qT + l w / (w^2 + l) (r - q)        Su et al. 2020, optimistic shrinkage
 *   sg_ipw     mean of w / (1 - l + l w) r                 Metelli et al. 2021
 *   sg_dr      mean of qT + w / (1 - l + l w) (r - q)
 *   b_ipw      sum of min(v, l) r / sum of min(v, l)       Sondhi et al. 2020; v: weights estimated otherwise
 *
 * as in obp 0.5.5, whose values a test finds again.
 */
import { ClusterSums, type Estimator } from './terms.ts'

export interface Round {
  readonly user: string | number
  readonly weight: number
  readonly reward: number
  /** q and qT; null: no model knows. */
  readonly expected: number | null
  readonly expectedOfTarget: number | null
  /** v; null: none. */
  readonly otherWeight?: number | null
}

/** The l of each. */
export interface Lambdas {
  readonly clip: number
  readonly switch: number
  readonly shrink: number
  readonly subGaussian: number
}

/**
 * Unclipped, as obp's defaults. Switching at 10 and shrinking at 100: a weight of 10 counts half, of 100 hardly;
 * sub-Gaussian .01 bounds weights by 100.
 */
export const defaultLambdas: Lambdas = {
  clip: Number.POSITIVE_INFINITY,
  switch: 10,
  shrink: 100,
  subGaussian: 0.01,
}

const column = {
  n: 0,
  weight: 1,
  ipw: 2,
  weighted: 3,
  dm: 4,
  dr: 5,
  residual: 6,
  switched: 7,
  shrunk: 8,
  sgIpw: 9,
  sgDr: 10,
  balanced: 11,
  balancedWeight: 12,
  reward: 13,
} as const
const columns = 14

const mean = (name: string, above: number): Estimator => ({
  name,
  terms: [{ above, below: column.n }],
})

const onPolicy = mean('on_policy', column.reward)
const weighing = [
  mean('ipw', column.ipw),
  { name: 'snipw', terms: [{ above: column.weighted, below: column.weight }] },
  mean('sg_ipw', column.sgIpw),
]
const modelled = [
  mean('dm', column.dm),
  mean('dr', column.dr),
  {
    name: 'sndr',
    terms: [
      { above: column.dm, below: column.n },
      { above: column.residual, below: column.weight },
    ],
  },
  mean('switch_dr', column.switched),
  mean('dros', column.shrunk),
  mean('sg_dr', column.sgDr),
]
const balanced = {
  name: 'b_ipw',
  terms: [{ above: column.balanced, below: column.balancedWeight }],
}

export interface Summed {
  readonly sums: ClusterSums
  readonly estimators: readonly Estimator[]
}

/** Sums by user. Estimators that ask what a round lacks are left out. */
export function sumRounds(rounds: Iterable<Round>, lambdas: Lambdas = defaultLambdas): Summed {
  const sums = new ClusterSums(columns)
  let hasModel = true
  let hasOther = true
  let n = 0
  for (const round of rounds) {
    n++
    const { reward: r, weight: w, expected, expectedOfTarget, otherWeight = null } = round
    const at = sums.at(round.user)
    const { values } = sums
    values[at + column.n] += 1
    values[at + column.reward] += r
    values[at + column.weight] += w
    values[at + column.ipw] += Math.min(w, lambdas.clip) * r
    values[at + column.weighted] += w * r
    const sg = w / (1 - lambdas.subGaussian + lambdas.subGaussian * w)
    values[at + column.sgIpw] += sg * r
    if (expected === null || expectedOfTarget === null) hasModel = false
    else {
      const residual = r - expected
      const shrunk = lambdas.shrink === Number.POSITIVE_INFINITY ? w : shrink(w, lambdas.shrink)
      values[at + column.dm] += expectedOfTarget
      values[at + column.dr] += expectedOfTarget + Math.min(w, lambdas.clip) * residual
      values[at + column.residual] += w * residual
      values[at + column.switched] += expectedOfTarget + (w <= lambdas.switch ? w * residual : 0)
      values[at + column.shrunk] += expectedOfTarget + shrunk * residual
      values[at + column.sgDr] += expectedOfTarget + sg * residual
    }
    if (otherWeight === null) hasOther = false
    else {
      const v = Math.min(otherWeight, lambdas.clip)
      values[at + column.balanced] += v * r
      values[at + column.balancedWeight] += v
    }
  }
  const estimators = [
    onPolicy,
    ...weighing,
    ...(hasModel && n > 0 ? modelled : []),
    ...(hasOther && n > 0 ? [balanced] : []),
  ]
  return { sums, estimators }
}

/** At l = 0 nothing is left of a weight, also of one that is 0. */
function shrink(w: number, l: number): number {
  return w === 0 ? 0 : (l * w) / (w * w + l)
}

/**
 * What a judged list adds to the sums of its window, and how figures are read from them. Columns: the list itself, its rewards by
 * metric, then a block for each target. All are sums over lists, in buckets of users.
 */
import type { Estimator } from '../estimators/terms.ts'

/** Positions that are looked at: further down few viewers come, and weights are products. */
export const mostPositions = 20
/** First positions of the groups that self-normalised values take their mean weight of. */
const groupStarts = [0, 1, 2, 3, 4, 6, 9] as const
const groups = groupStarts.length
const groupOf = Uint8Array.from({ length: mostPositions }, (_, k) =>
  groupStarts.reduce<number>((group, start, g) => (k >= start ? g : group), 0),
)

export const metrics = ['click', 'watch_time', 'completion'] as const
const metricCount = metrics.length

const base = 1 + metricCount
/** weight, weight squared, ips_step and rips by metric, dr of clicks, then by group: numerators by metric, mean weight. */
const perTarget = 2 + 2 * metricCount + 1 + groups * (metricCount + 1)

export const columnCount = (targets: number): number => base + targets * perTarget

const at = (target: number) => {
  const start = base + target * perTarget
  return {
    weight: start,
    squares: start + 1,
    step: (metric: number) => start + 2 + metric,
    rips: (metric: number) => start + 2 + metricCount + metric,
    dr: start + 2 + 2 * metricCount,
    above: (group: number, metric: number) =>
      start + 3 + 2 * metricCount + group * (metricCount + 1) + metric,
    below: (group: number) => start + 3 + 2 * metricCount + group * (metricCount + 1) + metricCount,
  }
}

/** A list with its outcomes, down to the last position shown. */
export interface JudgedList {
  /** Positions by metric: rewards. */
  readonly rewards: readonly Float64Array[]
  readonly shown: number
  /** By target: the ratio at each position, and the mean rate of the target's choice there. */
  readonly targets: readonly { readonly ratio: Float64Array; readonly expected: Float64Array }[]
  /** Rate of the item at each position. */
  readonly rate: Float64Array
}

/** Gives the largest weight of each target; `into` has `columnCount` places. */
export function contribution(list: JudgedList, into: Float64Array): number[] {
  into.fill(0)
  const { rewards, shown, targets, rate } = list
  into[0] = 1
  for (let m = 0; m < metricCount; m++) for (let k = 0; k < shown; k++) into[1 + m] += rewards[m][k]
  return targets.map(({ ratio, expected }, target) => {
    const column = at(target)
    const inGroup = new Float64Array(groups)
    const size = new Float64Array(groups)
    let weight = 1
    for (let k = 0; k < mostPositions; k++) {
      const group = groupOf[k]
      size[group]++
      if (k < shown) {
        const before = weight
        weight *= ratio[k]
        for (let m = 0; m < metricCount; m++) {
          const reward = rewards[m][k]
          into[column.step(m)] += ratio[k] * reward
          into[column.rips(m)] += weight * reward
          into[column.above(group, m)] += weight * reward
        }
        into[column.dr] += weight * (rewards[0][k] - rate[k]) + before * expected[k]
      }
      // where the viewer stopped, the weight stands still
      inGroup[group] += weight
    }
    for (let g = 0; g < groups; g++) into[column.below(g)] = inGroup[g] / size[g]
    into[column.weight] = weight
    into[column.squares] = weight * weight
    return weight
  })
}

export const onPolicy = (metric: number): Estimator => ({
  name: 'on_policy',
  terms: [{ above: 1 + metric, below: 0 }],
})

/** Of a target. `dr` is told of clicks alone: the model's rates are of positives. */
export function estimatorsOf(target: number, metric: number): Estimator[] {
  const column = at(target)
  const mean = (name: string, above: number): Estimator => ({ name, terms: [{ above, below: 0 }] })
  return [
    mean('rips', column.rips(metric)),
    {
      name: 'snips',
      terms: groupStarts.map((_, g) => ({
        above: column.above(g, metric),
        below: column.below(g),
      })),
    },
    mean('ips_step', column.step(metric)),
    ...(metric === 0 ? [mean('dr', column.dr)] : []),
  ]
}

export const weightColumns = (target: number): { weight: number; squares: number } => at(target)

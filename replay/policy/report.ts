/** A log of draws with another policy's weights, as figures: value, interval, support, and why not where the log cannot tell. */
import {
  bernsteinLower,
  bootstrapIntervals,
  type Interval,
  normalInterval,
} from '../../topologies/evaluation/estimators/intervals.ts'
import {
  type Lambdas,
  type Summed,
  sumRounds,
} from '../../topologies/evaluation/estimators/single.ts'
import { type LoggedSlate, sumSlates } from '../../topologies/evaluation/estimators/slate.ts'
import {
  defaultLimits,
  type Limits,
  type Overlap,
  overlapOf,
  refusalOf,
} from '../../topologies/evaluation/estimators/support.ts'
import { type Estimator, estimateOf } from '../../topologies/evaluation/estimators/terms.ts'

/** A draw, and what only draws of one item have. */
export interface LoggedDraw extends LoggedSlate {
  readonly user: string
  /** A weight that was estimated otherwise (b_ipw). */
  readonly otherWeight?: number | null
}

export interface PolicyLog {
  readonly draws: readonly LoggedDraw[]
  /** Draws and impressions that could not be used, by reason. */
  readonly leftOut: Readonly<Record<string, number>>
  /** What the reader of the figures should know. */
  readonly notes: readonly string[]
  /** Mean share of the target's chance that is on items of which the log has no impression; null: not known. */
  readonly unsupported: number | null
}

export interface Figure {
  readonly estimator: string
  /** null where refused. */
  readonly value: number | null
  readonly low: number | null
  readonly high: number | null
  /** '' where the estimate stands. */
  readonly refused: string
  /** What would stand there: not to be relied on. Only where refused. */
  readonly unreliable?: {
    readonly value: number | null
    readonly low: number | null
    readonly high: number | null
  }
  readonly bootstrap: Interval | null
  /** With 95%, the value is not below it. Only of means of what is never negative. */
  readonly bernsteinLow: number | null
  readonly effectiveSampleSize: number | null
}

export interface PolicyReport {
  /** Draws that were used, and whose. */
  readonly n: number
  readonly users: number
  /** Draws of several positions. */
  readonly lists: boolean
  readonly impressions: number
  readonly figures: readonly Figure[]
  /** Of the weights that the list or the single item has in all. */
  readonly overlap: Overlap
  readonly unsupported: number | null
  readonly leftOut: Readonly<Record<string, number>>
  readonly notes: readonly string[]
}

export interface ReportSettings {
  readonly lambdas: Lambdas
  readonly replicates: number
  readonly seed: number
  readonly limits?: Limits
}

const noModel =
  "the target's chances of what was not shown are not known: give them as a table, or the model's columns q and q_target"

export function reportOf(log: PolicyLog, settings: ReportSettings): PolicyReport {
  const { draws, leftOut, notes, unsupported } = log
  const positions = draws.reduce((most, { steps }) => Math.max(most, steps.length), 1)
  const lists = positions > 1
  const summed = lists ? sumSlates(draws, positions) : sumRounds(roundsOf(draws), settings.lambdas)
  const whole = draws.map(weightOf)
  const owners = draws.map(({ user }) => user)
  const overlap = overlapOf(whole, owners)
  const supports = lists
    ? listSupports(draws, positions, owners, overlap)
    : new Map<string, Overlap | null>([
        ['on_policy', null],
        ['dm', null],
      ])
  const limits = settings.limits ?? defaultLimits
  const figures = figuresOf(summed, settings, name => {
    const support = supports.has(name) ? supports.get(name) : overlap
    return support
      ? { ess: support.effectiveSampleSize, refused: refusalOf(support, limits) }
      : none
  })
  const asked = lists ? ['dr'] : ['dm', 'dr']
  const missing = asked.filter(name => !figures.some(({ estimator }) => estimator === name))
  return {
    n: draws.length,
    users: summed.sums.size,
    lists,
    impressions: draws.reduce((sum, { steps }) => sum + steps.length, 0),
    figures: [...figures, ...missing.map(name => withoutModel(name))],
    overlap,
    unsupported,
    leftOut,
    notes,
  }
}

const none = { ess: null, refused: '' }

function weightOf({ steps, wholeWeight }: LoggedDraw): number {
  return wholeWeight ?? steps.reduce((weight, { ratio }) => weight * ratio, 1)
}

function* roundsOf(draws: readonly LoggedDraw[]) {
  for (const { user, steps, otherWeight } of draws) {
    const [{ ratio, reward, expected, expectedOfTarget }] = steps
    yield { user, weight: ratio, reward, expected, expectedOfTarget, otherWeight }
  }
}

/** By estimator, the worst position's; the whole list's for the others. */
function listSupports(
  draws: readonly LoggedDraw[],
  positions: number,
  owners: readonly string[],
  whole: Overlap,
): Map<string, Overlap | null> {
  const weights = Float64Array.from(draws, () => 1)
  let worst: Overlap | undefined
  for (let k = 0; k < positions; k++) {
    draws.forEach(({ steps }, i) => {
      if (k < steps.length) weights[i] *= steps[k].ratio
    })
    const at = overlapOf(weights, owners)
    if (worst === undefined || at.effectiveSampleSize < worst.effectiveSampleSize) worst = at
  }
  // of a list, the mean of its positions' own ratios: lists are what is counted
  const byStep = overlapOf(
    draws.map(({ steps }) => steps.reduce((sum, { ratio }) => sum + ratio, 0) / steps.length),
    owners,
  )
  return new Map([
    ['on_policy', null],
    ['ips_step', byStep],
    ['iips', byStep],
    ['sips', whole],
    ['snsips', whole],
    ['rips', worst ?? whole],
    ['snips', worst ?? whole],
    ['dr', worst ?? whole],
  ])
}

function figuresOf(
  { sums, estimators }: Summed,
  settings: ReportSettings,
  support: (name: string) => { readonly ess: number | null; readonly refused: string },
): Figure[] {
  const { replicates, seed } = settings
  const totals = sums.totals()
  const resampled =
    replicates > 0
      ? bootstrapIntervals(estimators, sums, { replicates, seed })
      : estimators.map(() => null)
  return estimators.map((estimator, k) => {
    const { ess, refused } = support(estimator.name)
    const value = finite(estimateOf(estimator, totals))
    // a model's own error is in no scatter of its predictions: dm is a figure without an interval
    const isModel = estimator.name === 'dm'
    const [low, high] = (isModel ? null : normalInterval(estimator, sums)) ?? [null, null]
    const why = refused !== '' ? refused : value === null ? 'no draw could be used' : ''
    return {
      estimator: estimator.name,
      ...(why === ''
        ? { value, low, high, refused: '' }
        : { value: null, low: null, high: null, refused: why, unreliable: { value, low, high } }),
      bootstrap: isModel ? null : resampled[k],
      bernsteinLow: lowerOf(estimator, sums, totals),
      effectiveSampleSize: ess ?? (estimator.name === 'on_policy' ? totals[0] : null),
    }
  })
}

const bounded = new Set(['on_policy', 'ipw', 'sg_ipw', 'ips_step', 'iips', 'sips', 'rips'])

/** Of means: a user's sum over the mean number of draws a user. */
function lowerOf(
  { name, terms }: Estimator,
  sums: Summed['sums'],
  totals: Float64Array,
): number | null {
  if (!bounded.has(name) || sums.size === 0) return null
  const [{ above, below }] = terms
  const perUser = totals[below] / sums.size
  return bernsteinLower(sums.column(above).map(x => x / perUser))
}

function withoutModel(estimator: string): Figure {
  return {
    estimator,
    value: null,
    low: null,
    high: null,
    refused: noModel,
    bootstrap: null,
    bernsteinLow: null,
    effectiveSampleSize: null,
  }
}

function finite(x: number): number | null {
  return Number.isFinite(x) ? x : null
}

/** What a run comes to: the figures of CONTRACT 5, their intervals, and differences between rankers and between runs. */
import { FreshetError } from '../../streams/errors.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import { type Difference, interval95, pairedDifference, type Ratio, resample } from './bootstrap.ts'
import type { PrequentialRun } from './evaluate.ts'
import { type Metric, metrics, type Part, Sums } from './metrics.ts'
import type { RecalledReport } from './retrieved-ranker.ts'

export type Figures = { readonly n: number; readonly coverage: number } & {
  readonly [M in Metric]: number
}
export type Interval = readonly [number, number] | null
type ByMetric<T> = { readonly [M in Metric]: T }

export interface PrequentialReport {
  readonly events: number
  readonly scorers: Readonly<
    Record<string, { readonly all: Figures; readonly secondHalf: Figures }>
  >
  /** Predictions of items without an earlier event. */
  readonly newItems: Readonly<Record<string, Figures>>
  /** Of `popularity_decayed`: the half-life with the best NDCG@10. */
  readonly halfLifeHours: number
  /** 95%, over users; null with one user. */
  readonly intervals: Readonly<
    Record<string, { readonly all: ByMetric<Interval>; readonly secondHalf: ByMetric<Interval> }>
  >
  /** The blend less each other scorer, paired by user. */
  readonly blendLess: Readonly<Record<string, ByMetric<Difference>>>
  /** What the lists' own sources named of the items that were to be predicted. */
  readonly retrieval: Readonly<Record<Part, RecalledReport>>
  /** Wall time, ms. */
  readonly msAPrediction: Readonly<Record<'blend' | 'retrieved' | 'others', number>>
  readonly msAnEventLearnt: number
  /**
   * Of the blend, what another run is compared by: a user each: hash of the id, then predictions and sums of the metrics,
   * over all and over the second half.
   */
  readonly users: readonly (readonly number[])[]
}

const partsShown = ['all', 'secondHalf'] as const

export function report(run: PrequentialRun): PrequentialReport {
  const { halfLife, sums } = chosen(run)
  const names = [...sums.keys()]
  const columns: Ratio[] = names.flatMap(name =>
    partsShown.flatMap(part => ratiosOf(run, sums.get(name) as Sums, part)),
  )
  const values = resample(columns, run.users.length)
  const resampled = (name: string, part: Part, m: number): Float64Array =>
    values[(names.indexOf(name) * 2 + partsShown.indexOf(part as 'all')) * metrics.length + m]
  const figures = (name: string, part: Part): Figures =>
    figuresOf(run, sums.get(name) as Sums, part)
  const manyUsers = run.users.length > 1
  const intervals = (name: string, part: Part): ByMetric<Interval> =>
    byMetric((_, m) => (manyUsers ? interval95(resampled(name, part, m)) : null))
  const n = total(run.predicted.all)
  const { blend, retrieved, others, learning } = run.timeMs
  const scored = Math.max(1, n + total(run.predicted.newItems))
  return {
    events: run.events,
    scorers: byName(names, name => ({
      all: figures(name, 'all'),
      secondHalf: figures(name, 'secondHalf'),
    })),
    newItems: byName(names, name => figures(name, 'newItems')),
    halfLifeHours: halfLife / 3_600_000,
    intervals: byName(names, name => ({
      all: intervals(name, 'all'),
      secondHalf: intervals(name, 'secondHalf'),
    })),
    blendLess: byName(
      names.filter(name => name !== 'blend'),
      name =>
        byMetric((metric, m) =>
          pairedDifference(
            [resampled('blend', 'all', m), resampled(name, 'all', m)],
            [figures('blend', 'all')[metric], figures(name, 'all')[metric]],
            n,
          ),
        ),
    ),
    retrieval: run.retrieval,
    msAPrediction: {
      blend: blend / scored,
      retrieved: retrieved / scored,
      others: others / scored,
    },
    msAnEventLearnt: learning / Math.max(1, run.events),
    users: usersOf(run, sums.get('blend') as Sums),
  }
}

const scorers = [
  'blend',
  'retrieved',
  'popularity',
  'popularity_decayed',
  'covisit',
  'embedding',
] as const

/** The scorers by their names outside; of the half-lives only the best one. */
function chosen(run: PrequentialRun): { halfLife: number; sums: Map<string, Sums> } {
  const ndcg = metrics.indexOf('ndcg@10')
  const of = (halfLife: number): Sums => run.sums.get(`decayed ${halfLife}`) ?? new Sums()
  const gained = (halfLife: number): number => total(of(halfLife).gains.all[ndcg])
  const halfLife = run.halfLivesMs.reduce((best, next) =>
    gained(next) > gained(best) ? next : best,
  )
  const sums = new Map<string, Sums>()
  for (const name of scorers)
    sums.set(
      name,
      name === 'popularity_decayed' ? of(halfLife) : (run.sums.get(name) ?? new Sums()),
    )
  return { halfLife, sums }
}

function figuresOf(run: PrequentialRun, sums: Sums, part: Part): Figures {
  const n = total(run.predicted[part])
  return {
    n,
    ...byMetric((_, m) => (n > 0 ? total(sums.gains[part][m]) / n : 0)),
    coverage: run.items > 0 ? sums.distinct(part) / run.items : 0,
  }
}

function ratiosOf(run: PrequentialRun, sums: Sums, part: Part): Ratio[] {
  const counts = run.predicted[part]
  return sums.gains[part].map(gains => ({ gains: padded(gains, counts.length), counts }))
}

/** A user who was never predicted has no sums. */
function padded(gains: readonly number[], length: number): number[] {
  return Array.from({ length }, (_, user) => gains[user] ?? 0)
}

function usersOf(run: PrequentialRun, sums: Sums): number[][] {
  return run.users.map((id, user) => [
    hash53(id),
    ...partsShown.flatMap(part => [
      run.predicted[part][user],
      ...sums.gains[part].map(gains => Number((gains[user] ?? 0).toFixed(6))),
    ]),
  ])
}

export type Comparison = { readonly [P in (typeof partsShown)[number]]: ByMetric<Difference> }

/**
 * The blend of `mine` less that of `other`, on the same resamples of users. Errors: CALL_INVALID where they predicted other
 * events: of another log, or with other flags of what is predicted.
 */
export function compareRuns(mine: PrequentialReport, other: PrequentialReport): Comparison {
  const theirs = new Map(other.users.map(row => [row[0], row]))
  const width = 1 + metrics.length
  for (const row of mine.users)
    for (const at of [1, 1 + width])
      if (theirs.get(row[0])?.[at] !== row[at])
        throw new FreshetError(
          'CALL_INVALID',
          'the two runs predicted other events and cannot be compared by user: give both the same file, --positive and --score-every',
        )
  const pairs = mine.users.map(row => [row, theirs.get(row[0]) as readonly number[]] as const)
  const columns: Ratio[] = partsShown.flatMap((_, p) =>
    metrics.flatMap((_metric, m) =>
      [0, 1].map(side => ({
        counts: pairs.map(pair => pair[side][1 + p * width]),
        gains: pairs.map(pair => pair[side][2 + p * width + m]),
      })),
    ),
  )
  const values = resample(columns, pairs.length)
  const of = (part: 'all' | 'secondHalf', p: number): ByMetric<Difference> =>
    byMetric((metric, m) => {
      const at = (p * metrics.length + m) * 2
      const { n } = mine.scorers.blend[part]
      const value = (from: PrequentialReport): number => from.scorers.blend[part][metric]
      return pairedDifference([values[at], values[at + 1]], [value(mine), value(other)], n)
    })
  return { all: of('all', 0), secondHalf: of('secondHalf', 1) }
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, x) => sum + x, 0)

function byMetric<T>(make: (metric: Metric, m: number) => T): ByMetric<T> {
  return Object.fromEntries(metrics.map((metric, m) => [metric, make(metric, m)])) as ByMetric<T>
}

function byName<T>(names: readonly string[], make: (name: string) => T): Record<string, T> {
  return Object.fromEntries(names.map(name => [name, make(name)]))
}

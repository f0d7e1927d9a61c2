/**
 * The metrics of an experiment, each over its exposed users from their exposure on. What a user adds is a whole number, so
 * that sums over users are exact in any order. docs/experiments.md says what each counts.
 */
import type { Estimator } from './statistics/estimates.ts'

/** What is kept of an exposed user, whole numbers. */
export interface Outcome {
  /** Of the 28 days before the exposure: first positives (at most 200), and days with one. */
  readonly positivesBefore: number
  readonly daysBefore: number
  readonly impressions: number
  /** Impressions of items that the catalog calls restricted. */
  readonly restricted: number
  /** Impressions whose label is final, and those of them that were clicked or played. */
  readonly labelled: number
  readonly clicked: number
  readonly plays: number
  readonly positives: number
  readonly watchedMs: number
  /** Sessions with an event since the exposure, the exposure's own among them. */
  readonly sessions: number
  readonly closedSessions: number
  readonly closedMs: number
  readonly reports: number
  /** Days (UTC) with an event. */
  readonly days: number
  /** Another session began within a day of the exposure. */
  readonly returned: boolean
  /** Lists built for an event of the user, and those built later than `slowMs` after it. */
  readonly lists: number
  readonly slowLists: number
}

interface Metric {
  readonly name: string
  readonly how: Exclude<Estimator, 'cuped'>
  readonly moreIsBetter: boolean
  /** Counted a day after the exposure, not at once. */
  readonly aDayLater: boolean
  /** Is x a covariate of before the exposure (then `<name>.cuped` is told too), or the denominator of a ratio? */
  readonly cuped: boolean
  /** A share: what a user adds lies between 0 and its denominator. */
  readonly isShare: boolean
  y(of: Outcome, capMs: number): number
  x(of: Outcome): number
}

const SECOND = 1_000

/** Lists are promised within a second: their p99 keeps it where `slow_lists` is at most .01. */
export const slowMs = 1_000

function perUser(
  name: string,
  y: Metric['y'],
  x: Metric['x'],
  more: Partial<Pick<Metric, 'how' | 'aDayLater' | 'isShare'>> = {},
): Metric {
  return {
    name,
    how: 'mean',
    moreIsBetter: true,
    aDayLater: false,
    cuped: true,
    isShare: false,
    y,
    x,
    ...more,
  }
}

function ratio(
  name: string,
  y: Metric['y'],
  x: Metric['x'],
  more: Partial<Pick<Metric, 'moreIsBetter' | 'isShare'>> = {},
): Metric {
  const fixed = { how: 'ratio', aDayLater: false, cuped: false } as const
  return { name, moreIsBetter: true, isShare: false, y, x, ...more, ...fixed }
}

const shareOfBad = { moreIsBetter: false, isShare: true }

/** Sums stand on the changelog by place in this list: append, never reorder. */
export const userMetrics: readonly Metric[] = [
  perUser(
    'watch_time',
    // in whole seconds, so that squares of months of it are exact
    (of, capMs) => Math.floor(Math.min(of.watchedMs, capMs * of.days) / SECOND),
    of => of.positivesBefore,
  ),
  ratio(
    'ctr',
    of => of.clicked,
    of => of.labelled,
    { isShare: true },
  ),
  perUser(
    'positives',
    of => of.positives,
    of => of.positivesBefore,
  ),
  perUser(
    'sessions',
    of => of.sessions,
    of => of.daysBefore,
  ),
  perUser(
    'return_1d',
    of => (of.returned ? 1 : 0),
    of => of.daysBefore,
    { how: 'share', aDayLater: true, isShare: true },
  ),
  perUser(
    'dau',
    of => of.days,
    of => of.daysBefore,
  ),
  ratio(
    'session_depth',
    of => of.plays,
    of => of.sessions,
  ),
  ratio(
    'session_length',
    of => Math.floor(of.closedMs / SECOND),
    of => of.closedSessions,
  ),
  ratio(
    'report_rate',
    of => of.reports,
    of => of.impressions,
    shareOfBad,
  ),
  ratio(
    'restricted_share',
    of => of.restricted,
    of => of.impressions,
    shareOfBad,
  ),
  ratio(
    'slow_lists',
    of => of.slowLists,
    of => of.lists,
    shareOfBad,
  ),
]

/** A figure that rows are written of. */
export interface Figure {
  readonly name: string
  /** Place in `userMetrics`. */
  readonly metric: number
  readonly how: Estimator
  readonly moreIsBetter: boolean
  readonly isShare: boolean
}

export const figures: readonly Figure[] = userMetrics.flatMap((each, metric) => {
  const { name, how, moreIsBetter, cuped, isShare } = each
  const plain: Figure = { name, metric, how, moreIsBetter, isShare }
  return cuped ? [plain, { ...plain, name: `${name}.cuped`, how: 'cuped' as const }] : [plain]
})

export const figureNames: readonly string[] = figures.map(({ name }) => name)

/** What decides where an experiment declares nothing: time watched, and whether lists are clicked at all. */
export const defaultMetrics: readonly string[] = ['watch_time.cuped', 'ctr']

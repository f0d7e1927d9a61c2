/** The metrics of online quality: which sums a figure is made of, and when it is known. docs/quality-live.md defines them. */
import { fineUnit, noveltyUnit, returns, sum } from '../ledger/sums.ts'

/** When sums are whole: with the labels, with sessions and requests that ended, then with each return (in their order). */
export const known = { labels: 1, ended: 2, returns: 3 } as const

export interface Metric {
  readonly name: string
  readonly numerator: number
  readonly denominator: number
  /** Of the numerator by the denominator. */
  readonly unit: number
  readonly isShare: boolean
  /** The level from which on it is written. */
  readonly from: number
}

const seconds = 1 / 1000

function perImpression(name: string, numerator: number, unit = 1): Metric {
  return {
    name,
    numerator,
    denominator: sum.impressions,
    unit,
    isShare: unit === 1,
    from: known.labels,
  }
}

function perSession(name: string, numerator: number, unit = 1): Metric {
  return { name, numerator, denominator: sum.sessions, unit, isShare: false, from: known.ended }
}

export const metrics: readonly Metric[] = [
  perImpression('ctr', sum.clicks),
  perImpression('positive_rate', sum.positives),
  { ...perImpression('completion_rate', sum.completions), denominator: sum.clicks },
  perImpression('watch_time', sum.watchedMs, seconds),
  perImpression('watch_time_weighted', sum.weightedMs, seconds),
  {
    ...perImpression('watched_share', sum.graded, fineUnit),
    denominator: sum.gradedKnown,
    isShare: true,
  },
  perImpression('explore_share', sum.explored),
  perImpression('repeat_rate', sum.repeats),
  perImpression('novelty', sum.novelty, noveltyUnit),
  { ...perImpression('new_items_share', sum.newItems), denominator: sum.catalogued },
  { ...perImpression('restricted_share', sum.restricted), denominator: sum.catalogued },
  perImpression('report_rate', sum.reported),
  perImpression('hide_rate', sum.hidden),
  {
    name: 'ndcg@10',
    numerator: sum.ndcg,
    denominator: sum.requests,
    unit: fineUnit,
    isShare: true,
    from: known.ended,
  },
  {
    name: 'mrr',
    numerator: sum.mrr,
    denominator: sum.requests,
    unit: fineUnit,
    isShare: true,
    from: known.ended,
  },
  perSession('session_length', sum.sessionMs, seconds),
  perSession('session_depth', sum.sessionImpressions),
  perSession('session_plays', sum.sessionPlays),
  perSession('session_watch_time', sum.sessionWatchedMs, seconds),
  ...returns.map((each, k) => ({
    ...perSession(`return_${each.name}`, each.sum),
    isShare: true,
    from: known.returns + k,
  })),
]

/**
 * Drift of vectors: `centroid_cosine`, the mean cosine of the window's vectors with the reference's mean vector;
 * `centroid_distance`, the Euclidean distance of the two mean vectors (Phoenix's `EuclideanDistance`); `domain_auc`, how well
 * a classifier tells the window from the reference (evidently's default for embeddings is of this kind).
 *
 * The cosine alarms where it falls below that of the reference's own vectors by more than .02 and 3 standard errors; the AUC
 * above .55, evidently's threshold, and above what chance exceeds once in 1,000. Vectors that are not finite, or of another
 * length than the reference's first, are left out.
 */
import type { Figure } from '../figures.ts'
import { moments } from '../statistics/bins.ts'
import { domainAuc, dot, meanOf, minVectors } from '../statistics/domain-classifier.ts'
import { told, whyNot } from './told.ts'

const leastFall = 0.02
const standardErrors = 3
const leastAuc = 0.55
/** Of the normal distribution: exceeded once in 1,000. */
const quantile = 3.0902323061678132

export const embeddingStatistics = ['centroid_cosine', 'centroid_distance', 'domain_auc'] as const

type Vectors = readonly ArrayLike<number>[]

export function embeddingFigures(reference: Vectors, current: Vectors, seed: number): Figure[] {
  const length = reference.find(isWhole)?.length ?? 0
  const usable = (row: ArrayLike<number>): boolean => row.length === length && isWhole(row)
  const known = reference.filter(usable)
  const now = current.filter(usable)
  const reason = whyNot(known.length, now.length)
  if (reason !== '') return embeddingStatistics.map(name => told(name, reason))
  const centre = meanOf(known)
  const centreNow = meanOf(now)
  const gap = centre.map((value, i) => value - centreNow[i])
  return [
    cosineFigure(centre, known, now),
    told('centroid_distance', Math.sqrt(dot(gap, gap))),
    aucFigure(known, now, seed),
  ]
}

function cosineFigure(centre: Float64Array, known: Vectors, now: Vectors): Figure {
  const cosines = [known, now].map(side =>
    side.map(row => cosine(row, centre)).filter(value => !Number.isNaN(value)),
  )
  if (cosines[0].length === 0 || cosines[1].length === 0)
    return told('centroid_cosine', 'a side has no direction: all its vectors, or their mean, are 0')
  const own = moments(cosines[0])
  const error = own.deviation * Math.sqrt(1 / cosines[0].length + 1 / cosines[1].length)
  const threshold = own.mean - Math.max(leastFall, standardErrors * error)
  return told('centroid_cosine', moments(cosines[1]).mean, { threshold, alarmsWhen: '<' })
}

function aucFigure(known: Vectors, now: Vectors, seed: number): Figure {
  const n = known.length
  const m = now.length
  if (Math.min(n, m) < minVectors)
    return told('domain_auc', `a side has fewer than ${minVectors} vectors`)
  // the standard deviation of Mann-Whitney's statistic, and of one without ties
  const chance = 0.5 + quantile * Math.sqrt((n + m + 1) / (12 * n * m))
  return told('domain_auc', domainAuc(known, now, seed), { threshold: Math.max(leastAuc, chance) })
}

/** NaN where either is 0. */
function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}

function isWhole(row: ArrayLike<number>): boolean {
  for (let i = 0; i < row.length; i++) if (!Number.isFinite(row[i])) return false
  return row.length > 0
}

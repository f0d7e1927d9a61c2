/**
 * What nannyml (0.13) says of a column: its univariate methods `jensen_shannon` (base 2), `wasserstein`,
 * `kolmogorov_smirnov` and `hellinger` for numbers, `jensen_shannon`, `hellinger`, `chi2` and `l_infinity` for categories.
 *
 *  - Bins of numbers are made of the reference alone, by Doane's rule; what lies outside them is one more bin, which the
 *    reference has empty. So are categories that the reference does not have.
 *  - An alarm is a value above mean + 3 standard deviations of what the reference's own chunks give against the whole
 *    reference; chi-square alarms by its p < .05. Without chunks given, ten are made in order of the values, as nannyml's
 *    default chunker does (an eleventh where ten do not come out even).
 *  - nannyml adds shares up in floating point, so that the last bin may hold some 1e-16 where nothing lies outside; here
 *    the count is exact. It shows only where a distance is 0: nannyml may say 1e-8.
 *  - From 10,000 rows of reference on nannyml takes KS and Wasserstein from 10,000 bins; here they stay exact.
 */
import type { Figure } from '../figures.ts'
import { binning, countsIn, edgesBetween, moments } from '../statistics/bins.ts'
import { contingency } from '../statistics/contingency.ts'
import { w1Of } from '../statistics/ecdf.ts'
import { hellinger } from '../statistics/hellinger.ts'
import { js } from '../statistics/js.ts'
import { ksDistance } from '../statistics/ks-samples.ts'
import { total } from '../statistics/shares.ts'
import { tally } from '../statistics/tally.ts'
import { present } from './sample.ts'
import { told, tooClose, whyNot } from './told.ts'

/** Chunks of a reference that comes without. */
const chunkCount = 10
const deviations = 3

type Value = number | string
type Values = Readonly<Record<string, Value>>

/** `chunks`: of the reference, as long as the windows that are compared with it are. Missing values may be among them. */
export function nannymlNumbers(
  reference: Float64Array,
  current: Float64Array,
  chunks: readonly Float64Array[] = inOrder(reference),
): Figure[] {
  const known = present(reference)
  const now = present(current)
  const reason = whyNot(known.length, now.length)
  if (reason !== '') return ['js', 'w1', 'ks_d', 'hellinger'].map(name => told(name, reason))
  const against = numbersAgainst(known)
  const ofChunks = chunks.map(present).filter(chunk => chunk.length > 0)
  return judged(against(now), ofChunks.map(against))
}

export function nannymlCategories(
  reference: readonly string[],
  current: readonly string[],
  chunks: readonly (readonly string[])[] = inOrder(reference),
): Figure[] {
  const reason = whyNot(reference.length, current.length)
  if (reason !== '')
    return ['js', 'hellinger', 'l_infinity', 'chi2', 'chi2_p'].map(name => told(name, reason))
  const against = (side: readonly string[]): Values => categories(reference, side)
  const figures = judged(against(current), chunks.filter(chunk => chunk.length > 0).map(against))
  const counts = tally(reference, current)
  const test = contingency(counts.reference, counts.current)
  return [
    ...figures,
    told('chi2', test.statistic),
    told('chi2_p', test.p, { threshold: 0.05, alarmsWhen: '<' }),
  ]
}

/** Mean + 3 standard deviations (over n) of what the chunks gave, at most `most`; null without a chunk, or where it is infinite. */
export function chunkThreshold(
  values: readonly number[],
  most = Number.POSITIVE_INFINITY,
): number | null {
  const finite = values.filter(Number.isFinite)
  if (finite.length === 0) return null
  const { mean, deviation } = moments(finite)
  const threshold = Math.min(most, mean + deviations * deviation)
  return Number.isFinite(threshold) ? threshold : null
}

function judged(values: Values, ofChunks: readonly Values[]): Figure[] {
  return Object.entries(values).map(([name, value]) => {
    const numbers = ofChunks.map(chunk => chunk[name]).filter(each => typeof each === 'number')
    const threshold = chunkThreshold(numbers, name === 'ks_d' ? 1 : undefined)
    if (threshold !== null) return told(name, value, { threshold })
    const figure = told(name, value)
    return {
      ...figure,
      reason: figure.reason || 'the reference has no chunks to tell a threshold from',
    }
  })
}

function numbersAgainst(reference: Float64Array): (side: Float64Array) => Values {
  const bins = binning(reference, 'doane')
  const edges = bins && edgesBetween(bins.low, bins.high, bins.bins)
  const counts = edges && countsIn(edges, reference)
  const sorted = reference.slice().sort()
  return side => {
    const own = side.slice().sort()
    const inBins = edges && countsIn(edges, side)
    const [p, q] =
      counts && inBins
        ? [withRest(counts, reference.length), withRest(inBins, side.length)]
        : [null, null]
    return {
      js: p && q ? js(p, q, 2) : tooClose,
      w1: w1Of(sorted, own),
      ks_d: ksDistance(sorted, own),
      hellinger: p && q ? hellinger(p, q) : tooClose,
    }
  }
}

function categories(reference: readonly string[], side: readonly string[]): Values {
  const counts = tally(reference, side)
  const p = counts.reference.map(count => count / reference.length)
  const q = counts.current.map(count => count / side.length)
  const known = p.filter(share => share > 0).length
  // categories come in order of sight: those of the reference first, new ones share a bin
  const fold = (all: Float64Array): Float64Array =>
    Float64Array.of(...all.subarray(0, known), total(all.subarray(known)))
  let largest = 0
  for (let i = 0; i < p.length; i++) largest = Math.max(largest, Math.abs(p[i] - q[i]))
  return {
    js: js(fold(p), fold(q), 2),
    hellinger: hellinger(fold(p), fold(q)),
    l_infinity: largest,
  }
}

/** Shares of the bins, and of what is in none. */
function withRest(counts: Float64Array, n: number): Float64Array {
  return Float64Array.of(...counts.map(count => count / n), (n - total(counts)) / n)
}

/** n / 10 values each, the rest in one more; none of fewer than ten values. */
function inOrder<T extends { length: number; slice(from: number, to: number): T }>(all: T): T[] {
  const size = Math.floor(all.length / chunkCount)
  if (size === 0) return []
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
    all.slice(i * size, (i + 1) * size),
  )
}

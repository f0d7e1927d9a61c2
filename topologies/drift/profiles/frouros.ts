/**
 * What frouros (0.9) says of two samples: its distances `PSI`, `HellingerDistance`, `BhattacharyyaDistance`,
 * `HINormalizedComplement`, `JS`, `KL`, `EMD`, `EnergyDistance` and tests `KSTest`, `KuiperTest` for numbers, `ChiSquareTest`
 * for categories.
 *
 *  - The first four use 10 equal bins between the least and greatest value of both sides; an empty bin has the smallest
 *    normal double as its share in PSI, so that one alone adds some 700 times the other side's share.
 *  - JS and KL are of 9 cells between 10 points (not 10 cells), with probabilities read off each side's histogram of numpy's
 *    'auto' bins, linear within a bin. KL is of the window from the reference: infinite where the reference has an empty
 *    cell, which is null here.
 *  - Its Bhattacharyya distance is 1 - BC, not -ln BC. Its Kuiper test takes the D of Kolmogorov-Smirnov for Kuiper's V:
 *    `kuiper_p` is what frouros says, and not Kuiper's. Its approximation may leave [0, 1] by a little.
 *  - It has no thresholds: these figures never alarm.
 */
import type { Figure } from '../figures.ts'
import { binning, countsIn, edgesBetween, range } from '../statistics/bins.ts'
import { contingency } from '../statistics/contingency.ts'
import { energyOf, w1Of } from '../statistics/ecdf.ts'
import { hellinger } from '../statistics/hellinger.ts'
import { js } from '../statistics/js.ts'
import { kl } from '../statistics/kl.ts'
import { ksOf } from '../statistics/ks-samples.ts'
import { kuiperP } from '../statistics/kuiper.ts'
import { psi } from '../statistics/psi.ts'
import { tally } from '../statistics/tally.ts'
import { told, tooClose, whyNot } from './told.ts'

const bins = 10
/** The smallest normal double. */
const smallest = 2 ** -1022

export function frourosNumbers(reference: Float64Array, current: Float64Array): Figure[] {
  const reason = whyNot(reference.length, current.length)
  if (reason !== '')
    return [
      'psi',
      'hellinger',
      'bhattacharyya',
      'histogram_intersection',
      'js',
      'kl',
      'w1',
      'energy',
      'ks_d',
      'ks_p',
      'kuiper_p',
    ].map(name => told(name, reason))
  const a = reference.slice().sort()
  const b = current.slice().sort()
  const ks = ksOf(a, b)
  return [
    ...ofBins(a, b),
    ...ofCells(a, b),
    told('w1', w1Of(a, b)),
    told('energy', energyOf(a, b)),
    told('ks_d', ks.d),
    told('ks_p', ks.p),
    told('kuiper_p', kuiperP(ks.d, (a.length * b.length) / (a.length + b.length))),
  ]
}

export function frourosCategories(
  reference: readonly string[],
  current: readonly string[],
): Figure[] {
  const reason = whyNot(reference.length, current.length)
  if (reason !== '') return ['chi2', 'chi2_p'].map(name => told(name, reason))
  const counts = tally(reference, current)
  const test = contingency(counts.reference, counts.current)
  return [told('chi2', test.statistic), told('chi2_p', test.p)]
}

/** Least and greatest of two sorted sides. */
function ends(a: Float64Array, b: Float64Array): [low: number, high: number] {
  return [Math.min(a[0], b[0]), Math.max(a[a.length - 1], b[b.length - 1])]
}

function ofBins(a: Float64Array, b: Float64Array): Figure[] {
  const names = ['psi', 'hellinger', 'bhattacharyya', 'histogram_intersection']
  const edges = edgesBetween(...(range(ends(a, b)) as [number, number]), bins)
  if (edges === null) return names.map(name => told(name, tooClose))
  const p = countsIn(edges, a).map(count => count / a.length)
  const q = countsIn(edges, b).map(count => count / b.length)
  let common = 0
  let both = 0
  for (let i = 0; i < bins; i++) {
    common += Math.sqrt(p[i] * q[i])
    both += Math.min(p[i], q[i])
  }
  const filled = (side: Float64Array): Float64Array => side.map(share => share || smallest)
  return [
    told('psi', psi(filled(p), filled(q))),
    told('hellinger', hellinger(p, q)),
    told('bhattacharyya', 1 - common),
    told('histogram_intersection', 1 - both),
  ]
}

function ofCells(a: Float64Array, b: Float64Array): Figure[] {
  const [low, high] = ends(a, b)
  const p = cells(a, low, high)
  const q = cells(b, low, high)
  if (p === null || q === null) return ['js', 'kl'].map(name => told(name, tooClose))
  // of a constant on both sides every point is the same, and every cell empty
  if (low === high) return [told('js', 'one distinct value'), told('kl', 0)]
  const divergence = kl(q, p)
  return [
    told('js', js(normal(p), normal(q))),
    told('kl', divergence === Number.POSITIVE_INFINITY ? 'infinite: a cell is new' : divergence),
  ]
}

/** Probabilities between 10 equally spaced points, from the side's own histogram. */
function cells(sorted: Float64Array, low: number, high: number): Float64Array | null {
  const own = binning(sorted, 'auto')
  if (own === null) return null
  const step = (own.high - own.low) / own.bins
  if (!Number.isFinite(step) || own.low + step === own.low) return null
  /** Values below edge `i`, or up to the last one. */
  const below = (i: number): number =>
    i >= own.bins ? sorted.length : firstAtOrAbove(sorted, i * step + own.low)
  const cdf = (x: number): number => {
    if (x <= own.low) return 0
    if (x >= own.high) return 1
    let bin = Math.min(own.bins - 1, Math.floor((x - own.low) / step))
    if (x < bin * step + own.low) bin--
    const edge = bin * step + own.low
    const before = below(bin)
    return (before + ((below(bin + 1) - before) * (x - edge)) / step) / sorted.length
  }
  const gap = (high - low) / (bins - 1)
  const points = Float64Array.from({ length: bins }, (_, i) =>
    i === bins - 1 ? high : i * gap + low,
  )
  return Float64Array.from({ length: bins - 1 }, (_, i) => cdf(points[i + 1]) - cdf(points[i]))
}

function firstAtOrAbove(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}

function normal(side: Float64Array): Float64Array {
  const sum = side.reduce((all, share) => all + share, 0)
  return side.map(share => share / sum)
}

/**
 * What evidently (0.7) says of a column: its statistical tests `psi`, `kl_div`, `jensenshannon`, `wasserstein` (normed),
 * `ks`, `chisquare` and `z`, each with its own default threshold, and `drift_score`: the one that it would choose by
 * itself, which is its verdict on the column.
 *
 *  - Numbers of more than 20 distinct values in the reference are binned by Sturges' rule over both sides together, as
 *    numpy bins floats (of whole numbers numpy 2 never makes bins narrower than 1: a column of integers differs). Fewer,
 *    and categories: each value is a group.
 *  - For PSI and KL an empty group of a side gets a share of 1e-4, or a millionth of its smallest one where that is not
 *    above 1e-4. JS stays unfilled.
 *  - Chi-square is infinite where a category is new; its p is 0 then. The Z-test's p is 2 (1 - Phi), with the digits that
 *    this has: 0 from 8.3 standard errors on.
 *  - Missing and infinite values are dropped first, as evidently's reports do.
 */
import { type Figure, isOver } from '../figures.ts'
import { binning, countsIn, edgesBetween, moments } from '../statistics/bins.ts'
import { w1Of } from '../statistics/ecdf.ts'
import { js } from '../statistics/js.ts'
import { kl } from '../statistics/kl.ts'
import { ksOf } from '../statistics/ks-samples.ts'
import { psi } from '../statistics/psi.ts'
import { shares, total } from '../statistics/shares.ts'
import { chi2Survival } from '../statistics/special.ts'
import { type Tally, tally } from '../statistics/tally.ts'
import { type Limit, told, tooClose, whyNot } from './told.ts'

const distance: Limit = { threshold: 0.1, alarmsWhen: '>=' }
const pBelow: Limit = { threshold: 0.05, alarmsWhen: '<' }
const ksBelow: Limit = { threshold: 0.05, alarmsWhen: '<=' }
/** A reference of more rows is judged by a distance, not by a test. */
const testedRows = 1000
/** So many distinct values are taken for categories by the choice of the test. */
const fewValues = 5
/** A reference of so many distinct values or fewer is not binned. */
const unbinnedValues = 20
const leastScale = 0.001

export function evidentlyNumbers(reference: Float64Array, current: Float64Array): Figure[] {
  const names = ['psi', 'kl', 'js', 'w1', 'ks_d', 'ks_p', 'chi2', 'chi2_p', 'z_p', 'drift_score']
  const reason = whyNot(reference.length, current.length)
  if (reason !== '') return names.map(name => told(name, reason))
  const each = tally(reference, current)
  const distinct = each.keys.length
  const known = each.reference.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0)
  const counts = known > unbinnedValues ? binned(reference, current) : each
  const a = reference.slice().sort()
  const b = current.slice().sort()
  const ks = ksOf(a, b)
  const scale = Math.max(moments(reference).deviation, leastScale)
  const w1 = told('w1', w1Of(a, b) / scale, distance)
  const ksP = told('ks_p', ks.p, ksBelow)
  const list = divergences(counts, reference.length, current.length)
  const tests =
    distinct > fewValues
      ? ['chi2', 'chi2_p', 'z_p'].map(name => told(name, `more than ${fewValues} distinct values`))
      : independence(each)
  const chosen =
    distinct > fewValues
      ? reference.length > testedRows
        ? w1
        : ksP
      : chosenOfFew(reference.length, distinct, list, tests)
  return [...list, w1, told('ks_d', ks.d), ksP, ...tests, score(chosen)]
}

export function evidentlyCategories(
  reference: readonly string[],
  current: readonly string[],
): Figure[] {
  const reason = whyNot(reference.length, current.length)
  if (reason !== '')
    return ['psi', 'kl', 'js', 'chi2', 'chi2_p', 'z_p', 'drift_score'].map(name =>
      told(name, reason),
    )
  const each = tally(reference, current)
  const list = divergences(each, reference.length, current.length)
  const tests = independence(each)
  const chosen = chosenOfFew(reference.length, each.keys.length, list, tests)
  return [...list, ...tests, score(chosen)]
}

/** evidently's verdict on all columns together: drifted where at least half of them are. Columns without one are left out. */
export function evidentlyDataSet(columns: readonly (readonly Figure[])[]): Figure {
  let judged = 0
  let drifted = 0
  for (const figures of columns) {
    const verdict = figures.find(figure => figure.statistic === 'drift_score')
    if (!verdict || verdict.value === null || verdict.threshold === null) continue
    judged++
    if (isOver(verdict)) drifted++
  }
  const limit: Limit = { threshold: 0.5, alarmsWhen: '>=' }
  return told('drifted_share', judged === 0 ? 'no column has a verdict' : drifted / judged, limit)
}

type Counts = Pick<Tally<unknown>, 'reference' | 'current'>

function binned(reference: Float64Array, current: Float64Array): Counts | null {
  const pooled = new Float64Array(reference.length + current.length)
  pooled.set(reference)
  pooled.set(current, reference.length)
  const bins = binning(pooled, 'sturges')
  const edges = bins && edgesBetween(bins.low, bins.high, bins.bins)
  return edges && { reference: countsIn(edges, reference), current: countsIn(edges, current) }
}

function divergences(counts: Counts | null, n: number, m: number): Figure[] {
  if (counts === null) return ['psi', 'kl', 'js'].map(name => told(name, tooClose, distance))
  const r = counts.reference.map(count => count / n)
  const c = counts.current.map(count => count / m)
  const filledR = filled(r)
  const filledC = filled(c)
  return [
    told('psi', psi(filledR, filledC), distance),
    told('kl', kl(shares(filledR), shares(filledC)), distance),
    told('js', js(r, c), distance),
  ]
}

function filled(side: Float64Array): Float64Array {
  let least = 1
  for (const share of side) if (share > 0 && share < least) least = share
  const fill = least <= 1e-4 ? least / 1e6 : 1e-4
  return side.map(share => share || fill)
}

/** Chi-square against what the reference expects, and the Z-test of two proportions. */
function independence({ keys, reference, current }: Tally<number | string>): Figure[] {
  const n = total(reference)
  const m = total(current)
  let statistic = 0
  for (let i = 0; i < keys.length; i++) {
    const expected = (reference[i] * m) / n
    statistic += (current[i] - expected) ** 2 / expected
  }
  const chi2 = keys.length < 2 ? 'one distinct value' : statistic
  const p = keys.length < 2 ? chi2 : chi2Survival(statistic, keys.length - 1)
  const infinite = chi2 === Number.POSITIVE_INFINITY
  return [
    told('chi2', infinite ? 'infinite: a category is new' : chi2),
    told('chi2_p', infinite ? 0 : p, pBelow),
    told(
      'z_p',
      keys.length > 2 ? 'more than two distinct values' : zTest(reference, current),
      pBelow,
    ),
  ]
}

function zTest(reference: Float64Array, current: Float64Array): number {
  if (reference.length === 1) return 1
  const n = total(reference)
  const m = total(current)
  const pooled = (reference[1] + current[1]) / (n + m)
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
  const z = (reference[1] / n - current[1] / m) / error
  const below = 1 - chi2Survival(z * z, 1) / 2
  return 2 * (1 - below)
}

function chosenOfFew(
  n: number,
  distinct: number,
  list: readonly Figure[],
  tests: readonly Figure[],
): Figure {
  const name = n > testedRows ? 'js' : distinct > 2 ? 'chi2_p' : 'z_p'
  return [...list, ...tests].find(figure => figure.statistic === name) as Figure
}

const score = (chosen: Figure): Figure => ({ ...chosen, statistic: 'drift_score' })

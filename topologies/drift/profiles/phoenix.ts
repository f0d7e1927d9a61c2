/**
 * What Arize Phoenix (up to 4, later ones have no drift) says of a dimension: PSI, KL divergence of the window from the
 * reference and JS distance (logarithms to e) of shares with a pseudocount of 1 a group.
 *
 *  - Numbers are grouped at the reference's deciles (linear between values, equal ones once), left-closed, the outer
 *    groups open. One or two distinct cuts leave two groups, at the smaller one.
 *  - Missing values are a group of their own. Groups that are empty on both sides are left out before the pseudocount (so
 *    in 4.0; its first versions kept them).
 *  - It has no thresholds: these figures never alarm.
 */
import type { Figure } from '../figures.ts'
import { quantile } from '../statistics/bins.ts'
import { js } from '../statistics/js.ts'
import { kl } from '../statistics/kl.ts'
import { psi } from '../statistics/psi.ts'
import { shares } from '../statistics/shares.ts'
import { tally } from '../statistics/tally.ts'
import { binOf } from '../subjects.ts'
import { present } from './sample.ts'
import { told, whyNot } from './told.ts'

const names = ['psi', 'kl', 'js']
const pseudocount = 1

export function phoenixNumbers(reference: Float64Array, current: Float64Array): Figure[] {
  const known = present(reference)
  const now = present(current)
  const reason = whyNot(known.length, now.length)
  if (reason !== '') return names.map(name => told(name, reason))
  const edges = deciles(known.slice().sort())
  const missing = [reference.length - known.length, current.length - now.length]
  const counts = [known, now].map((side, s) => {
    const groups = new Float64Array(edges.length + 1)
    for (const value of side) groups[binOf(edges, value)]++
    return Float64Array.of(...groups, missing[s])
  })
  return divergences(counts[0], counts[1])
}

export function phoenixCategories(
  reference: readonly string[],
  current: readonly string[],
): Figure[] {
  const reason = whyNot(reference.length, current.length)
  if (reason !== '') return names.map(name => told(name, reason))
  const counts = tally(reference, current)
  return divergences(counts.reference, counts.current)
}

function divergences(reference: Float64Array, current: Float64Array): Figure[] {
  const isFilled = (_: number, i: number): boolean => reference[i] + current[i] > 0
  const p = shares(reference.filter(isFilled), pseudocount)
  const q = shares(current.filter(isFilled), pseudocount)
  return [told('psi', psi(p, q)), told('kl', kl(q, p)), told('js', js(p, q))]
}

/** The inner cuts: deciles without the least and greatest value. */
function deciles(sorted: Float64Array): Float64Array {
  const cuts = [...new Set(Array.from({ length: 11 }, (_, i) => quantile(sorted, i / 10)))]
  return Float64Array.from(cuts.length > 2 ? cuts.slice(1, -1) : cuts.slice(0, 1))
}

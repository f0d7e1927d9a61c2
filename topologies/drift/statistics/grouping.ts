/**
 * The frozen edges: neighbouring bins of a reference are joined until each group holds a tenth or so of its rows. Few,
 * well-filled groups make PSI follow its null distribution; the fine bins stay what is counted.
 */
import { total } from './shares.ts'

const wanted = 0.1
/** A group smaller than this is joined with its neighbour. */
const least = 0.05

/** First bin of each group, the first being 0. At least two groups where there are two bins, so that a constant can move. */
export function groupBins(counts: ArrayLike<number>): number[] {
  const n = total(counts)
  const starts = [0]
  let held = 0
  for (let bin = 0; bin < counts.length; bin++) {
    // a heavy bin stands alone rather than swallowing the tail before it
    if (held >= least * n && (held >= wanted * n || counts[bin] >= wanted * n)) {
      starts.push(bin)
      held = 0
    }
    held += counts[bin]
  }
  if (held < least * n && starts.length > 1) starts.pop()
  if (starts.length > 1 || counts.length < 2) return starts
  let heaviest = 0
  for (let bin = 1; bin < counts.length; bin++) if (counts[bin] > counts[heaviest]) heaviest = bin
  return [0, heaviest, heaviest + 1].filter(
    (bin, i, all) => bin < counts.length && all.indexOf(bin) === i,
  )
}

/** Categories that are groups of their own, the most frequent first; all others share a last group. */
export function groupNames(names: readonly string[], counts: ArrayLike<number>): string[] {
  const n = total(counts)
  return names
    .map((name, i) => ({ name, count: counts[i] }))
    .filter(each => each.count >= least * n && each.count > 0)
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
    .map(each => each.name)
}

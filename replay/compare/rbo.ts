/**
 * Rank-biased overlap of two ranked lists (Webber, Moffat and Zobel: A similarity measure for indefinite rankings, ACM TOIS
 * 28(4), 2010): a reader looks at rank d + 1 after rank d with probability p; RBO is the share of equal items that this
 * reader expects, (1 - p) sum over d of p^(d-1) X_d / d, X_d the number of items in both lists' first d.
 */

/** A reader who looks at ten ranks on average. */
const persistence = 0.9

/**
 * RBO_ext (equation 32): what was seen is taken to go on as it is at the end of each list. With S the shorter, of length s,
 * L the longer, of length l, and X_d the overlap at depth d (of S whole where d > s):
 *
 *   (1-p)/p (sum_{d=1..l} X_d p^d / d + sum_{d=s+1..l} X_s (d-s) p^d / (s d)) + ((X_l - X_s)/l + X_s/s) p^l
 *
 * Within 0 and 1; 1 exactly where one list is the other's beginning. Two empty lists are equal (1), an empty one and another are not (0).
 * An item that a list names twice counts at its first place.
 */
export function rboExt(one: readonly string[], other: readonly string[], p = persistence): number {
  const [short, long] = ordered([...new Set(one)], [...new Set(other)])
  const s = short.length
  const l = long.length
  if (l === 0) return 1
  if (s === 0) return 0
  const seenShort = new Set<string>()
  const seenLong = new Set<string>()
  let overlap = 0
  let overlapAtShort = 0
  let sum = 0
  let weight = 1
  for (let d = 1; d <= l; d++) {
    weight *= p
    const b = long[d - 1]
    const a = d <= s ? short[d - 1] : undefined
    if (a !== undefined) seenShort.add(a)
    seenLong.add(b)
    if (a === b) overlap++
    else {
      if (a !== undefined && seenLong.has(a)) overlap++
      if (seenShort.has(b)) overlap++
    }
    if (d === s) overlapAtShort = overlap
    sum += (overlap * weight) / d
    if (d > s) sum += (overlapAtShort * (d - s) * weight) / (s * d)
  }
  const ends = ((overlap - overlapAtShort) / l + overlapAtShort / s) * weight
  return Math.min(1, Math.max(0, ((1 - p) / p) * sum + ends))
}

/** Items in both lists' first `depth`, by `depth` or by the longer list's length where that is less. Two empty lists: 1. */
export function overlapAt(one: readonly string[], other: readonly string[], depth: number): number {
  const first = new Set(one.slice(0, depth))
  const second = new Set(other.slice(0, depth))
  const most = Math.max(first.size, second.size)
  if (most === 0) return 1
  let both = 0
  for (const item of first) if (second.has(item)) both++
  return both / most
}

function ordered<T extends { readonly length: number }>(a: T, b: T): [T, T] {
  return a.length <= b.length ? [a, b] : [b, a]
}

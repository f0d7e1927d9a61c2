/** The `n` first of many by `before`, in order: for few out of many that tie, where sorting all would be the dear part. */
export function smallestBy(
  candidates: readonly number[],
  n: number,
  before: (a: number, b: number) => boolean,
): number[] {
  const kept: number[] = []
  for (const candidate of candidates) {
    if (kept.length === n) {
      if (n === 0 || !before(candidate, kept[n - 1])) continue
      kept.pop()
    }
    let low = 0
    let high = kept.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (before(kept[middle], candidate)) low = middle + 1
      else high = middle
    }
    kept.splice(low, 0, candidate)
  }
  return kept
}

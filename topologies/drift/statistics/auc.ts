/**
 * Area under the ROC curve by ranks: the chance that a positive scores above a negative, a tie being half (Mann & Whitney
 * 1947). NaN where a side is empty or a score is NaN.
 */
export function auc(negative: ArrayLike<number>, positive: ArrayLike<number>): number {
  const low = Float64Array.from(negative).sort()
  const high = Float64Array.from(positive).sort()
  // sorted last
  if (Number.isNaN(low.at(-1) ?? 0) || Number.isNaN(high.at(-1) ?? 0)) return Number.NaN
  let below = 0
  let upTo = 0
  /** Twice the pairs in order, so that it stays whole. */
  let pairs = 0
  for (const score of high) {
    while (below < low.length && low[below] < score) below++
    upTo = Math.max(upTo, below)
    while (upTo < low.length && low[upTo] === score) upTo++
    pairs += below + upTo
  }
  return pairs / 2 / (low.length * high.length)
}

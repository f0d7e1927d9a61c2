/**
 * How well a request's list was ordered, judged by what was watched of it (Jarvelin & Kekalainen, "Cumulated gain-based
 * evaluation of IR techniques", TOIS 2002; discount log2). A list of which nothing was watched has 0 in both.
 */
import { fineUnit } from './sums.ts'

/** What was watched of one impression. */
export interface Gain {
  /** From 0. */
  readonly position: number
  /** Share watched in `fineUnit`, above 0 where anything was watched. */
  readonly gain: number
  readonly positive: boolean
}

/**
 * NDCG at `k`: sum of gain / log2(position + 2) over positions below k, by what the same gains give in the best order of the
 * items shown. Gains are shares watched. In [0, 1].
 */
export function ndcgAt(k: number, gains: readonly Gain[]): number {
  let dcg = 0
  for (const { position, gain } of gains)
    if (position < k) dcg += (gain * fineUnit) / Math.log2(position + 2)
  if (dcg === 0) return 0
  const best = gains.map(({ gain }) => gain * fineUnit).sort((a, b) => b - a)
  let ideal = 0
  for (let rank = 0; rank < Math.min(k, best.length); rank++)
    ideal += best[rank] / Math.log2(rank + 2)
  // two impressions may name one position
  return Math.min(1, dcg / ideal)
}

/** 1 / (1 + position) of the first positive; 0 where there is none. */
export function reciprocalRank(gains: readonly Gain[]): number {
  let best = 0
  for (const { position, positive } of gains)
    if (positive) best = Math.max(best, 1 / (1 + position))
  return best
}

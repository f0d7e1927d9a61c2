/**
 * What the ledger sums up by window and bucket of users. Every sum is a whole number, so it does not depend on the order in
 * which it was made; shares and the like are taken in the units below.
 */
import type { Labelled } from './packets.ts'

/** Places in a bucket's array. They go on the log with their number: append, never reorder. */
export const sum = {
  // of impressions whose label is final, at the minute they were shown
  impressions: 0,
  clicks: 1,
  positives: 2,
  completions: 3,
  /** Unique content watched, ms; a play counts up to `quality.watchCap`. */
  watchedMs: 4,
  /** The same, each play by the share of the item that was watched. */
  weightedMs: 5,
  /** Share watched, in `fineUnit`, and the impressions of which it is known. */
  graded: 6,
  gradedKnown: 7,
  explored: 8,
  /** Impressions of items that stand in the catalog; of these the new and the restricted ones. */
  catalogued: 9,
  newItems: 10,
  restricted: 11,
  /** Shown before within 7 days, and not watched. */
  repeats: 12,
  /** -log2 of the item's share of all positives, in `noveltyUnit`. */
  novelty: 13,
  reported: 14,
  hidden: 15,
  // of sessions, at the minute of their last event
  sessions: 16,
  sessionMs: 17,
  sessionImpressions: 18,
  sessionPlays: 19,
  sessionWatchedMs: 20,
  returned1h: 21,
  returned6h: 22,
  returned1d: 23,
  returned7d: 24,
  // of requests all of whose labels are final, at the minute of their first impression
  requests: 25,
  /** In `fineUnit`. */
  ndcg: 26,
  mrr: 27,
} as const

export const sumCount = 28

/** Shares in [0, 1] are taken as whole numbers of this: a bucket then holds 8 million of them exactly. */
export const fineUnit = 2 ** -30
/** Bits of surprise, likewise. */
export const noveltyUnit = 2 ** -16

/** Parts of the users by hash: the variance between them is that of a figure, without state of each user. */
export const bucketCount = 64

/** How soon the next session begins, ms, with the sum that counts it and its bit in a packet. */
export const returns = [
  { name: '1h', withinMs: 3_600_000, sum: sum.returned1h },
  { name: '6h', withinMs: 21_600_000, sum: sum.returned6h },
  { name: '1d', withinMs: 86_400_000, sum: sum.returned1d },
  { name: '7d', withinMs: 604_800_000, sum: sum.returned7d },
] as const

/** An impression with its final label. Hot. */
export function addLabel(sums: Float64Array, one: Labelled): void {
  sums[sum.impressions]++
  if (one.clicked) sums[sum.clicks]++
  if (one.positive) sums[sum.positives]++
  if (one.completed) sums[sum.completions]++
  if (one.explored) sums[sum.explored]++
  if (one.repeated) sums[sum.repeats]++
  if (one.reported) sums[sum.reported]++
  if (one.hidden) sums[sum.hidden]++
  if (one.catalogued) {
    sums[sum.catalogued]++
    if (one.isNew) sums[sum.newItems]++
    if (one.restricted) sums[sum.restricted]++
  }
  sums[sum.watchedMs] += one.watchedMs
  sums[sum.weightedMs] += one.weightedMs
  if (one.graded >= 0) {
    sums[sum.gradedKnown]++
    sums[sum.graded] += one.graded
  }
  if (one.novelty >= 0) sums[sum.novelty] += one.novelty
}

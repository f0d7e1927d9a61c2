/**
 * The item table: everything known of items, the same in every process, followed from the changelogs of item tasks
 * (catalog, counts, neighbours) and of the learner (vectors). Items are small integers inside a process: `index` gives
 * them, in order of first sight; they differ between processes and never go on the log.
 */
import type { ByteReader } from '../../streams/serde/bytes.ts'
import type { BlendWeights } from '../blend/weights.ts'
import type { ResponseWeights } from '../response/weights.ts'

export interface CatalogEntry {
  readonly itemId: string
  readonly title: string
  /** Index among creators; -1 unknown. */
  readonly creator: number
  /** Indices among topics. */
  readonly topics: readonly number[]
  readonly language: string
  readonly regions: readonly string[]
  readonly publishedAt: number
  readonly expiresAt: number | null
  readonly durationMs: number
  readonly safety: 'ok' | 'restricted' | 'blocked'
  /** Those that a group of the policy file asks for; others would only cost memory. */
  readonly attributes: Readonly<Record<string, string>>
}

export interface Neighbours {
  /** Parallel arrays of `size` used entries, strongest first. */
  readonly items: Int32Array
  /** W: co-visits in either order, .8^k for k items between. */
  readonly weights: Float32Array
  /** D and F: co-visits by order, half-life 6 h and 336 h, true for `asOf` (event time, ms). */
  readonly next: Float32Array
  readonly recent: Float32Array
  readonly asOf: number
  readonly size: number
}

export interface ItemTable {
  /** The index of an item, made at first sight. */
  index(itemId: string): number
  /** As `index`, for an id that stands as the next `size` bytes of a row, which are passed over. */
  indexFrom?(r: ByteReader, size: number): number
  idOf(index: number): string
  /** Number of indices given so far. */
  readonly size: number
  catalog(index: number): CatalogEntry | undefined
  /** When the item was withdrawn (tombstone) or blocked, or expired, ms; 0: it is not. State, not the row's absence. */
  withdrawnAt(index: number): number
  /** When the item last had to leave lists: as `withdrawnAt`, or newly restricted, ms; 0: it had not to, or is back. */
  leftAt(index: number): number
  /**
   * Items whose right to be listed changed, in order of news: withdrawn, blocked, expired, newly restricted, or published
   * again. A stage keeps its own cursor into this list, and asks the table how it now stands with what is new. The list is
   * never shortened.
   */
  readonly news: readonly number[]
  /** May the item stand in a list at `now`: known (or `catalog.required` is false), not withdrawn, blocked, expired. */
  listable(index: number, now: number): boolean
  creatorName(creator: number): string
  topicName(topic: number): string

  /** All-time integer counts. */
  impressions(index: number): number
  positives(index: number): number
  /**
   * Positives per impression, smoothed by a Beta prior fitted over the catalog: (positives + a) / (impressions + a + b).
   * At most 1; an item never shown has the prior's mean.
   */
  rate(index: number): number
  /** That prior's a and b. */
  readonly betaPrior: { readonly a: number; readonly b: number }
  /** Decayed positives at half-life number h (of `halfLivesMs`), as of `now` (event time). */
  decayed(h: number, index: number, now: number): number
  readonly halfLivesMs: readonly number[]
  /** Sum over all items of the decayed positives at half-life h, as of `now`. */
  decayedSum(h: number, now: number): number
  /** Positives of all items; the most that one has; how many have any. */
  readonly counted: { readonly positives: number; readonly most: number; readonly items: number }
  /** Event time of the item's oldest and newest positive to the minute, ms; 0: none, or unknown. */
  firstPositiveAt(index: number): number
  lastPositiveAt(index: number): number
  /** The `n` items with most decayed positives at half-life h, best first; listable or not. */
  popular(h: number, n: number): readonly number[]
  /** Newest event time counted by any item task: the `now` of popularity. */
  readonly countedUntil: number

  /** Co-visitation neighbours of an item, strongest first. */
  neighbours(index: number): Neighbours | undefined

  /** What positives taught (blend/). */
  readonly blend: BlendWeights
  /** What logged impressions taught (response/). */
  readonly response?: ResponseWeights

  /** Length of learnt vectors (32) . */
  readonly dimension: number
  /** Context vectors C and output vectors Q of the learner, by index * dimension; zero where none is learnt. */
  readonly context: Float32Array
  readonly output: Float32Array
  /** Popularity bias of the learner, by index. */
  readonly bias: Float32Array
  hasVector(index: number): boolean
  /** Unit content vector of the item as the catalog gave it. */
  content(index: number): Float32Array | undefined
  /** The same vectors side by side, `contentLength` numbers each, and where an item's begins; -1: it has none. */
  readonly contents: Float32Array
  readonly contentLength: number
  contentAt(index: number): number
  /** Listable or not, the `n` items whose content is nearest to `taste` (of `contentLength`) by dot product, best first. */
  nearestContent(taste: ArrayLike<number>, n: number): readonly number[]
  /** Items whose output vector has the largest dot product with `query`, best first (HNSW, or brute force when small). */
  nearest(query: Float32Array, n: number): readonly number[]
  /** Items published most recently first, at most `n`, for exploration. */
  newest(n: number): readonly number[]
}

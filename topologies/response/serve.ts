/**
 * Adds the response model's part to the logits of a list's candidates. Hot: once a list; buckets of items and creators are
 * hashed once.
 */
import type { ItemTable } from '../items/table.ts'
import { candidateSources } from '../topk/retrieve/candidates.ts'
import type { User } from '../user/user.ts'
import { ageFeature, creatorBucket, itemBucket, shownCoordinate, sourceNumber } from './features.ts'

/** Candidates as retrieval leaves them; `count` are valid. */
interface ListedItems {
  readonly items: Int32Array
  /** Index into `candidateSources`. */
  readonly source: Uint8Array
  readonly count: number
}

const sourceNumbers = candidateSources.map(sourceNumber)

export class ResponseScores {
  private readonly items: ItemTable
  private itemBuckets = new Int32Array(0)
  private creatorBuckets = new Int32Array(0)

  constructor(items: ItemTable) {
    this.items = items
  }

  /**
   * Adds to `logits` in place, in whole thousandths. Changes nothing, and returns false, while the model is off.
   * @param now ms, as items' ages are asked.
   */
  add(user: User | null, candidates: ListedItems, now: number, logits: Float64Array): boolean {
    const { items } = this
    const weights = items.response
    if (weights === undefined || weights.strength === 0) return false
    for (let i = 0; i < candidates.count; i++) {
      const item = candidates.items[i]
      const entry = items.catalog(item)
      const shown = user === null ? -1 : shownCoordinate(user.shown.last7d(item, user.lastSeenAt))
      const adjustment = weights.adjustment(
        sourceNumbers[candidates.source[i]],
        ageFeature(entry, now),
        shown,
        entry === undefined || entry.creator < 0 ? -1 : this.creatorBucket(entry.creator),
        this.itemBucket(item),
      )
      logits[i] = Math.round((logits[i] + adjustment) * 1000) / 1000
    }
    return true
  }

  private itemBucket(item: number): number {
    if (item >= this.itemBuckets.length) this.itemBuckets = grown(this.itemBuckets, item)
    const known = this.itemBuckets[item]
    if (known >= 0) return known
    this.itemBuckets[item] = itemBucket(this.items.idOf(item))
    return this.itemBuckets[item]
  }

  private creatorBucket(creator: number): number {
    if (creator >= this.creatorBuckets.length)
      this.creatorBuckets = grown(this.creatorBuckets, creator)
    const known = this.creatorBuckets[creator]
    if (known >= 0) return known
    this.creatorBuckets[creator] = creatorBucket(this.items.creatorName(creator))
    return this.creatorBuckets[creator]
  }
}

function grown(buckets: Int32Array, upTo: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(1024, 2 * buckets.length, upTo + 1)).fill(-1)
  larger.set(buckets)
  return larger
}

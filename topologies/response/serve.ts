/**
 * Adds the response model's part to the logits of a list's candidates. Hot: once a list; buckets of items and creators are
 * hashed once.
 */
import type { ItemTable } from '../items/table.ts'
import { candidateSources } from '../topk/retrieve/candidates.ts'
import type { User } from '../user/user.ts'
import { ageFeature, creatorBucket, itemBucket, shownCoordinate, sourceNumber } from './features.ts'
import type { ResponseTerms } from './weights.ts'

/** Candidates as retrieval leaves them; `count` are valid. */
interface ListedItems {
  readonly items: Int32Array
  /** Index into `candidateSources`. */
  readonly source: Uint8Array
  readonly count: number
}

const sourceNumbers = candidateSources.map(sourceNumber)

/** What is added is strength x rate x the sum of the terms. */
interface Explained extends ResponseTerms {
  readonly strength: number
  readonly rate: number
  readonly added: number
}

export class ResponseScores {
  private readonly items: ItemTable
  private itemBuckets = new Int32Array(0)
  private creatorBuckets = new Int32Array(0)
  /** What the model sees of the candidate that is looked at. */
  private readonly at = { source: 0, age: 0.5, shown: -1, creator: -1, item: -1 }

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
    const { at } = this
    for (let i = 0; i < candidates.count; i++) {
      this.look(user, candidates.items[i], candidates.source[i], now)
      const added = weights.adjustment(at.source, at.age, at.shown, at.creator, at.item)
      logits[i] = Math.round((logits[i] + added) * 1000) / 1000
    }
    return true
  }

  /** Why a candidate gets what `add` gives it; undefined while the model is off. @param source into `candidateSources`. */
  explain(user: User | null, item: number, source: number, now: number): Explained | undefined {
    const weights = this.items.response
    if (weights === undefined || weights.strength === 0) return undefined
    this.look(user, item, source, now)
    const { at } = this
    return {
      ...weights.terms(at.source, at.age, at.shown, at.creator, at.item),
      strength: weights.strength,
      rate: weights.rate,
      added: weights.adjustment(at.source, at.age, at.shown, at.creator, at.item),
    }
  }

  private look(user: User | null, item: number, source: number, now: number): void {
    const { at } = this
    const entry = this.items.catalog(item)
    at.source = sourceNumbers[source]
    at.age = ageFeature(entry, now)
    at.shown = user === null ? -1 : shownCoordinate(user.shown.last7d(item, user.lastSeenAt))
    at.creator = entry === undefined || entry.creator < 0 ? -1 : this.creatorBucket(entry.creator)
    at.item = this.itemBucket(item)
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

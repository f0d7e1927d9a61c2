/**
 * A uniform sample by hash of the items that have a learnt vector, from the followed item table: those with the smallest
 * hashes of their ids, so that nearly the same items are looked at in every window, whatever else came.
 *
 * The hash of an id is taken once, in slices: 8 bytes an item.
 */
import type { ItemTable } from '../../items/table.ts'
import { BottomK, sampleHash } from '../bottom-k.ts'

const hashRange = 2 ** 53
/** Times the wanted number of items are looked at first: enough where a quarter of them has vectors. */
const enough = 5

export type VectorTable = Pick<ItemTable, 'size' | 'idOf' | 'hasVector' | 'output' | 'dimension'>

export class ItemSample {
  private readonly items: VectorTable
  private readonly limit: number
  private hashes = new Float64Array(1024)
  private hashed = 0

  constructor(items: VectorTable, limit: number) {
    this.items = items
    this.limit = limit
  }

  /** Takes in at most `count` items that are new in the table. False: there are more. */
  follow(count: number): boolean {
    const until = Math.min(this.items.size, this.hashed + count)
    if (until > this.hashes.length) {
      const grown = new Float64Array(Math.max(until, 2 * this.hashes.length))
      grown.set(this.hashes)
      this.hashes = grown
    }
    for (; this.hashed < until; this.hashed++)
      this.hashes[this.hashed] = sampleHash(this.items.idOf(this.hashed))
    return this.hashed === this.items.size
  }

  /** Copies of the output vectors, in order of their items' hashes. */
  vectors(): Float32Array[] {
    const { items, hashes } = this
    // the smallest hashes alone, where they suffice: of a million items a look at each would take ten times as long
    const few = this.below((hashRange * enough * this.limit) / Math.max(1, this.hashed))
    const held = few.size >= this.limit ? few : this.below(hashRange)
    const { output, dimension } = items
    return [...held.values()]
      .sort((a, b) => hashes[a] - hashes[b])
      .map(index => output.slice(index * dimension, (index + 1) * dimension))
  }

  private below(bound: number): BottomK {
    const { items, hashes, hashed } = this
    const held = new BottomK(this.limit)
    for (let index = 0; index < hashed; index++)
      if (hashes[index] < bound && items.hasVector(index)) held.offer(hashes[index], index)
    return held
  }
}

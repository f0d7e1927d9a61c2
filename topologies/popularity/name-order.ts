/**
 * The order of names as ranks, so that equal scores are told apart by integers: comparing the names themselves was most of
 * the cost of a board of many equal counts. Ranks are brought up to date in one go when they are asked for.
 */
import type { Names } from '../items/names.ts'

export class NameOrder {
  private readonly names: Names
  private sorted = new Int32Array(0)
  private ranks = new Int32Array(0)

  constructor(names: Names) {
    this.names = names
  }

  /** By index: how many names come before its own (by UTF-16 units). Valid until a name is added. */
  rankOf(): Int32Array {
    this.update()
    return this.ranks
  }

  /** By rank: the index. Valid until a name is added. */
  indexAt(): Int32Array {
    this.update()
    return this.sorted
  }

  private update(): void {
    const { names, sorted } = this
    const known = sorted.length
    if (names.size === known) return
    const fresh = Array.from({ length: names.size - known }, (_, i) => known + i)
    fresh.sort((a, b) => (names.nameOf(a) < names.nameOf(b) ? -1 : 1))
    const merged = new Int32Array(names.size)
    let from = 0
    fresh.forEach((index, before) => {
      const name = names.nameOf(index)
      let low = from
      let high = known
      while (low < high) {
        const middle = (low + high) >>> 1
        if (names.nameOf(sorted[middle]) < name) low = middle + 1
        else high = middle
      }
      merged.set(sorted.subarray(from, low), from + before)
      merged[low + before] = index
      from = low
    })
    merged.set(sorted.subarray(from), from + fresh.length)
    this.sorted = merged
    this.ranks = new Int32Array(merged.length)
    for (let rank = 0; rank < merged.length; rank++) this.ranks[merged[rank]] = rank
  }
}

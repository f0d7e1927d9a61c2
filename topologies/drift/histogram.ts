/**
 * Integer counts by bin and user-hash shard. For categories the bins are names, in order of first sight, at most
 * `maxNames`; later names share the bin `otherName`.
 *
 *  - H1 While few cells are counted they stand as pairs, else as one array: an old log, imported at once, makes hundreds of
 *       thousands of windows that hold a few rows each.
 *  - H2 The row does not tell in which order cells were counted; names keep theirs.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { shardCount } from './subjects.ts'

export const maxNames = 64
export const otherName = '~other'
/** Cells that stand as pairs: looking through them costs less than an array of 500 takes to make. */
const fewCells = 24

export class Histogram {
  /** null: numbers, with bins by edge. */
  readonly names: string[] | null
  bins: number
  /** Rows that had no value. */
  missing = 0
  /** Slot (bin * 16 + shard) and count of each cell, while there are few. */
  private pairs: number[] = []
  /** By slot, once there are many. */
  private dense: Int32Array | null = null

  constructor(bins: number, names: string[] | null) {
    this.bins = bins
    this.names = names
  }

  static numbers(bins: number): Histogram {
    return new Histogram(bins, null)
  }

  static categories(): Histogram {
    return new Histogram(0, [])
  }

  /** Does it take the room of all its cells? */
  get isDense(): boolean {
    return this.dense !== null
  }

  add(bin: number, shard: number, by: number): void {
    this.addAt(bin * shardCount + shard, by)
  }

  /** As `add`, by slot: bin * 16 + shard. */
  addAt(slot: number, by: number): void {
    if (this.dense === null) {
      const { pairs } = this
      for (let i = 0; i < pairs.length; i += 2)
        if (pairs[i] === slot) {
          pairs[i + 1] += by
          return
        }
      if (pairs.length < 2 * fewCells) {
        pairs.push(slot, by)
        return
      }
    }
    this.denseAt(slot)[slot] += by
  }

  /** The array of all cells, with room for the slot. */
  private denseAt(slot: number): Int32Array {
    let { dense } = this
    if (dense !== null && slot < dense.length) return dense
    dense = new Int32Array(this.bins * shardCount)
    if (this.dense !== null) dense.set(this.dense)
    const { pairs } = this
    for (let i = 0; i < pairs.length; i += 2) dense[pairs[i]] = pairs[i + 1]
    this.pairs = []
    this.dense = dense
    return dense
  }

  /** The bin of a category; a new one where there is room. */
  binOfName(name: string): number {
    const names = this.names as string[]
    let bin = names.indexOf(name)
    if (bin >= 0) return bin
    const full = names.length >= maxNames
    if (full) {
      bin = names.indexOf(otherName)
      if (bin >= 0) return bin
    }
    names.push(full ? otherName : name)
    this.bins = names.length
    return names.length - 1
  }

  merge(other: Histogram): void {
    this.missing += other.missing
    const to = other.names?.map(name => this.binOfName(name))
    other.forEach((bin, shard, count) => {
      this.add(to ? to[bin] : bin, shard, count)
    })
  }

  /** The cells that are not 0, in order of slots. */
  forEach(cell: (bin: number, shard: number, count: number) => void): void {
    const { dense } = this
    if (dense !== null) {
      for (let slot = 0; slot < dense.length; slot++)
        if (dense[slot] !== 0) cell(Math.floor(slot / shardCount), slot % shardCount, dense[slot])
      return
    }
    const slots = this.filledSlots()
    for (const { slot, count } of slots)
      cell(Math.floor(slot / shardCount), slot % shardCount, count)
  }

  private filledSlots(): { slot: number; count: number }[] {
    const { pairs } = this
    const slots: { slot: number; count: number }[] = []
    for (let i = 0; i < pairs.length; i += 2)
      if (pairs[i + 1] !== 0) slots.push({ slot: pairs[i], count: pairs[i + 1] })
    return slots.sort((a, b) => a.slot - b.slot)
  }

  /** Counts by bin. */
  totals(): number[] {
    const totals = new Array<number>(this.bins).fill(0)
    this.forEach((bin, _shard, count) => {
      totals[bin] += count
    })
    return totals
  }

  get n(): number {
    let sum = 0
    this.forEach((_bin, _shard, count) => {
      sum += count
    })
    return sum
  }

  /** Counts by shard and group, where `groupOf` puts each bin into one of `groups` groups; it is asked in order of bins. */
  fold(groups: number, groupOf: (bin: number) => number): Float64Array[] {
    const shards = Array.from({ length: shardCount }, () => new Float64Array(groups))
    const groupsOf = Array.from({ length: this.bins }, (_, bin) => groupOf(bin))
    this.forEach((bin, shard, count) => {
      shards[shard][groupsOf[bin]] += count
    })
    return shards
  }

  /** missing, names + 1 (0: numbers), names, bins, cells, then (slot less the one before, count) each. */
  write(w: ByteWriter): void {
    w.uint(this.missing).uint(this.names ? this.names.length + 1 : 0)
    for (const name of this.names ?? []) w.string(name)
    w.uint(this.bins)
    let cells = 0
    this.forEach(() => {
      cells++
    })
    w.uint(cells)
    let before = 0
    this.forEach((bin, shard, count) => {
      const slot = bin * shardCount + shard
      w.uint(slot - before).int(count)
      before = slot
    })
  }

  static read(r: ByteReader): Histogram {
    const missing = r.uint()
    const named = r.uint()
    const names = named === 0 ? null : Array.from({ length: named - 1 }, () => r.string())
    const histogram = new Histogram(r.uint(), names)
    histogram.missing = missing
    let slot = 0
    for (let left = r.uint(); left > 0; left--) {
      slot += r.uint()
      histogram.addAt(slot, r.int())
    }
    return histogram
  }
}

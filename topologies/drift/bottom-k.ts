/**
 * A uniform sample that merges exactly: of all rows offered, those with the `limit` smallest hashes (bottom-k sampling,
 * Cohen & Kaplan 2007). A hash stands for a row's identity, so which rows are held does not depend on their order, on how
 * they were split over tasks, or on what they hold.
 *
 *  - B1 Held are the `limit` smallest hashes of all that were offered: a merge of samples is the sample of the union.
 *  - B2 A row that is offered again has its newest numbers. Rows of two sides with one hash: those of the side merged in.
 *  - B3 What is written does not tell the order in which rows came.
 *
 * Hot while a window is not full; afterwards a row costs one comparison, but for those that are held.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53 } from '../../streams/serde/hash.ts'

/** Numbers that a row carries. */
export type Columns = 1 | 2

const seed = 0x5a3b1e
const least = 16

/** The hash of a row's identity (an event's or a play's id): uniform, and not the one that users' shards are told by. */
export function sampleHash(identity: string): number {
  return hash53(identity, seed)
}

export class BottomK {
  readonly limit: number
  readonly columns: Columns
  private readonly slots = new Map<number, number>()
  /** Hashes held, as a heap with the largest first. */
  private readonly heap: number[] = []
  /** By slot: the numbers of a row side by side. */
  private numbers: Float64Array

  constructor(limit: number, columns: Columns = 1) {
    this.limit = limit
    this.columns = columns
    this.numbers = new Float64Array(Math.min(limit, least) * columns)
  }

  get size(): number {
    return this.heap.length
  }

  /** Takes in a row with the numbers `a` and, where there are two, `b`. False: it is not among the smallest. */
  offer(hash: number, a: number, b = 0): boolean {
    const { heap } = this
    // above the largest it is not held either: nearly every row of a full sample ends here
    if (heap.length >= this.limit && hash > heap[0]) return false
    const known = this.slots.get(hash)
    if (known !== undefined) {
      this.put(known, a, b)
      return true
    }
    if (heap.length < this.limit) {
      const slot = heap.length
      this.slots.set(hash, slot)
      this.put(slot, a, b)
      heap.push(hash)
      this.rise(slot)
      return true
    }
    const largest = heap[0]
    if (!(hash < largest)) return false
    const slot = this.slots.get(largest) as number
    this.slots.delete(largest)
    this.slots.set(hash, slot)
    this.put(slot, a, b)
    heap[0] = hash
    this.sink()
    return true
  }

  merge(other: BottomK): void {
    other.forEach((hash, a, b) => {
      this.offer(hash, a, b)
    })
  }

  /** The rows held, in no order that means anything. */
  forEach(row: (hash: number, a: number, b: number) => void): void {
    const { columns, numbers } = this
    for (const [hash, slot] of this.slots)
      row(hash, numbers[slot * columns], columns === 2 ? numbers[slot * columns + 1] : 0)
  }

  /** A column of the rows held, by hash: the same wherever they came from. */
  values(column: 0 | 1 = 0): Float64Array {
    const { columns, numbers } = this
    return Float64Array.from(
      this.sortedHashes(),
      hash => numbers[(this.slots.get(hash) as number) * columns + column],
    )
  }

  /** columns, rows, then (hash less the one before, numbers) each. */
  write(w: ByteWriter): void {
    w.u8(this.columns).uint(this.size)
    let before = 0
    for (const hash of this.sortedHashes()) {
      w.uint(hash - before)
      before = hash
      const at = (this.slots.get(hash) as number) * this.columns
      for (let column = 0; column < this.columns; column++) w.f64(this.numbers[at + column])
    }
  }

  static read(r: ByteReader, limit: number): BottomK {
    const columns = r.u8() as Columns
    const sample = new BottomK(limit, columns)
    let hash = 0
    for (let left = r.uint(); left > 0; left--) {
      hash += r.uint()
      const a = r.f64()
      sample.offer(hash, a, columns === 2 ? r.f64() : 0)
    }
    return sample
  }

  private sortedHashes(): number[] {
    return [...this.heap].sort((a, b) => a - b)
  }

  private put(slot: number, a: number, b: number): void {
    const { columns } = this
    const at = slot * columns
    if (at >= this.numbers.length) {
      const larger = new Float64Array(Math.min(this.limit * columns, this.numbers.length * 2))
      larger.set(this.numbers)
      this.numbers = larger
    }
    this.numbers[at] = a
    if (columns === 2) this.numbers[at + 1] = b
  }

  private rise(from: number): void {
    const { heap } = this
    const hash = heap[from]
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent] >= hash) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = hash
  }

  private sink(): void {
    const { heap } = this
    const hash = heap[0]
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1] > heap[child]) child++
      if (heap[child] <= hash) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = hash
  }
}

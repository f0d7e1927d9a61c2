/** The neighbours of every item as they were published last, in arrays that are used again. */

import type { ByteReader } from '../../streams/serde/bytes.ts'
import {
  type NeighboursHead,
  type NeighbourWeights,
  readNeighboursHead,
  readWeights,
  weightUnit,
} from '../covisit/rows.ts'
import type { Neighbours } from './table.ts'

interface Row extends Neighbours {
  items: Int32Array
  weights: Float32Array
  next: Float32Array
  recent: Float32Array
  asOf: number
  size: number
}

export class NeighbourRows {
  /** By item index. */
  private readonly rows: (Row | undefined)[] = []
  private readonly indexFrom: (r: ByteReader, size: number) => number
  private readonly head: NeighboursHead = { layout: 0, writtenAt: 0, asOf: 0 }
  private readonly read: NeighbourWeights = { weight: 0, next: 0, recent: 0 }

  /** `indexFrom` takes an id of so many bytes off the reader. */
  constructor(indexFrom: (r: ByteReader, size: number) => number) {
    this.indexFrom = indexFrom
  }

  get(index: number): Neighbours | undefined {
    return this.rows[index]
  }

  apply(index: number, value: ByteReader | null): void {
    if (value === null) {
      this.rows[index] = undefined
      return
    }
    const { head, read } = this
    readNeighboursHead(value, head)
    const row = this.rows[index] ?? emptyRow()
    this.rows[index] = row
    row.asOf = head.asOf * 60_000
    row.size = 0
    while (value.left > 0) {
      if (row.size === row.items.length) widen(row)
      row.items[row.size] = this.indexFrom(value, value.uint())
      readWeights(value, head, read)
      row.weights[row.size] = read.weight / weightUnit
      row.next[row.size] = read.next
      row.recent[row.size++] = read.recent
    }
  }
}

const emptyRow = (): Row => ({
  items: new Int32Array(16),
  weights: new Float32Array(16),
  next: new Float32Array(16),
  recent: new Float32Array(16),
  asOf: 0,
  size: 0,
})

function widen(row: Row): void {
  const size = row.items.length * 2
  row.items = copyInto(new Int32Array(size), row.items)
  row.weights = copyInto(new Float32Array(size), row.weights)
  row.next = copyInto(new Float32Array(size), row.next)
  row.recent = copyInto(new Float32Array(size), row.recent)
}

function copyInto<T extends { set(from: T): void }>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

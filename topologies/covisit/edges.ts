/**
 * Co-visits of a user task between two commits: whole-number weights of unordered pairs of items, and the packets made of
 * them, in which each pair stands twice: for the owner of either item.
 *
 * Hot: `add` is called up to 22 times a positive. Open addressing over typed arrays that are used again.
 *
 * Packet: layout u8, then sections {board u8, number of rows, rows}. A row: item, number of edges, {item, weight}. An item
 * is its number in order of first sight from 1, or 0 and its id the first time. Board 0 is W; further boards (directed,
 * decayed) take further numbers, and a receiver that does not know one stops.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'

const layout = 1
const BOARD_W = 0

export class PairWeights {
  private count = 0
  private low = new Int32Array(4096)
  private high = new Int32Array(4096)
  private weight = new Float64Array(4096)
  /** Number of the pair + 1; twice as many slots as pairs at least. */
  private slots = new Int32Array(8192)
  /** By item, while draining: its number of edges, then where its edges begin. */
  private degree = new Int32Array(1024)
  /** By item, while writing a packet: its number there. */
  private reference = new Int32Array(1024)

  get pairs(): number {
    return this.count
  }

  add(a: number, b: number, weight: number): void {
    const low = Math.min(a, b)
    const high = Math.max(a, b)
    const mask = this.slots.length - 1
    let slot = hash(low, high) & mask
    for (;;) {
      const pair = this.slots[slot] - 1
      if (pair < 0) break
      if (this.low[pair] === low && this.high[pair] === high) {
        this.weight[pair] += weight
        return
      }
      slot = (slot + 1) & mask
    }
    const pair = this.count++
    this.slots[slot] = this.count
    this.low[pair] = low
    this.high[pair] = high
    this.weight[pair] = weight
    if (this.count === this.low.length) this.grow()
  }

  /** Writes one payload a partition and empties the pairs. See CellCounts.drain. */
  drain(
    partitionOf: (item: number) => number,
    idOf: (item: number) => string,
    to: (partition: number) => ByteWriter,
  ): void {
    const { low, high, weight, count } = this
    let highest = 0
    for (let pair = 0; pair < count; pair++) if (high[pair] > highest) highest = high[pair]
    if (highest >= this.degree.length) {
      this.degree = new Int32Array(highest * 2)
      this.reference = new Int32Array(highest * 2)
    }
    const { degree } = this
    const touched: number[] = []
    for (let pair = 0; pair < count; pair++) {
      if (degree[low[pair]]++ === 0) touched.push(low[pair])
      if (degree[high[pair]]++ === 0) touched.push(high[pair])
    }
    // edges laid out by row: `degree` becomes where the next edge of a row goes
    const byPartition = new Map<number, Rows>()
    const starts = new Int32Array(touched.length + 1)
    for (let i = 0; i < touched.length; i++) {
      const item = touched[i]
      starts[i + 1] = starts[i] + degree[item]
      degree[item] = starts[i]
      const partition = partitionOf(item)
      const rows = byPartition.get(partition)
      if (rows) rows.push(i)
      else byPartition.set(partition, [i])
    }
    const column = new Int32Array(count * 2)
    const value = new Float64Array(count * 2)
    for (let pair = 0; pair < count; pair++) {
      const forth = degree[low[pair]]++
      column[forth] = high[pair]
      value[forth] = weight[pair]
      const back = degree[high[pair]]++
      column[back] = low[pair]
      value[back] = weight[pair]
    }
    const edges = { touched, starts, column, value }
    for (const [partition, rows] of byPartition) this.write(rows, edges, idOf, to(partition))
    for (const item of touched) degree[item] = 0
    this.count = 0
    this.slots.fill(0)
  }

  private write(rows: Rows, edges: Edges, idOf: (item: number) => string, w: ByteWriter): void {
    const { reference } = this
    const { touched, starts, column, value } = edges
    const used: number[] = []
    const item = (index: number): void => {
      const known = reference[index]
      if (known !== 0) {
        w.uint(known)
        return
      }
      used.push(index)
      reference[index] = used.length
      w.uint(0).string(idOf(index))
    }
    w.u8(layout).u8(BOARD_W).uint(rows.length)
    for (const row of rows) {
      item(touched[row])
      w.uint(starts[row + 1] - starts[row])
      for (let edge = starts[row]; edge < starts[row + 1]; edge++) {
        item(column[edge])
        w.uint(value[edge])
      }
    }
    for (const index of used) reference[index] = 0
  }

  private grow(): void {
    const { low, high, weight, count } = this
    this.low = new Int32Array(count * 2)
    this.high = new Int32Array(count * 2)
    this.weight = new Float64Array(count * 2)
    this.low.set(low)
    this.high.set(high)
    this.weight.set(weight)
    this.slots = new Int32Array(count * 4)
    const mask = this.slots.length - 1
    for (let pair = 0; pair < count; pair++) {
      let slot = hash(low[pair], high[pair]) & mask
      while (this.slots[slot] !== 0) slot = (slot + 1) & mask
      this.slots[slot] = pair + 1
    }
  }
}

type Rows = number[]

interface Edges {
  readonly touched: readonly number[]
  readonly starts: Int32Array
  readonly column: Int32Array
  readonly value: Float64Array
}

function hash(low: number, high: number): number {
  const h = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)
  return h ^ (h >>> 15)
}

/**
 * Reads a payload: `indexFrom` takes an id of `size` bytes off the reader and gives its index (once an id), `row` is called before the edges of each row.
 * Errors: CHANGELOG_NEWER for another layout or board; RangeError for a payload that is cut.
 */
export function readEdges(
  r: ByteReader,
  indexFrom: (r: ByteReader, size: number) => number,
  take: { row(item: number): void; edge(item: number, weight: number): void },
): void {
  const found = r.u8()
  if (found !== layout) throw newer(`layout ${found}`)
  const known: number[] = []
  const item = (): number => {
    const reference = r.uint()
    if (reference !== 0) return known[reference - 1]
    const index = indexFrom(r, r.uint())
    known.push(index)
    return index
  }
  while (r.left > 0) {
    const board = r.u8()
    if (board !== BOARD_W) throw newer(`board ${board}`)
    for (let rows = r.uint(); rows > 0; rows--) {
      take.row(item())
      for (let edges = r.uint(); edges > 0; edges--) {
        const column = item()
        take.edge(column, r.uint())
      }
    }
  }
}

function newer(what: string): FreshetError {
  return new FreshetError(
    'CHANGELOG_NEWER',
    `a packet of co-visits has ${what}, which this version does not know: run the version that wrote it or newer`,
  )
}

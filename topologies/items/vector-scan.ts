/**
 * A set of vectors that stand side by side, so that all can be looked at for the best by dot product: exact up to the
 * rounding of float32. Adding, moving and removing one costs a copy of it.
 *
 * Hot: the loop is SIMD (scan-kernel.ts); 20,000 vectors of 32 in 80 us, where the plain loop takes 500. Measured by
 * nearest.bench.ts.
 */
import type { BestOf } from './best-of.ts'
import { foundBytes, type Scan, scanOf } from './scan-kernel.ts'

const pageBytes = 65_536
/** Vectors a call: after each the weakest of the best so far is known better. */
const block = 256
const firstBlock = 64
/** The query stands at 0, what a call finds behind it, the vectors from here on. */
const rowsAt = 2 * pageBytes
const foundAt = pageBytes

export class VectorScan {
  private readonly dimension: number
  private readonly rowBytes: number
  private readonly memory: WebAssembly.Memory
  private readonly scan: Scan
  private floats: Float32Array
  private integers: Int32Array
  /** By place: whose vector stands there. */
  private indices = new Int32Array(64)
  /** By index: its place + 1; 0: it has none. */
  private places = new Int32Array(64)
  private count = 0

  /** @param dimension a multiple of 4. */
  constructor(dimension: number) {
    this.dimension = dimension
    this.rowBytes = dimension * 4
    this.memory = new WebAssembly.Memory({ initial: rowsAt / pageBytes + 1 })
    this.floats = new Float32Array(this.memory.buffer)
    this.integers = new Int32Array(this.memory.buffer)
    this.scan = scanOf(dimension, this.memory)
  }

  get size(): number {
    return this.count
  }

  /** Adds or replaces the vector of `index`, which stands at index * dimension in `vectors`. */
  set(index: number, vectors: Float32Array): void {
    const { dimension } = this
    if (index >= this.places.length) this.places = widened(this.places, index + 1)
    if (this.places[index] === 0) {
      this.reserve(this.count + 1)
      this.indices[this.count] = index
      this.places[index] = ++this.count
    }
    const to = this.at(this.places[index] - 1)
    for (let d = 0, from = index * dimension; d < dimension; d++)
      this.floats[to + d] = vectors[from + d]
  }

  remove(index: number): void {
    const place = (this.places[index] ?? 0) - 1
    if (place < 0) return
    const last = --this.count
    this.places[this.indices[last]] = place + 1
    this.indices[place] = this.indices[last]
    this.floats.copyWithin(this.at(place), this.at(last), this.at(last) + this.dimension)
    this.places[index] = 0
  }

  clear(): void {
    for (let place = 0; place < this.count; place++) this.places[this.indices[place]] = 0
    this.count = 0
  }

  /** Offers every index with the dot product of its vector and `query`, but for those that are too weak anyway. */
  offer(query: Float32Array, best: BestOf): void {
    const { rowBytes, indices, floats, integers } = this
    floats.set(query)
    const end = rowsAt + this.count * rowBytes
    let rows = firstBlock
    for (let row = rowsAt; row < end; rows = block) {
      const until = Math.min(end, row + rows * rowBytes)
      const found = this.scan(row, until, best.least, foundAt) / 4
      for (let at = foundAt / 4; at < found; at += foundBytes / 4)
        best.offer(indices[(integers[at] - rowsAt) / rowBytes], floats[at + 1])
      row = until
    }
  }

  /** Where a place's vector begins in `floats`. */
  private at(place: number): number {
    return rowsAt / 4 + place * this.dimension
  }

  private reserve(size: number): void {
    if (size > this.indices.length) this.indices = widened(this.indices, size)
    const missing = rowsAt + size * this.rowBytes - this.memory.buffer.byteLength
    if (missing <= 0) return
    const doubled = this.memory.buffer.byteLength / pageBytes
    this.memory.grow(Math.max(doubled, Math.ceil(missing / pageBytes)))
    this.floats = new Float32Array(this.memory.buffer)
    this.integers = new Int32Array(this.memory.buffer)
  }
}

function widened(array: Int32Array, size: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(size, array.length * 2))
  larger.set(array)
  return larger
}

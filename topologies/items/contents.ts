/**
 * Content vectors of the catalog, and which items' are nearest to one. Those of the commonest length count, whatever came
 * first (of equally common ones the longest); others are kept aside until theirs is.
 *
 * They stand side by side by number, in order of first sight, each padded with zeros to a multiple of four: what looks at
 * all of them (vector-scan.ts) reads four at a time.
 */
import { vectorDimension } from '../learner/rows.ts'
import { type GraphFactory, Nearest, type NearestOptions } from './nearest.ts'

export class Contents {
  /** Vector number k stands at k * `stride`. */
  vectors = new Float32Array(0)
  /** Of each vector that counts; 0: none was seen. */
  length = 0
  private stride = 0
  private readonly options: NearestOptions
  private readonly graphs: GraphFactory | undefined
  private nearestOf: Nearest | undefined
  /** By item: its vector's number + 1; 0: it never had one; negative: it has none any more. */
  private numbers = new Int32Array(0)
  /** By number: whose it is. */
  private readonly items: number[] = []
  private readonly unnamed = new Set<number>()
  private readonly odd = new Map<number, Float32Array>()
  /** How many items have a vector of each length. */
  private readonly lengths = new Map<number, number>()
  private query = new Float32Array(0)

  constructor(options: NearestOptions, graphs: GraphFactory | undefined) {
    this.options = options
    this.graphs = graphs
  }

  get(item: number): Float32Array | undefined {
    const at = this.at(item)
    return at < 0 ? undefined : this.vectors.subarray(at, at + this.length)
  }

  /** Where the item's vector begins in `vectors`; -1: it has none. */
  at(item: number): number {
    return item < this.numbers.length && this.numbers[item] > 0
      ? (this.numbers[item] - 1) * this.stride
      : -1
  }

  /** @param vector a unit vector; null: the item has none (any more). @param isNamed may `nearest` name it? */
  set(item: number, vector: Float32Array | null, isNamed = true): void {
    if (isNamed || vector === null) this.unnamed.delete(item)
    else this.unnamed.add(item)
    const before = this.get(item) ?? this.odd.get(item)
    if (before) this.count(before.length, -1)
    this.odd.delete(item)
    const number = item < this.numbers.length ? this.numbers[item] : 0
    if (number > 0) {
      this.numbers[item] = -number
      if (!isNamed || vector === null || vector.length !== this.length)
        this.nearestOf?.removed(number - 1)
    }
    if (vector) {
      this.count(vector.length, 1)
      this.place(item, vector)
    }
    let usual = this.length
    for (const [length, items] of this.lengths) {
      const most = this.lengths.get(usual) ?? 0
      if (items > most || (items === most && length > usual)) usual = length
    }
    if (usual !== this.length) this.layAgain(usual)
  }

  /** Items whose vectors have the largest dot product with `taste`, which has `length` numbers; best first, at most `n`. */
  nearest(taste: ArrayLike<number>, n: number): number[] {
    if (this.nearestOf === undefined) return []
    this.query.set(taste)
    return this.nearestOf.search(this.query, n, this.vectors).map(number => this.items[number])
  }

  /** A slice of building the graph, where one is due: after each batch of rows. */
  work(): void {
    this.nearestOf?.work(this.vectors)
  }

  private count(length: number, by: number): void {
    this.lengths.set(length, (this.lengths.get(length) ?? 0) + by)
  }

  private place(item: number, vector: Float32Array): void {
    if (vector.length !== this.length) {
      this.odd.set(item, vector)
      return
    }
    if (item >= this.numbers.length) {
      const larger = new Int32Array(Math.max(1024, item + 1, 2 * this.numbers.length))
      larger.set(this.numbers)
      this.numbers = larger
    }
    const number = Math.abs(this.numbers[item]) || this.items.push(item)
    this.numbers[item] = number
    const at = this.at(item)
    if (at === this.vectors.length) {
      const larger = new Float32Array(Math.max(64 * this.stride, 2 * this.vectors.length))
      larger.set(this.vectors)
      this.vectors = larger
    }
    this.vectors.set(vector, at)
    if (!this.unnamed.has(item)) this.nearestOf?.moved(number - 1, this.vectors)
  }

  private layAgain(length: number): void {
    const all = [...this.odd]
    for (const item of this.items) {
      const vector = this.get(item)
      if (vector) all.push([item, vector])
    }
    this.odd.clear()
    this.numbers.fill(0)
    this.items.length = 0
    this.length = length
    this.stride = Math.ceil(length / 4) * 4
    this.vectors = new Float32Array(0)
    this.query = new Float32Array(this.stride)
    // looking at all costs by the number
    const { bruteForceBelow, moved } = this.options
    const below = Math.round((bruteForceBelow * vectorDimension) / this.stride)
    this.nearestOf = new Nearest(this.stride, { bruteForceBelow: below, moved }, this.graphs)
    for (const [item, vector] of all) this.place(item, vector)
  }
}

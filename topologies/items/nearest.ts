/**
 * The items whose vectors have the largest dot product with a query. Up to `bruteForceBelow` vectors all are looked at;
 * above, an HNSW graph is searched, and beside it the vectors that moved away from where the graph has them. Points of
 * the graph are never updated in place (slow, and it wears the graph out): when too many moved, a new graph is built in
 * small slices, in the calls that come anyway, and swapped in.
 *
 * Hot: measured by nearest.bench.ts.
 */
import { BestOf } from './best-of.ts'
import { dot } from './dot.ts'
import { VectorScan } from './vector-scan.ts'

/** What is needed of an HNSW graph with inner products. */
export interface Graph {
  add(vector: number[], label: number): void
  search(query: number[], n: number): number[]
}

/** `capacity`: labels up to this many points. */
export type GraphFactory = (dimension: number, capacity: number) => Graph

export interface NearestOptions {
  readonly bruteForceBelow: number
  /** Share of its length that a vector may move before the graph no longer speaks for it. */
  readonly moved: number
}

/** So many vectors may stand beside the graph, at least; or this share of it, if that is more. */
const FRESH_MIN = 512
const FRESH_SHARE = 0.05
const POINTS_A_SEARCH = 2
const POINTS_A_BATCH = 64

const absent = 0
const member = 1
const left = 2

interface Built {
  readonly graph: Graph
  readonly capacity: number
  /** Where the graph has each index; its flag is 1 where it has it. */
  readonly at: Float32Array
  readonly has: Uint8Array
}

export class Nearest {
  private readonly dimension: number
  private readonly options: NearestOptions
  private readonly graphs: GraphFactory | undefined
  /** Indices that have a vector, in order of arrival, each once; among them those that left since a build began. */
  private members: number[] = []
  /** By index: `absent`, `member`, or `left`: no member, but it stands in `members` still. */
  private standing = new Uint8Array(1024)
  private live = 0
  /** Points in the graph. */
  private points = 0
  private built: Built | undefined
  /** All that is looked at: every member while there is no graph, then those it does not speak for. */
  private readonly looked: VectorScan
  /** By index: 1 where the graph does not speak for it. */
  private isFresh = new Uint8Array(1024)
  private building: { to: Built; next: number } | undefined
  private readonly best = new BestOf()

  constructor(dimension: number, options: NearestOptions, graphs: GraphFactory | undefined) {
    this.dimension = dimension
    this.options = options
    this.looked = new VectorScan(dimension)
    this.graphs = graphs
  }

  get size(): number {
    return this.live
  }

  /** How many vectors the graph answers for; 0 while all are looked at. */
  get indexed(): number {
    return this.built ? this.live - this.looked.size : 0
  }

  /** Points of the graph that no longer stand for a member: it moved, or left. */
  private get stale(): number {
    return this.points - this.indexed
  }

  /** The vector of `index` (at index * dimension in `vectors`) is new or has changed. */
  moved(index: number, vectors: Float32Array): void {
    if (index >= this.standing.length) {
      this.standing = grown(this.standing, index + 1)
      this.isFresh = grown(this.isFresh, index + 1)
    }
    if (this.standing[index] !== member) {
      if (this.standing[index] === absent) this.members.push(index)
      this.standing[index] = member
      this.live++
      this.isFresh[index] = 0
    }
    if (this.built) this.checkFresh(index, vectors)
    else this.looked.set(index, vectors)
  }

  /**
   * The vector of `index` is forgotten. Costs no look at other members, since thousands of items expire at once; and a build
   * goes on, or a catalog that loses items all day would never get its new graph.
   */
  removed(index: number): void {
    if (this.standing[index] !== member) return
    this.standing[index] = left
    this.live--
    this.looked.remove(index)
    // marked fresh without being looked at: what the graph still finds is passed over
    this.isFresh[index] = 1
  }

  /** A slice of building where a graph is due. Called after each batch of rows. */
  work(vectors: Float32Array, points = POINTS_A_BATCH): void {
    const { graphs } = this
    if (!graphs || this.live <= this.options.bruteForceBelow) return
    if (!this.building) {
      const limit = Math.max(FRESH_MIN, this.live * FRESH_SHARE)
      if (this.built && Math.max(this.looked.size, this.stale) <= limit) return
      this.dropLeft()
      const capacity = this.live * 2
      this.building = {
        to: {
          graph: graphs(this.dimension, capacity),
          capacity,
          at: new Float32Array(this.standing.length * this.dimension),
          has: new Uint8Array(this.standing.length),
        },
        next: 0,
      }
    }
    const { members, standing } = this
    const { to } = this.building
    const until = Math.min(members.length, to.capacity, this.building.next + points)
    for (; this.building.next < until; this.building.next++) {
      const index = members[this.building.next]
      // indices that came after the build began stay beside the graph
      if (index >= to.has.length || standing[index] !== member) continue
      const at = index * this.dimension
      const vector = vectors.subarray(at, at + this.dimension)
      to.graph.add(Array.from(vector), index)
      to.at.set(vector, at)
      to.has[index] = 1
    }
    if (this.building.next >= Math.min(members.length, to.capacity)) this.swap(to, vectors)
  }

  /** Not while a graph is built: `next` counts places of `members`. */
  private dropLeft(): void {
    if (this.live === this.members.length) return
    const { standing } = this
    this.members = this.members.filter(index => {
      if (standing[index] === member) return true
      standing[index] = absent
      return false
    })
  }

  private swap(to: Built, vectors: Float32Array): void {
    this.built = to
    this.building = undefined
    this.looked.clear()
    this.isFresh.fill(0)
    // what was removed while the graph was built is in it: passed over
    this.points = 0
    for (let index = 0; index < to.has.length; index++) {
      this.points += to.has[index]
      if (to.has[index] === 1 && this.standing[index] !== member) this.isFresh[index] = 1
    }
    for (const index of this.members)
      if (this.standing[index] === member) this.checkFresh(index, vectors)
  }

  private checkFresh(index: number, vectors: Float32Array): void {
    const { built, dimension } = this
    if (!built) return
    if (this.isFresh[index] === 0 && index < built.has.length && built.has[index] === 1) {
      let distance = 0
      let length = 0
      for (let d = 0, at = index * dimension; d < dimension; d++, at++) {
        const gap = vectors[at] - built.at[at]
        distance += gap * gap
        length += built.at[at] * built.at[at]
      }
      if (distance <= this.options.moved * this.options.moved * length) return
    }
    this.isFresh[index] = 1
    this.looked.set(index, vectors)
  }

  /** Indices by dot product of their vectors with `query`, best first, at most `n`. */
  search(query: Float32Array, n: number, vectors: Float32Array): number[] {
    if (this.building) this.work(vectors, POINTS_A_SEARCH)
    const { best, looked, dimension } = this
    best.reset(n)
    looked.offer(query, best)
    if (this.built) {
      // what moved is scored beside the graph, and what left is no answer: ask for as many more as may fall out
      const found = this.built.graph.search(
        Array.from(query),
        Math.min(this.points, n + Math.min(n, this.stale)),
      )
      for (const index of found)
        if (this.isFresh[index] === 0)
          best.offer(index, dot(query, 0, vectors, index * dimension, dimension))
    }
    return best.take()
  }
}

function grown(flags: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(size, flags.length * 2))
  larger.set(flags)
  return larger
}

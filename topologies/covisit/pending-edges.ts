/**
 * Edges that wait to be added to boards, brought together by row: a row of neighbours is then fetched into the processor's
 * cache once a commit rather than once an edge, and searched once.
 *
 * Hot: `add` is called some 46 times a positive; a counting sort over typed arrays that are used again.
 */
/** Edges of one row or of several: parallel arrays. */
export interface Edges {
  readonly columns: Int32Array
  /** W. */
  readonly weights: Int32Array
  /** D and F, in the units of the board that they are added to. */
  readonly next: Float64Array
  readonly recent: Float64Array
}

interface Columns extends Edges {
  columns: Int32Array
  weights: Int32Array
  next: Float64Array
  recent: Float64Array
}

const columnsOf = (size: number): Columns => ({
  columns: new Int32Array(size),
  weights: new Int32Array(size),
  next: new Float64Array(size),
  recent: new Float64Array(size),
})

export class PendingEdges {
  private count = 0
  private rows = new Int32Array(4096)
  private readonly arrived = columnsOf(4096)
  private sorted = columnsOf(4096)
  /** By row: its number of edges; while sorting, where its next one goes. */
  private degree = new Int32Array(1024)
  private touched: number[] = []

  get size(): number {
    return this.count
  }

  /** `weight` is a whole number below 2^31. */
  add(row: number, column: number, weight: number, next: number, recent: number): void {
    if (row >= this.degree.length) this.degree = copyInto(new Int32Array(row * 2), this.degree)
    const at = this.count++
    if (at === this.rows.length) this.grow()
    this.rows[at] = row
    const { columns, weights, next: nexts, recent: recents } = this.arrived
    columns[at] = column
    weights[at] = weight
    nexts[at] = next
    recents[at] = recent
    if (this.degree[row]++ === 0) this.touched.push(row)
  }

  /** Gives each row with edges, in order of first sight, its edges in order of arrival at from..to; then starts anew. */
  take(each: (row: number, edges: Edges, from: number, to: number) => void): void {
    const { rows, arrived, sorted, degree, touched, count } = this
    let start = 0
    for (let i = 0; i < touched.length; i++) {
      const edges = degree[touched[i]]
      degree[touched[i]] = start
      start += edges
    }
    for (let at = 0; at < count; at++) {
      const to = degree[rows[at]]++
      sorted.columns[to] = arrived.columns[at]
      sorted.weights[to] = arrived.weights[at]
      sorted.next[to] = arrived.next[at]
      sorted.recent[to] = arrived.recent[at]
    }
    let from = 0
    for (let i = 0; i < touched.length; i++) {
      const to = degree[touched[i]]
      each(touched[i], sorted, from, to)
      degree[touched[i]] = 0
      from = to
    }
    this.touched = []
    this.count = 0
  }

  private grow(): void {
    const size = this.rows.length * 2
    this.rows = copyInto(new Int32Array(size), this.rows)
    const { arrived } = this
    arrived.columns = copyInto(new Int32Array(size), arrived.columns)
    arrived.weights = copyInto(new Int32Array(size), arrived.weights)
    arrived.next = copyInto(new Float64Array(size), arrived.next)
    arrived.recent = copyInto(new Float64Array(size), arrived.recent)
    this.sorted = columnsOf(size)
  }
}

function copyInto<T extends { set(from: T): void }>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

/**
 * The candidates of one list: distinct item indices, each with the source that named it first.
 *
 * Hot: a board over all items says in one look whether an item is in or was refused; a new list costs no clearing, since
 * each has its own stamp. Reused for every list.
 */

/** The symbols of `freshet.CandidateSource`. */
export const candidateSources = [
  'popularity',
  'covisit',
  'knn',
  'embedding',
  'content',
  'explore',
  'other',
] as const
export type CandidateSource = (typeof candidateSources)[number]

/** Says whether an item may stand in the list at all: asked once an item. */
export interface Admission {
  admits(item: number): boolean
}

export class Candidates {
  readonly capacity: number
  /** Item indices; `count` are valid. */
  readonly items: Int32Array
  /** Index into `candidateSources`. */
  readonly source: Uint8Array
  count = 0
  /** Stamp of the list in which an item was last looked at; positive: taken, negative: refused. */
  private board = new Int32Array(1024)
  private stamp = 0
  private admission: Admission = { admits: () => false }

  constructor(capacity: number) {
    this.capacity = capacity
    this.items = new Int32Array(capacity)
    this.source = new Uint8Array(capacity)
  }

  /** Starts a list over a table of `tableSize` items. */
  begin(tableSize: number, admission: Admission): void {
    if (tableSize > this.board.length)
      this.board = new Int32Array(Math.max(tableSize, this.board.length * 2))
    if (this.stamp >= 0x7ffffffe) {
      this.board.fill(0)
      this.stamp = 0
    }
    this.stamp++
    this.count = 0
    this.admission = admission
  }

  /** Takes an item in, unless it is there, not admitted, or there is no room. True where the item is new. */
  add(item: number, source: CandidateSource): boolean {
    const seen = this.board[item]
    if (seen === this.stamp || seen === -this.stamp || this.count === this.capacity) return false
    if (!this.admission.admits(item)) {
      this.board[item] = -this.stamp
      return false
    }
    this.board[item] = this.stamp
    this.items[this.count] = item
    this.source[this.count++] = candidateSources.indexOf(source)
    return true
  }

  has(item: number): boolean {
    return this.board[item] === this.stamp
  }
}

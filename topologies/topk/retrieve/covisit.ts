/**
 * What was watched with the user's last positives, a_k the k-th most recent:
 *   S = sum of .8^k W[a_k][j]      D = sum of .7^k D[a_k][j]      F = sum of .7^k F[a_k][j]
 *   L = sum of .97^k W[a_k][j] / (positives of a_k + 5)
 * S / sqrt(positives of j + 5) and L likewise are scorers too. W, D, F: covisit/rows.ts.
 *
 * Hot: scores stand side by side in the order that items were met, 1,500 a list, which a core's cache holds; the only array
 * over all items says where. It needs no clearing: a place counts where the item that stands there is the one asked for.
 * Scores stay readable until the next list, so that candidates of other sources are scored as well.
 */
import { BestOf } from '../../items/best-of.ts'
import type { ItemTable } from '../../items/table.ts'
import { leastSum, shareDelta } from '../share.ts'
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

/** .8^24 < .005: older positives weigh nothing. */
export const covisitWindow = 24

const decay = 0.8
const directedDecay = 0.7
const longDecay = 0.97
/** Keeps what few have watched from looking sure. */
const damping = 5
const nextHalfLifeMs = 6 * 3_600_000
const recentHalfLifeMs = 336 * 3_600_000

/** Numbers of an item that stand side by side: S, D, F, L. */
const boards = 4
/** The scorers, in the order of the feature registry: S, S rare, D, F, L, L rare. */
export const covisitScorers = 6

type Viewer = Pick<Ask, 'items' | 'history' | 'length' | 'countedUntil'>

/** Of the source's places, those that go to most S; the rest go to most F. */
export const namedByS = (perSource: number): number => Math.ceil(perSource / 2)

/** How deep each of the two looks: the user's own history and what others named take places. */
export const covisitDepth = (perSource: number): number => 2 * perSource + covisitWindow

export class Covisit {
  /** `boards` numbers a place. */
  private board = new Float64Array(boards * 4096)
  /** Item at each place; `touchedCount` are valid. */
  private touched = new Int32Array(4096)
  private touchedCount = 0
  private isMeasured = false
  /** By item: its place, if it stands there. */
  private places = new Int32Array(1024)
  private readonly best = new BestOf()
  private items: ItemTable | undefined
  /** Of each scorer over all items. */
  readonly sums = new Float64Array(covisitScorers)
  readonly maxima = new Float64Array(covisitScorers)

  /** Puts the scores on the boards. */
  accumulate(ask: Viewer): void {
    this.clear(ask.items)
    let s = 1
    let directed = 1
    let long = 1
    for (let k = 0; k < ask.length && k < covisitWindow; k++) {
      const row = ask.items.neighbours(ask.history[k])
      if (row !== undefined) {
        const old = row.asOf - ask.countedUntil
        this.add(
          row,
          s,
          directed * 2 ** (old / nextHalfLifeMs),
          directed * 2 ** (old / recentHalfLifeMs),
          long / (ask.items.positives(ask.history[k]) + damping),
        )
      }
      s *= decay
      directed *= directedDecay
      long *= longDecay
    }
  }

  private add(
    row: NonNullable<ReturnType<ItemTable['neighbours']>>,
    s: number,
    next: number,
    recent: number,
    long: number,
  ): void {
    if (this.touchedCount + row.size > this.touched.length) this.growTouched(row.size)
    const { board, touched, places } = this
    let count = this.touchedCount
    for (let n = 0; n < row.size; n++) {
      const w = row.weights[n]
      if (!(w > 0)) continue
      const item = row.items[n]
      let place = places[item]
      if (place < count && touched[place] === item) {
        const at = place * boards
        board[at] += s * w
        board[at + 1] += next * row.next[n]
        board[at + 2] += recent * row.recent[n]
        board[at + 3] += long * w
        continue
      }
      place = count++
      places[item] = place
      touched[place] = item
      const at = place * boards
      board[at] = s * w
      board[at + 1] = next * row.next[n]
      board[at + 2] = recent * row.recent[n]
      board[at + 3] = long * w
    }
    this.touchedCount = count
  }

  /** Sums and maxima of the scorers, for features; nothing to do where they are known. */
  measure(): void {
    if (this.isMeasured) return
    this.isMeasured = true
    const { sums, maxima, board, touched } = this
    const items = this.items!
    sums.fill(0)
    maxima.fill(0)
    // D and F apart: the four others come of two numbers, and stay in registers
    let s = 0
    let sRare = 0
    let l = 0
    let lRare = 0
    for (let place = 0; place < this.touchedCount; place++) {
      const at = place * boards
      const rare = 1 / Math.sqrt(items.positives(touched[place]) + damping)
      s += board[at]
      sRare += board[at] * rare
      l += board[at + 3]
      lRare += board[at + 3] * rare
      if (board[at] > maxima[0]) maxima[0] = board[at]
      if (board[at] * rare > maxima[1]) maxima[1] = board[at] * rare
      if (board[at + 3] > maxima[4]) maxima[4] = board[at + 3]
      if (board[at + 3] * rare > maxima[5]) maxima[5] = board[at + 3] * rare
    }
    let d = 0
    let f = 0
    for (let place = 0; place < this.touchedCount; place++) {
      const at = place * boards
      d += board[at + 1]
      f += board[at + 2]
      if (board[at + 1] > maxima[2]) maxima[2] = board[at + 1]
      if (board[at + 2] > maxima[3]) maxima[3] = board[at + 2]
    }
    sums.set([s, sRare, d, f, l, lRare])
  }

  /** All scorers of an item; false where they are 0. */
  scoresOf(item: number, into: Float64Array): boolean {
    const place = this.placeOf(item)
    if (place < 0) return false
    this.scoresAt(place, item, into)
    return true
  }

  /** As `covisit_long_rare.share` of the feature registry; after `measure`. */
  longRareShare(item: number): number {
    const place = this.placeOf(item)
    const sum = this.sums[covisitScorers - 1]
    if (place < 0 || !(sum > leastSum)) return 0
    const items = this.items!
    const l = this.board[place * boards + boards - 1] / Math.sqrt(items.positives(item) + damping)
    return Math.log((l * items.counted.items) / sum / shareDelta + 1)
  }

  private scoresAt(place: number, item: number, into: Float64Array): void {
    const { board } = this
    const at = place * boards
    const rare = 1 / Math.sqrt(this.items!.positives(item) + damping)
    into[0] = board[at]
    into[1] = board[at] * rare
    into[2] = board[at + 1]
    into[3] = board[at + 2]
    into[4] = board[at + 3]
    into[5] = board[at + 3] * rare
  }

  /** -1: the item has no scores. */
  private placeOf(item: number): number {
    const place = this.places[item]
    return place < this.touchedCount && this.touched[place] === item ? place : -1
  }

  /** S. */
  score(item: number): number {
    const place = this.placeOf(item)
    return place < 0 ? 0 : this.board[place * boards]
  }

  /** By turns: most S, most F. */
  retrieve(ask: Ask, into: Candidates): void {
    const { board, touched, best } = this
    let wanted = ask.perSource
    for (const scorer of [0, 2]) {
      best.reset(covisitDepth(ask.perSource))
      for (let place = 0; place < this.touchedCount; place++) {
        const score = board[place * boards + scorer]
        if (score > 0) best.offer(touched[place], score)
      }
      const until = scorer === 0 ? wanted - namedByS(wanted) : 0
      for (const item of best.take()) {
        if (wanted === until) break
        if (into.add(item, 'covisit')) wanted--
      }
    }
  }

  private clear(items: ItemTable): void {
    this.touchedCount = 0
    this.isMeasured = false
    this.items = items
    if (items.size > this.places.length)
      this.places = new Int32Array(Math.max(items.size, this.places.length * 2))
  }

  private growTouched(extra: number): void {
    const larger = new Int32Array(2 * (this.touched.length + extra))
    larger.set(this.touched)
    this.touched = larger
    const board = new Float64Array(boards * larger.length)
    board.set(this.board)
    this.board = board
  }
}

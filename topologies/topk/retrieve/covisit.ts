/**
 * What was watched with the user's last positives, a_k the k-th most recent:
 *   S = sum of .8^k W[a_k][j]      D = sum of .7^k D[a_k][j]      F = sum of .7^k F[a_k][j]
 *   L = sum of .97^k W[a_k][j] / (positives of a_k + 5)
 * S / sqrt(positives of j + 5) and L likewise are scorers too. W, D, F: covisit/rows.ts.
 *
 * Hot: scores stand on boards over all items, side by side; only the touched places are cleared. The boards stay readable
 * until the next list, so that candidates of other sources are scored as well.
 */
import type { ItemTable } from '../../items/table.ts'
import type { Ask } from './ask.ts'
import { best } from './best.ts'
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

export class Covisit {
  private board = new Float64Array(boards * 1024)
  private touched = new Int32Array(4096)
  private touchedCount = 0
  /** S alone, for the ranking. */
  private sorted = new Float64Array(1024)
  private readonly picked: number[] = []
  private items: ItemTable | undefined
  /** Of each scorer over all items. */
  readonly sums = new Float64Array(covisitScorers)
  readonly maxima = new Float64Array(covisitScorers)
  private readonly scores = new Float64Array(covisitScorers)

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
    const { board, touched } = this
    for (let n = 0; n < row.size; n++) {
      const w = row.weights[n]
      if (!(w > 0)) continue
      const at = row.items[n] * boards
      if (board[at] === 0) touched[this.touchedCount++] = row.items[n]
      board[at] += s * w
      board[at + 1] += next * row.next[n]
      board[at + 2] += recent * row.recent[n]
      board[at + 3] += long * w
    }
  }

  /** Sums and maxima of the scorers, for features. */
  measure(): void {
    const { sums, maxima, scores, touched } = this
    sums.fill(0)
    maxima.fill(0)
    for (let t = 0; t < this.touchedCount; t++) {
      this.scoresOf(touched[t], scores)
      for (let f = 0; f < covisitScorers; f++) {
        sums[f] += scores[f]
        if (scores[f] > maxima[f]) maxima[f] = scores[f]
      }
    }
  }

  /** All scorers of an item; false where they are 0. */
  scoresOf(item: number, into: Float64Array): boolean {
    const { board } = this
    const at = item * boards
    if (board[at] === 0) return false
    const rare = 1 / Math.sqrt(this.items!.positives(item) + damping)
    into[0] = board[at]
    into[1] = board[at] * rare
    into[2] = board[at + 1]
    into[3] = board[at + 2]
    into[4] = board[at + 3]
    into[5] = board[at + 3] * rare
    return true
  }

  /** S. */
  score(item: number): number {
    return this.board[item * boards]
  }

  /** By turns: most S, most F. */
  retrieve(ask: Ask, into: Candidates): void {
    const { board, touched, sorted, picked } = this
    const count = this.touchedCount
    let wanted = ask.perSource
    for (const scorer of [0, 2]) {
      for (let t = 0; t < count; t++) sorted[touched[t]] = board[touched[t] * boards + scorer]
      // the user's own history and what others named take places: look a little deeper than wanted
      best(touched, count, sorted, 2 * ask.perSource + covisitWindow, picked)
      const until = scorer === 0 ? Math.floor(wanted / 2) : 0
      for (const item of picked) {
        if (wanted === until) break
        if (sorted[item] > 0 && into.add(item, 'covisit')) wanted--
      }
    }
  }

  private clear(items: ItemTable): void {
    const { board, touched } = this
    for (let t = 0; t < this.touchedCount; t++)
      board.fill(0, touched[t] * boards, (touched[t] + 1) * boards)
    this.touchedCount = 0
    this.items = items
    if (items.size <= this.sorted.length) return
    const size = Math.max(items.size, this.sorted.length * 2)
    this.board = new Float64Array(size * boards)
    this.sorted = new Float64Array(size)
  }

  private growTouched(extra: number): void {
    const larger = new Int32Array(2 * (this.touched.length + extra))
    larger.set(this.touched)
    this.touched = larger
  }
}

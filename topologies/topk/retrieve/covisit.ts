/**
 * What was watched with the user's last positives: S_j = sum over k of .8^k W[a_k][j], a_k the k-th most recent.
 *
 * Hot: scores stand on a board over all items; only the touched places are cleared. The board stays readable (`score`)
 * until the next list, so that candidates of other sources are scored as well.
 */
import type { Ask } from './ask.ts'
import { best } from './best.ts'
import type { Candidates } from './candidates.ts'

const decay = 0.8
/** .8^24 < .005: older positives weigh nothing. */
export const covisitWindow = 24

export class Covisit {
  private board = new Float64Array(1024)
  private touched = new Int32Array(4096)
  private touchedCount = 0
  private readonly picked: number[] = []

  /** Puts S on the board. */
  accumulate(ask: Ask): void {
    const { board: old } = this
    for (let t = 0; t < this.touchedCount; t++) old[this.touched[t]] = 0
    this.touchedCount = 0
    if (ask.items.size > old.length)
      this.board = new Float64Array(Math.max(ask.items.size, old.length * 2))
    let weight = 1
    for (let k = 0; k < ask.length && k < covisitWindow; k++, weight *= decay) {
      const row = ask.items.neighbours(ask.history[k])
      if (row === undefined) continue
      if (this.touchedCount + row.size > this.touched.length) this.growTouched(row.size)
      const { board, touched } = this
      for (let n = 0; n < row.size; n++) {
        const item = row.items[n]
        const add = weight * row.weights[n]
        if (!(add > 0)) continue
        if (board[item] === 0) touched[this.touchedCount++] = item
        board[item] += add
      }
    }
  }

  score(item: number): number {
    return this.board[item]
  }

  retrieve(ask: Ask, into: Candidates): void {
    const { board, touched } = this
    // the user's own history and what others named take places: look a little deeper than wanted
    best(touched, this.touchedCount, board, 2 * ask.perSource + covisitWindow, this.picked)
    let wanted = ask.perSource
    for (const item of this.picked) {
      if (into.add(item, 'covisit')) wanted--
      if (wanted === 0) return
    }
  }

  private growTouched(extra: number): void {
    const larger = new Int32Array(2 * (this.touched.length + extra))
    larger.set(this.touched)
    this.touched = larger
  }
}

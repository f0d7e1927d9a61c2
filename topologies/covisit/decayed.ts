/**
 * The minute that all decayed weights of a task's boards are kept as of, and what an edge of another minute adds to them.
 * It is moved before numbers grow out of what a double holds.
 */
import type { Board } from './neighbours.ts'
import { nextHalfLife, recentHalfLife } from './rows.ts'

/** Of the shorter half-life: 2^500 leaves a double 2^500 of room above and below. */
const mostHalfLives = 500

export class DecayClock {
  /** Minutes since 1970; 0: none yet. */
  private base = 0
  /** Newest minute counted. */
  newest = 0
  private minute = Number.NaN
  /** What weight 1 of the minute that was asked for last adds. */
  next = 1
  recent = 1

  /** Sets `next` and `recent` for an edge of that minute; where that is due, all boards are moved. */
  at(minute: number, boards: () => readonly { readonly board: Board }[]): void {
    if (minute === this.minute) return
    if (this.base === 0) this.base = minute
    if (minute - this.base > mostHalfLives * nextHalfLife) this.move(minute, boards())
    if (minute > this.newest) this.newest = minute
    this.minute = minute
    this.next = 2 ** ((minute - this.base) / nextHalfLife)
    this.recent = 2 ** ((minute - this.base) / recentHalfLife)
  }

  /** What a board's numbers are to be multiplied with to be true for the newest minute. */
  get nextNow(): number {
    return 2 ** ((this.base - this.newest) / nextHalfLife)
  }

  get recentNow(): number {
    return 2 ** ((this.base - this.newest) / recentHalfLife)
  }

  private move(minute: number, all: readonly { readonly board: Board }[]): void {
    const next = 2 ** ((this.base - minute) / nextHalfLife)
    const recent = 2 ** ((this.base - minute) / recentHalfLife)
    for (const { board } of all)
      for (let i = 0; i < board.size; i++) {
        board.next[i] *= next
        board.recent[i] *= recent
      }
    this.base = minute
  }
}

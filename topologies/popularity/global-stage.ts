/**
 * In the global task: the popularity sets, each written whole with a commit (once a second) if it changed.
 *  - `pop:<window>` and `pop:<window>:<cohort>`: the best 1,000 by positives in the window; `pop:trend...` by decayed ones.
 *  - `pop:at`: the event time that they are true for.
 *  - A withdrawn item leaves all of them with the next commit, which does not wait (`urgent`).
 *  - A set that does not change is written again before its life is over.
 */
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { ItemTable } from '../items/table.ts'
import { BOARDS, longestWindowMinutes, windowsMinutes } from './windows.ts'
import type { WindowsTable } from './windows-table.ts'

export const POPULAR_SIZE = 1_000
const HOUR_MS = 3_600_000

interface Written {
  at: number
  empty: boolean
}

export function createPopularityGlobalStage(ctx: TaskContext): Stage {
  const items = ctx.table<ItemTable>('items')
  const table = ctx.table<WindowsTable>('windows')
  const { windows } = table
  /** By cohort and board. Not there: not written since the start, so an older run's set may stand. */
  const written: (Written | undefined)[] = []
  /** Item number of `windows` -> index in the item table. */
  const indices: number[] = []
  let seen = 0
  let toldAt = 0
  let refilling = false

  const indexOf = (item: number): number => {
    indices[item] ??= items.index(windows.items.nameOf(item))
    return indices[item]
  }
  const withdrawn = (item: number): boolean => items.withdrawnAt(indexOf(item)) !== 0

  /** Boards on which an item that was withdrawn, or came back, may stand are to be read again. */
  function followNews(): void {
    for (; seen < items.news.length; seen++) windows.touchItem(items.idOf(items.news[seen]))
  }

  function write(cohort: number, board: number, now: number, to: Outbox): void {
    const slot = cohort * BOARDS + board
    const before = written[slot]
    const life = lifeMs(board)
    if (before && !windows.changed(cohort, board) && now - before.at < life / 4) return
    const best = windows.take(cohort, board, POPULAR_SIZE, withdrawn)
    const empty = best.items.length === 0
    const key = keyOf(windows.cohorts.nameOf(cohort), board)
    if (!empty)
      to.view({
        op: 'zset',
        key,
        members: best.items.map(item => windows.items.nameOf(item)),
        scores: board < windowsMinutes.length ? best.scores : best.scores.map(roundScore),
        ttlMs: life,
      })
    else if (!before?.empty) to.view({ op: 'delete', key })
    written[slot] = { at: now, empty }
  }

  return {
    name: 'popularity',
    urgent: () => items.news.length > seen,
    refill() {
      written.length = 0
      toldAt = 0
      refilling = true
    },
    refilling: () => refilling,
    flush(to) {
      refilling = false
      followNews()
      if (table.at === 0) return
      const now = ctx.now()
      for (let cohort = 0; cohort < windows.cohortCount; cohort++)
        for (let board = 0; board < BOARDS; board++) write(cohort, board, now, to)
      if (table.at === toldAt) return
      toldAt = table.at
      to.view({ op: 'string', key: 'pop:at', value: String(toldAt), ttlMs: 0 })
    },
  }
}

function keyOf(cohort: string, board: number): string {
  const name = board < windowsMinutes.length ? windowsMinutes[board].name : 'trend'
  return cohort === '' ? `pop:${name}` : `pop:${name}:${cohort}`
}

/** The window and an hour; the trend's window is the longest. */
function lifeMs(board: number): number {
  const minutes = windowsMinutes[board]?.minutes ?? longestWindowMinutes
  return minutes * 60_000 + HOUR_MS
}

/** Nine decimals: what lies below is rounding, and would differ between two runs. */
function roundScore(score: number): number {
  return Math.round(score * 1e9) / 1e9
}

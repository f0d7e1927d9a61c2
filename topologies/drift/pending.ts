/**
 * In the statistic task: what came for windows that are still open, by place, each change added once. Only when a window
 * closes is it summed into the whole and its segments, and a minute into its hour and day: a minute is changed by every
 * commit, and doing all of that with each would cost some fifteen times as much, in additions and in rows on the changelog.
 */

import type { Row } from '../../streams/topology/store.ts'
import { Store } from '../../streams/topology/store.ts'
import { type BlockHead, blockKey } from './deltas.ts'
import { Histogram } from './histogram.ts'
import { dimensions } from './segments.ts'
import { numberSubject, sizes } from './subjects.ts'

/** Store number in the task kind `statistics`. On the log for ever. */
const storeId = 46

export interface PendingRow extends Row {
  readonly subject: string
  readonly block: BlockHead
  histogram: Histogram
}

interface Block {
  readonly head: BlockHead
  readonly bySubject: Map<string, PendingRow>
}

export function emptyFor(subject: string): Histogram {
  const known = numberSubject(subject)
  return known ? Histogram.numbers(known.edges.length + 1) : Histogram.categories()
}

export class Pending {
  /** Rows that wait. */
  size = 0
  readonly store: Store<PendingRow>
  private readonly blocks = new Map<string, Block>()
  private last: Block | undefined
  private lastHead: BlockHead | undefined

  constructor() {
    this.store = new Store<PendingRow>({
      id: storeId,
      name: 'drift-pending',
      write: 'exact',
      writeKey({ subject, block }, w) {
        w.string(subject)
        for (const dimension of dimensions) w.string(block.place[dimension])
        w.u8(block.size).uint(block.start / sizes[block.size].ms)
      },
      writeValue: ({ histogram }, w) => histogram.write(w),
      restore: (key, value) => {
        const subject = key.string()
        const [surface, cohort, policy, model] = dimensions.map(() => key.string())
        const size = key.u8()
        const start = key.uint() * sizes[size].ms
        const head = { place: { surface, cohort, policy, model }, size, start }
        if (value === null) this.drop(head, subject)
        else this.row(head, subject).histogram = Histogram.read(value)
      },
    })
  }

  /** Where changes of a subject go. Cells of a block come one after another. */
  row(head: BlockHead, subject: string): PendingRow {
    if (this.lastHead !== head || !this.last) {
      this.last = this.blockOf(head)
      this.lastHead = head
    }
    let row = this.last.bySubject.get(subject)
    if (!row) {
      const block = this.last.head
      row = { subject, block, histogram: emptyFor(subject), dirty: false, removed: false }
      this.last.bySubject.set(subject, row)
      this.size++
    }
    return row
  }

  /** Takes out at most `limit` rows, or a block more, of windows that are over. */
  takeEnded(isOver: (end: number) => boolean, limit: number): PendingRow[] {
    const taken: PendingRow[] = []
    for (const [key, { head, bySubject }] of this.blocks) {
      if (taken.length >= limit) break
      if (!isOver(head.start + sizes[head.size].ms)) continue
      this.blocks.delete(key)
      for (const row of bySubject.values()) taken.push(row)
    }
    if (taken.length === 0) return taken
    this.size -= taken.length
    this.last = undefined
    for (const row of taken) this.store.remove(row)
    return taken
  }

  private blockOf(head: BlockHead): Block {
    const key = blockKey(head)
    let block = this.blocks.get(key)
    if (!block) {
      block = { head, bySubject: new Map() }
      this.blocks.set(key, block)
    }
    return block
  }

  private drop(head: BlockHead, subject: string): void {
    const key = blockKey(head)
    const block = this.blocks.get(key)
    if (block?.bySubject.delete(subject)) this.size--
    if (block?.bySubject.size === 0) this.blocks.delete(key)
    this.last = undefined
  }
}

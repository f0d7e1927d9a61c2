/**
 * In the user task: counts events per item, and positives also per cohort and minute of event time, until the commit, and
 * sends the counts to the items' owners. Consent `contextual` counts too, `none` does not. Nothing is held over a commit.
 */
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { popularityChannel } from '../items/stores.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserEvent } from '../user/event.ts'
import { CellCounts } from './cells.ts'

/** A commit is asked for at so many items and cells: its packets stand in one commit record. */
const MAX_CELLS = 30_000

export function createPopularityUserStage(ctx: TaskContext): Stage<UserEvent> {
  const items = ctx.table<ItemTable>('items')
  const partitions = ctx.partitionsOf('item')
  const cells = new CellCounts()
  const owner = ownerOf(items, partitions)
  const idOf = (item: number): string => items.idOf(item)
  return {
    name: 'popularity',
    process(event) {
      if (event.kind === 'erasure' || event.consent === 'none') return undefined
      const ts = Math.max(0, event.ts)
      if (event.kind === 'impression') cells.add(event.item, event.event.cohort, ts, 1, 0, 0, 0)
      else if (event.kind === 'watch') {
        const started = event.playStarted ? 1 : 0
        const positive = event.positive ? 1 : 0
        // a repeated heartbeat tells nothing new
        if (started | positive || event.watchedMs > 0)
          cells.add(
            event.item,
            event.event.cohort,
            ts,
            0,
            started,
            positive,
            Math.round(event.watchedMs),
          )
      }
      return undefined
    },
    urgent: () => cells.size >= MAX_CELLS,
    flush(out) {
      if (cells.size > 0)
        cells.drain(owner, idOf, partition => out.delta(popularityChannel, partition))
    },
  }
}

/** The item task that owns an item, remembered per item index: hashing each id anew would be half the cost of a packet. */
export function ownerOf(
  items: Pick<ItemTable, 'idOf'>,
  partitions: number,
): (item: number) => number {
  let known = new Int16Array(1024).fill(-1)
  return item => {
    if (item >= known.length) {
      const larger = new Int16Array(item * 2).fill(-1)
      larger.set(known)
      known = larger
    }
    if (known[item] < 0) known[item] = partitionOfText(items.idOf(item), partitions)
    return known[item]
  }
}

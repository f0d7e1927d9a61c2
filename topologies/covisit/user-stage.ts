/**
 * In the user task: a user's first positive on item i, a_k the k-th most recent of their positives before it (k from 0):
 * W[a_k][i] and W[i][a_k] += .8^k for k < 23, where .8^k falls below .0074. Consent below `full` leaves no history, so it
 * counts nothing; nor do users who are held out. Nothing is held over a commit.
 */
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { covisitChannel } from '../items/stores.ts'
import type { ItemTable } from '../items/table.ts'
import { ownerOf } from '../popularity/user-stage.ts'
import type { UserEvent } from '../user/event.ts'
import { positionWeights } from './rows.ts'
import { Visits } from './visits.ts'

/**
 * Input waits for a commit at so many bytes, as its packets stand in one commit record. A reference and its id are counted at
 * each mention; a packet names an item once, so this is more than there will be.
 */
const MOST_BYTES = 1 << 20
const REFERENCE_BYTES = 5

/** @param isHeldOut users who train nobody. */
export function createCovisitUserStage(
  ctx: TaskContext,
  isHeldOut: (userId: string) => boolean,
): Stage<UserEvent> {
  const items = ctx.table<ItemTable>('items')
  const owner = ownerOf(items, ctx.partitionsOf('item'))
  const idOf = (item: number): string => items.idOf(item)
  const visits = new Visits()
  let bytes = 0
  return {
    name: 'covisit',
    process(event) {
      if (event.kind === 'erasure' || !event.firstPositive || event.user === null) return undefined
      if (isHeldOut(event.userId)) return undefined
      const history = event.user.positives
      const n = Math.min(positionWeights.length, history.length - 1)
      if (n <= 0) return undefined
      visits.add(event.item, Math.floor(Math.max(0, event.ts) / 60_000))
      bytes += (n + 1) * REFERENCE_BYTES + idOf(event.item).length
      for (let k = 0; k < n; k++) {
        const before = history.item(k + 1)
        visits.follow(before)
        bytes += idOf(before).length
      }
      return undefined
    },
    full: () => bytes >= MOST_BYTES,
    flush(out) {
      bytes = 0
      if (visits.size > 0)
        visits.drain(owner, idOf, partition => out.delta(covisitChannel, partition))
    },
  }
}

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

/** A commit is asked for at so many entries: its packets (~5 bytes an entry) stand in one commit record. */
const MAX_ENTRIES = 150_000

/** @param isHeldOut users who train nobody. */
export function createCovisitUserStage(
  ctx: TaskContext,
  isHeldOut: (userId: string) => boolean,
): Stage<UserEvent> {
  const items = ctx.table<ItemTable>('items')
  const owner = ownerOf(items, ctx.partitionsOf('item'))
  const idOf = (item: number): string => items.idOf(item)
  const visits = new Visits()
  return {
    name: 'covisit',
    process(event) {
      if (event.kind === 'erasure' || !event.firstPositive || event.user === null) return undefined
      if (isHeldOut(event.userId)) return undefined
      const history = event.user.positives
      const n = Math.min(positionWeights.length, history.length - 1)
      if (n <= 0) return undefined
      visits.add(event.item, Math.floor(Math.max(0, event.ts) / 60_000))
      for (let k = 0; k < n; k++) visits.follow(history.item(k + 1))
      return undefined
    },
    urgent: () => visits.size >= MAX_ENTRIES,
    flush(out) {
      if (visits.size > 0)
        visits.drain(owner, idOf, partition => out.delta(covisitChannel, partition))
    },
  }
}

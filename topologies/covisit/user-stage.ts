/**
 * In the user task: a user's first positive on item i, a_k the k-th most recent of their positives before it (k from 0):
 * W[a_k][i] and W[i][a_k] += .8^k for k < 23, where .8^k falls below .0074. Consent below `full` leaves no history, so it
 * counts nothing. Nothing is held over a commit.
 */
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { covisitChannel } from '../items/stores.ts'
import type { ItemTable } from '../items/table.ts'
import { ownerOf } from '../popularity/user-stage.ts'
import type { UserEvent } from '../user/event.ts'
import { PairWeights } from './edges.ts'
import { weightUnit } from './rows.ts'

/** Weight of the k-th most recent item, in whole parts of `weightUnit`. */
const positionWeights: readonly number[] = Array.from({ length: 23 }, (_, k) =>
  Math.round(weightUnit * 0.8 ** k),
)

/** A commit is asked for at so many pairs: its packets (~7 bytes a pair) stand in one commit record. */
const MAX_PAIRS = 100_000

export function createCovisitUserStage(ctx: TaskContext): Stage<UserEvent> {
  const items = ctx.table<ItemTable>('items')
  const owner = ownerOf(items, ctx.partitionsOf('item'))
  const idOf = (item: number): string => items.idOf(item)
  const pairs = new PairWeights()
  return {
    name: 'covisit',
    process(event) {
      if (event.kind === 'erasure' || !event.firstPositive || event.user === null) return undefined
      const history = event.user.positives
      const n = Math.min(positionWeights.length, history.length - 1)
      for (let k = 0; k < n; k++) {
        const other = history.item(k + 1)
        if (other !== event.item) pairs.add(event.item, other, positionWeights[k])
      }
      return undefined
    },
    urgent: () => pairs.pairs >= MAX_PAIRS,
    flush(out) {
      if (pairs.pairs > 0)
        pairs.drain(owner, idOf, partition => out.delta(covisitChannel, partition))
    },
  }
}

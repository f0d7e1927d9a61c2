/**
 * In the user task: sends each first positive of a stored user to the learner, and nothing of users who are held out. Holds
 * nothing over a commit.
 */
import { ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserEvent } from '../user/event.ts'
import {
  bucketOf,
  emptyPositive,
  historyLength,
  positivesChannel,
  writePositive,
} from './positive.ts'

/** The learner takes in a packet without a break, at some 460 us a positive: 120 ms. */
const positivesAPacket = 256
/** The packets of a commit stand in its commit record, and what else it holds beside them. */
const mostBytes = 1 << 20

export interface LearnerUserDeps {
  readonly items: Pick<ItemTable, 'idOf'>
  /** Users who train nobody. */
  readonly isHeldOut: (userId: string) => boolean
}

export function learnerUserStage({ items, isHeldOut }: LearnerUserDeps): Stage<UserEvent> {
  const packet = new ByteWriter(4096)
  const positive = emptyPositive()
  let count = 0
  /** Where each packet but the first begins. */
  let cuts: number[] = []
  return {
    name: 'positives',
    process(event) {
      if (event.kind === 'erasure' || !event.firstPositive || event.user === null) return undefined
      if (isHeldOut(event.userId)) return undefined
      const history = event.user.positives
      const before = history.length - 1
      positive.user = hash53(event.userId)
      positive.ts = event.ts
      positive.bucket = bucketOf(before, before > 0 ? event.ts - history.at(1) : 0)
      positive.count = Math.min(before, historyLength) + 1
      for (let k = 0; k < positive.count; k++) positive.ids[k] = items.idOf(history.item(k))
      if (count > 0 && count % positivesAPacket === 0) cuts.push(packet.length)
      count++
      writePositive(positive, packet)
      return undefined
    },
    full: () => packet.length >= mostBytes,
    flush(out) {
      if (packet.length === 0) return
      const bytes = packet.bytes()
      cuts.push(bytes.length)
      cuts.forEach((end, part) => {
        out.delta(positivesChannel, 0, part).raw(bytes.subarray(cuts[part - 1] ?? 0, end))
      })
      packet.reset()
      count = 0
      cuts = []
    },
  }
}

/**
 * In the user task: sends each impression whose label is final to the learner, and nothing of users who are held out.
 * Holds nothing over a commit.
 */
import { ByteWriter } from '../../streams/serde/bytes.ts'
import type { Stage } from '../../streams/topology/stage.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserEvent } from '../user/event.ts'
import type { LabelSink } from '../user/labels-port.ts'
import { responsesChannel, writeImpression } from './impression.ts'

export interface ResponseUserDeps {
  readonly items: Pick<ItemTable, 'idOf'>
  /** Users who train nobody. */
  readonly isHeldOut: (userId: string) => boolean
}

/** The stage is to stand behind the labels stage, which tells it of labels. */
export function responseUserStage(deps: ResponseUserDeps): Stage<UserEvent> & LabelSink {
  const packet = new ByteWriter(4096)
  return {
    name: 'responses',
    label(fact) {
      if (fact.target === null || fact.answers < 0 || deps.isHeldOut(fact.userId)) return
      writeImpression(deps.items.idOf(fact.item), fact, fact.target, packet)
    },
    flush(out) {
      if (packet.length === 0) return
      out.delta(responsesChannel, 0).raw(packet.bytes())
      packet.reset()
    },
  }
}

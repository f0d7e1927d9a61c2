/** `--state live|NAME`: what a replay goes on from instead of nothing. */
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import type { ReplaySource } from '../../replay/shadow/spec.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { Call, Values } from '../call.ts'
import { refuseOtherState } from './kept-options.ts'

export interface ReusedState {
  /** Where an input goes on. */
  readonly position: (topic: string, partition: number) => number
  readonly generation: number
  readonly notes: readonly string[]
}

export interface ReuseAsked {
  readonly call: Call
  readonly state: string
  readonly set: Readonly<Record<string, string>>
  readonly topologies: string
  readonly source: ReplaySource
  readonly values: Values
}

/** undefined: it begins empty. Errors: CALL_INVALID for a state that there is not, is not at its end, or contradicts the call. */
export async function reusedState(asked: ReuseAsked): Promise<ReusedState | undefined> {
  const { state } = asked
  if (state === 'empty') return undefined
  if (state === 'live') throw new FreshetError('CALL_INVALID', '--state live is not there yet')
  return ofReplay(asked)
}

function ofReplay({ call, state, set, topologies }: ReuseAsked): ReusedState {
  const folder = new ReplayFolder(call.values['data.dir'], state)
  const spec = folder.spec()
  if (!folder.checkpoint()?.done)
    throw new FreshetError(
      'CALL_INVALID',
      `replay ${state} is not at its end, so its state is not to go on from: \`freshet replay resume ${state}\` brings it there`,
    )
  refuseOtherState(set, name => spec.set[name], state)
  const before = new Set(spec.topologies.split(','))
  const added = topologies.split(',').filter(name => !before.has(name))
  if (added.length > 0)
    throw new FreshetError(
      'CALL_INVALID',
      `--topology got ${topologies}, and the state of ${state} knows nothing of ${added.join(', ')}: they would begin in the middle; leave them out, or begin with --state empty`,
    )
  return {
    position: (topic, partition) => spec.ranges[topic]?.[partition]?.[1] ?? 0,
    generation: spec.generation,
    notes: [],
  }
}

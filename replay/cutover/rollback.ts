/**
 * Goes back to the state that was in force before the last cutover. It stands as it was left, so it takes in everything
 * since then itself, as after a pause. Its views are held back until it has (view-gate.ts): no list goes back.
 */
import { FreshetError } from '../../streams/errors.ts'
import { inForce } from '../../streams/runtime/generations.ts'
import type { Generation } from '../../streams/runtime/journal-records.ts'
import { lastCommit } from '../../streams/runtime/last-commit.ts'
import { type StateAt, type TopicNames, topicNames } from '../../streams/runtime/names.ts'
import { startOffset } from '../../streams/runtime/start-offset.ts'
import { refuseRemovedState } from '../../streams/runtime/topics.ts'
import type { Application } from '../../streams/topology/stage.ts'
import { HeldLive, type LiveSettings } from './live.ts'
import { keptFor } from './states.ts'

const BACK_MS = 60_000

export interface RollbackSettings extends Omit<LiveSettings, 'kinds'> {
  /** topics.prefix */
  readonly prefix: string
  readonly application: Application
  /** How long workers wait at most, ms. */
  readonly holdMs: number
}

export interface RollbackReport {
  readonly generation: number
  readonly state: StateAt
  /** false: it is in force already. */
  readonly changed: boolean
  /** Records that the state has to take in anew. */
  readonly behind: number
  readonly heldMs: number
  /** Workers were there before. */
  readonly hadWorkers: boolean
  /** From the hold until a worker had joined again, ms; null: none was there, or came in time. */
  readonly backMs: number | null
}

/**
 * Errors: CALL_INVALID where there was no cutover; STATE_REMOVED where the kept state is gone; POSITION_LOST where records
 * are gone that it has not taken in; those of `HeldLive`.
 */
export async function rollBack(settings: RollbackSettings): Promise<RollbackReport> {
  const { generations, prefix, applicationId, application } = settings
  const journal = await generations.read()
  const { current } = journal
  if (current?.by === 'rollback') return unchanged(current)
  const kept = keptFor(journal)
  if (current === undefined || kept === undefined)
    throw new FreshetError(
      'CALL_INVALID',
      `there is nothing to go back to: ${current === undefined ? 'nothing is live here' : `generation ${current.generation} was not begun by a cutover`}`,
    )
  if (current.application !== applicationId)
    throw new FreshetError(
      'APPLICATION_OTHER',
      `the topics belong to application ${current.application}, this is ${applicationId}; call it with application.id=${current.application}`,
    )
  const names = topicNames(prefix, kept.state)
  const born = [...(journal.births.get(kept.generation) ?? [])]
  const behind = await needWhole(settings, names, new Set(born))
  const live = new HeldLive(
    { ...settings, kinds: application.kinds },
    current,
    inForce(topicNames(prefix, 1), journal).names,
  )
  try {
    await live.take('rollback', settings.holdMs)
    const shownFrom = await live.positions()
    const to = { by: 'rollback', state: kept.state, born, shownFrom }
    const { generation, heldMs } = await live.raise(to)
    settings.onStage('workers come back')
    const backMs = await live.back(BACK_MS)
    const { hadWorkers } = live
    return { ...unchanged(generation), changed: true, behind, heldMs, hadWorkers, backMs }
  } finally {
    await live.release()
  }
}

const unchanged = ({ generation, state }: Generation): RollbackReport => ({
  generation,
  state,
  changed: false,
  behind: 0,
  heldMs: 0,
  hadWorkers: false,
  backMs: null,
})

/** The state is all there, and the log still has what it has not taken in: how many records that is. */
async function needWhole(
  { transport, application, counts }: RollbackSettings,
  names: TopicNames,
  born: ReadonlySet<string>,
): Promise<number> {
  const has = (at: { kind: string; partition: number }): boolean =>
    born.has(`${at.kind}-${at.partition}`)
  await refuseRemovedState(application, names, transport.topics, has, counts)
  let behind = 0
  for (const { name: kind, inputs } of application.kinds)
    for (let partition = 0; partition < (counts.get(kind) ?? 0); partition++) {
      if (!has({ kind, partition })) continue
      const record = await lastCommit(transport, { topic: names.changelog(kind), partition })
      for (const input of inputs) {
        const position = record?.positions.get(input)
        if (position === undefined) continue
        const at = { topic: names.outside(input), partition }
        const [bounds] = await transport.topics.offsets([at])
        startOffset(at, bounds, position, 'earliest')
        behind += bounds.end - position
      }
    }
  return behind
}

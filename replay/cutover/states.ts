/** Which states there are beside the one in force, and what may be done with them. */
import { LOOKED_FOR } from '../../streams/runtime/generations.ts'
import type { Generation, Journal } from '../../streams/runtime/journal-records.ts'
import {
  replayPrefix,
  type StateAt,
  type TopicNames,
  topicNames,
} from '../../streams/runtime/names.ts'
import type { Transport } from '../../streams/transport/port.ts'

/** The generation whose state is kept: a rollback brings it back. Undefined: there is none. */
export function keptFor({ current, history }: Journal): Generation | undefined {
  return current?.by?.startsWith('cutover') ? history.at(-2) : undefined
}

/** Whether a replay's state is live, or kept for a rollback: a sentence that says so; undefined where it may go. */
export function stateInUse(
  journal: Journal,
  names: TopicNames,
  replay: string,
): string | undefined {
  const prefix = replayPrefix(names.outside(''), replay)
  if (journal.current?.state.prefix === prefix)
    return `the state of ${replay} is live since ${isoTime(journal.current)}; \`freshet replay rollback\` goes back to what was before`
  const kept = keptFor(journal)
  return kept?.state.prefix === prefix
    ? `the state of ${replay} is kept for a rollback of the cutover at ${isoTime(journal.current)}; the next cutover lets it go`
    : undefined
}

const isoTime = (generation: Generation | undefined): string =>
  new Date(generation?.at ?? 0).toISOString()

/** Removes the topics that a cutover of this replay made, or began to make. Gives their names. */
export async function removeUpload(
  transport: Transport,
  names: TopicNames,
  replay: string,
  kinds: readonly string[],
): Promise<string[]> {
  const own = names.outside('')
  const prefix = replayPrefix(own, replay)
  const candidates: string[] = []
  for (let generation = 1; generation <= LOOKED_FOR; generation++)
    for (const kind of kinds) {
      const { changelog, deltas } = topicNames(own, { prefix, generation })
      candidates.push(changelog(kind), deltas(kind))
    }
  const found = [...(await transport.topics.describe(candidates)).keys()]
  await transport.topics.remove(found)
  return found
}

/** Removes the topics of all states that were ever in force but those that are kept. */
export async function removeStates(
  transport: Transport,
  names: TopicNames,
  { history, kinds }: Journal,
  kept: readonly StateAt[],
): Promise<void> {
  const topics = history
    .filter(({ state }) => !kept.some(one => isSame(one, state)))
    .flatMap(({ generation, state }) => {
      const { changelog, deltas } = topicNames(names.outside(''), state)
      const had = [...(kinds.get(generation) ?? [])]
      return had.flatMap(kind => [changelog(kind), deltas(kind)])
    })
  await transport.topics.remove(topics)
}

const isSame = (a: StateAt, b: StateAt): boolean =>
  a.prefix === b.prefix && a.generation === b.generation

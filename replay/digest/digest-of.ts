/** Digests of where a replay, or the live application, stands. A task's rows are in memory at a time. */
import { FreshetError } from '../../streams/errors.ts'
import type { CommitRecord } from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'
import { type TopicNames, taskName } from '../../streams/runtime/names.ts'
import type { Transport } from '../../streams/transport/port.ts'
import type { TopologyName } from '../../topologies/main.ts'
import type { ReplayFolder } from '../shadow/folder.ts'
import { readToEnd } from '../state-copy/read-to-end.ts'
import { type DigestOptions, type DigestPart, type Digests, ExactDigest } from './digest.ts'
import { FinalRows } from './final-rows.ts'

export interface DigestSettings {
  /** With which the state came to be. */
  readonly options: DigestOptions
  readonly topologies: ReadonlySet<TopologyName>
  /** Told of each text that counts, to find out where two states differ. */
  readonly onText?: (part: DigestPart, text: string) => void
}

/** Kinds whose rows count, senders behind their receivers: what one has taken in, the other has sent by then. */
const kinds = ['statistics', 'item', 'user'] as const

/** undefined before the first checkpoint. Errors: CHANGELOG_CORRUPT with the file. */
export function digestOfFolder(
  folder: ReplayFolder,
  { options, topologies, onText }: DigestSettings,
): Digests | undefined {
  const checkpoint = folder.checkpoint()
  if (checkpoint === undefined) return undefined
  const digest = new ExactDigest(options, topologies, onText)
  for (const task of Object.keys(checkpoint.logs)) {
    const [kind, partition] = partsOf(task)
    if (!kinds.some(each => each === kind)) continue
    const rows = new FinalRows()
    for (const batch of folder.batches(task)) rows.take(batch)
    for (const row of rows.of(kind, partition)) digest.take(row)
    digest.endTask()
  }
  return digest.digests()
}

export interface LiveDigests {
  readonly digests: Digests
  /** Next record of each input by topic (without prefix) and partition, as `events-3`. */
  readonly positions: ReadonlyMap<string, number>
  /**
   * 'item-1 has not taken in packets 8 to 9 of user-0': while there is one, the parts are not of one moment, and are compared
   * with nothing.
   */
  readonly underWay: readonly string[]
}

/**
 * Of the live changelogs as they end now; may run beside the live workers. `names`: those of the state in force.
 * Errors: TOPIC_MISSING where there is no state.
 */
export async function digestOfLive(
  transport: Transport,
  names: TopicNames,
  { options, topologies, onText }: DigestSettings,
): Promise<LiveDigests> {
  const digest = new ExactDigest(options, topologies, onText)
  const commits = new Map<string, CommitRecord>()
  const positions = new Map<string, number>()
  const there = await transport.topics.describe(kinds.map(kind => names.changelog(kind)))
  if (there.size === 0)
    throw new FreshetError(
      'TOPIC_MISSING',
      `topic ${names.changelog('user')} is not there: has \`freshet run\` seen events with this topics.prefix?`,
    )
  for (const kind of kinds) {
    const topic = names.changelog(kind)
    for (let partition = 0; partition < (there.get(topic)?.partitions ?? 0); partition++) {
      const rows = new FinalRows()
      await readToEnd(transport, { topic, partition }, batch => rows.take(batch))
      for (const row of rows.of(kind, partition)) digest.take(row)
      digest.endTask()
      if (rows.commit === undefined) continue
      commits.set(taskName({ kind, partition }), rows.commit)
      for (const [input, position] of rows.commit.positions)
        if (input !== DELTAS) positions.set(`${input}-${partition}`, position)
    }
  }
  return { digests: digest.digests(), positions, underWay: underWay(commits) }
}

/** What senders have sent and receivers, read before them, have not taken in; in the order of tasks. */
function underWay(commits: ReadonlyMap<string, CommitRecord>): string[] {
  const found: string[] = []
  for (const [from, { sent }] of commits)
    for (const [to, number] of sent) {
      const receiver = commits.get(to)
      const last = receiver?.applied.get(from)?.number ?? 0
      const [kind] = partsOf(to)
      if (last >= number || !kinds.some(each => each === kind)) continue
      const which = last + 1 === number ? `packet ${number}` : `packets ${last + 1} to ${number}`
      found.push(`${to} has not taken in ${which} of ${from}`)
    }
  return found.sort()
}

function partsOf(task: string): [kind: string, partition: number] {
  const at = task.lastIndexOf('-')
  return [task.slice(0, at), Number(task.slice(at + 1))]
}

/**
 * Copies state into a replay's folder, so that the replay goes on from there: that of the live application while it runs, or
 * of another replay. Every task's changelog, what is under way between tasks, and where each input goes on.
 *
 *  - C1 The copy of the live state is a consistent cut: receivers are read before their senders. So what a receiver has taken
 *       in was sent in the sender's copy too, and what was sent and not taken in is in the delta topics or in the sender's
 *       outbox, and goes into the checkpoint.
 *  - C2 Delta topics are followed while changelogs are read, as receivers that go on have them trimmed; what is gone
 *       nevertheless begins the copy anew.
 *  - C3 Nothing of the live state is written, and nothing waits for the copy.
 */
import { rmSync } from 'node:fs'
import { FreshetError } from '../../streams/errors.ts'
import type { CommitRecord } from '../../streams/runtime/commit-record.ts'
import { DELTAS } from '../../streams/runtime/core.ts'
import { type TopicNames, taskName } from '../../streams/runtime/names.ts'
import type { Application, TaskKind } from '../../streams/topology/stage.ts'
import type { FetchedBatch, Transport } from '../../streams/transport/port.ts'
import type { Checkpoint, ReplayFolder } from '../shadow/folder.ts'
import type { LogMark } from '../shadow/task-log.ts'
import { DeltaFollower } from './delta-follower.ts'
import { type KeptOfKind, keptParts } from './kept-parts.ts'
import { foundPacket, PacketsGone, packetsUnderWay } from './packets.ts'
import { readToEnd } from './read-to-end.ts'
import { TaskCopy } from './task-copy.ts'

const ATTEMPTS = 5

export interface CopySettings {
  /** As the replay composes it: what its topologies do not keep is left behind. */
  readonly application: Application
  /** Number of tasks of each kind. */
  readonly counts: ReadonlyMap<string, number>
}

export interface StateCopy {
  /** Checkpoint 0 of the replay that goes on with it. */
  readonly checkpoint: Checkpoint
  /** Where each input goes on, by topic (without prefix) and partition; undefined: nothing of it was taken in. */
  readonly positions: ReadonlyMap<string, readonly (number | undefined)[]>
  /** Of the packets: the replay's must be the same. */
  readonly generation: number
}

/**
 * Of the live state that `names` stands for, to the state folder of a replay that is not there yet.
 * Errors: TOPIC_MISSING where there is no state; PARTITION_COUNT where it has other numbers of tasks; DELTA_GAP where parts of
 * it were removed by hand; STALLED where packets go faster than they are read, again and again.
 */
export async function copyLive(
  transport: Transport,
  names: TopicNames,
  settings: CopySettings,
  stateDir: string,
): Promise<StateCopy> {
  await refuseOtherCounts(transport, names, settings)
  const kept = keptParts(settings.application, settings.counts)
  for (let attempt = 1; ; attempt++)
    try {
      return await copyOnce(transport, names, settings, stateDir, kept)
    } catch (error) {
      rmSync(stateDir, { recursive: true, force: true })
      if (!(error instanceof PacketsGone)) throw error
      if (attempt === ATTEMPTS)
        throw new FreshetError(
          'STALLED',
          `the live state could not be copied: ${error.message}, ${ATTEMPTS} times; try again while the live workers have less to do, or stop them for as long as it takes`,
          error,
        )
    }
}

async function copyOnce(
  transport: Transport,
  names: TopicNames,
  { application, counts }: CopySettings,
  stateDir: string,
  kept: ReadonlyMap<string, KeptOfKind>,
): Promise<StateCopy> {
  const copied = new CopiedTasks(stateDir, kept)
  const deltas = new DeltaFollower(transport, names)
  try {
    for (const kind of receiversFirst(application.kinds))
      for (let partition = 0; partition < (counts.get(kind.name) ?? 0); partition++) {
        const at = { topic: names.changelog(kind.name), partition }
        const commit = await copied.copy(kind.name, partition, take =>
          readToEnd(transport, at, take),
        )
        if (kind.deltas) deltas.follow(kind.name, partition, commit?.positions.get(DELTAS) ?? 0)
      }
    const found = [...(await deltas.end()), ...copied.outboxes()]
    const packets = packetsUnderWay(copied.commits, found, kept)
    const { generation } = names.state
    return {
      checkpoint: copied.checkpoint(packets, null),
      positions: copied.positions(application.kinds, counts),
      generation,
    }
  } finally {
    await deltas.close()
  }
}

/**
 * Of a replay that is at its end, into the folder of another that is not there yet.
 * Errors: CALL_INVALID where it is not at its end; PARTITION_COUNT where it has other numbers of tasks.
 */
export async function copyReplay(
  from: ReplayFolder,
  { application, counts }: CopySettings,
  stateDir: string,
): Promise<StateCopy> {
  const spec = from.spec()
  const checkpoint = from.checkpoint()
  if (!checkpoint?.done)
    throw new FreshetError(
      'CALL_INVALID',
      `replay ${from.name} is not at its end, so its state is not to go on from: \`freshet replay resume ${from.name}\` brings it there`,
    )
  for (const { name, inputs } of application.kinds) {
    const has = inputs.length === 0 ? undefined : spec.ranges[inputs[0]]?.length
    if (has !== undefined && has !== counts.get(name))
      throw otherCount(`replay ${from.name}`, name, has, counts.get(name) ?? 0)
  }
  const kept = keptParts(application, counts)
  const copied = new CopiedTasks(stateDir, kept)
  for (const { name } of application.kinds)
    for (let partition = 0; partition < (counts.get(name) ?? 0); partition++) {
      const task = taskName({ kind: name, partition })
      await copied.copy(name, partition, async take => {
        for (const batch of from.batches(task)) take(batch)
      })
      copied.carry(task, checkpoint.logs[task]?.carried)
    }
  const found = checkpoint.packets.map(({ kind, partition, value }) =>
    foundPacket(
      { kind, partition, value: Buffer.from(value, 'base64') },
      `${from.dir}/checkpoint.json`,
    ),
  )
  return {
    checkpoint: copied.checkpoint(packetsUnderWay(copied.commits, found, kept), checkpoint.step),
    positions: copied.positions(application.kinds, counts),
    generation: spec.generation,
  }
}

/** C1: who receives stands before who sends. Kinds are declared in the order in which packets go. */
function receiversFirst(kinds: readonly TaskKind[]): TaskKind[] {
  return [...kinds].reverse()
}

async function refuseOtherCounts(
  transport: Transport,
  names: TopicNames,
  { application, counts }: CopySettings,
): Promise<void> {
  const topics = application.kinds.map(({ name }) => names.changelog(name))
  const there = await transport.topics.describe(topics)
  for (const { name } of application.kinds) {
    const topic = names.changelog(name)
    const has = there.get(topic)?.partitions
    if (has === undefined)
      throw new FreshetError(
        'TOPIC_MISSING',
        `there is no live state of ${name} tasks to go on from (topic ${topic}): has \`freshet run\` run with these topics.prefix and topologies? Leave out what it does not run, or begin with --state empty`,
      )
    if (has !== counts.get(name))
      throw otherCount('the live state', name, has, counts.get(name) ?? 0)
  }
}

const otherCount = (whose: string, kind: string, has: number, wanted: number): FreshetError =>
  new FreshetError(
    'PARTITION_COUNT',
    `${whose} has ${has} ${kind} tasks, this replay has ${wanted}: rows would be in other tasks than their records; replay inputs with as many partitions (statistics: statistics.partitions), or begin with --state empty`,
  )

/** The tasks that were copied so far. */
class CopiedTasks {
  readonly commits = new Map<string, CommitRecord>()
  private readonly stateDir: string
  private readonly kept: ReadonlyMap<string, KeptOfKind>
  private readonly logs: Record<string, LogMark> = {}

  constructor(stateDir: string, kept: ReadonlyMap<string, KeptOfKind>) {
    this.stateDir = stateDir
    this.kept = kept
  }

  async copy(
    kind: string,
    partition: number,
    read: (take: (batch: FetchedBatch) => void) => Promise<unknown>,
  ): Promise<CommitRecord | undefined> {
    const name = taskName({ kind, partition })
    const copy = new TaskCopy(this.stateDir, name, this.kept.get(kind)?.stores ?? new Set())
    await read(batch => copy.take(batch))
    const mark = await copy.end()
    if (mark === undefined || copy.commit === undefined) return undefined
    this.logs[name] = mark
    this.commits.set(name, copy.commit)
    return copy.commit
  }

  /** What the task holds beside its rows goes along. */
  carry(task: string, carried: string | undefined): void {
    const mark = this.logs[task]
    if (mark !== undefined) this.logs[task] = { ...mark, carried }
  }

  /** Of the last commits: a packet may stand there and in no topic yet. */
  outboxes() {
    return [...this.commits].flatMap(([name, { packets }]) =>
      packets.map(packet => foundPacket(packet, `the outbox of ${name}`)),
    )
  }

  checkpoint(packets: Checkpoint['packets'], step: Checkpoint['step']): Checkpoint {
    return {
      number: 0,
      at: 0,
      logs: this.logs,
      packets,
      step,
      counts: { records: 0, deadLetters: 0 },
      done: false,
    }
  }

  positions(
    kinds: readonly TaskKind[],
    counts: ReadonlyMap<string, number>,
  ): Map<string, (number | undefined)[]> {
    return new Map(
      kinds.flatMap(({ name: kind, inputs }) =>
        inputs.map(topic => {
          const parts = Array.from({ length: counts.get(kind) ?? 0 }, (_, partition) =>
            this.commits.get(taskName({ kind, partition }))?.positions.get(topic),
          )
          return [topic, parts] as const
        }),
      ),
    )
  }
}

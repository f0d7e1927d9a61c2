/** Where an archive begins or goes on: checked against the log before anything is written. */
import { randomUUID } from 'node:crypto'
import { FreshetError } from '../../streams/errors.ts'
import type { TopicPartition, Transport } from '../../streams/transport/port.ts'
import type { Codec } from './format.ts'
import { FORMAT, type Manifest, type PartitionEntry } from './manifest.ts'
import { addRange } from './ranges.ts'

export interface ArchivedTopic {
  /** `events`: the folder. */
  readonly name: string
  /** `freshet.events`. */
  readonly topic: string
  readonly compacted: boolean
}

/** The log's start, a time in ms, or an offset that counts in every partition. */
export type From =
  | { readonly kind: 'earliest' }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'offset'; readonly offset: number }

/** As it stands in the manifest. */
function fromText(from: From): string {
  if (from.kind === 'time') return new Date(from.ms).toISOString()
  return from.kind === 'offset' ? String(from.offset) : 'earliest'
}

export interface StartSettings {
  readonly transport: Transport
  readonly topics: readonly ArchivedTopic[]
  readonly from: From | undefined
  readonly codec: Codec | undefined
  readonly acceptLoss: boolean
  readonly wall: () => number
}

/**
 * A new archive's manifest. Compacted topics begin at the log's start, whatever `from`: they hold what is true, not what happened.
 * Errors: CALL_INVALID for a topic that is not there, or a `from` that the log does not reach.
 */
export async function firstManifest(settings: StartSettings): Promise<Manifest> {
  const { transport, topics, from = { kind: 'earliest' }, codec = 'deflate', wall } = settings
  const counts = await partitionCounts(settings)
  const entries = []
  for (const [i, topic] of topics.entries()) {
    const partitions: PartitionEntry[] = []
    const bounds = await transport.topics.offsets(placesOf(topic.topic, counts[i]))
    for (const [partition, { start, end }] of bounds.entries()) {
      const at = { topic: topic.topic, partition }
      const begin = topic.compacted ? start : await beginOf(transport, at, from, start, end)
      partitions.push({ partition, start: begin, kept: begin, next: begin, lost: [] })
    }
    entries.push({ ...topic, partitions })
  }
  const now = new Date(wall()).toISOString()
  return {
    format: FORMAT,
    id: randomUUID(),
    created: now,
    updated: now,
    from: fromText(from),
    codec,
    nextArrival: 0,
    topics: entries,
    schemas: [],
    erasures: [],
    retention: [],
    files: [],
  }
}

async function beginOf(
  transport: Transport,
  at: TopicPartition,
  from: From,
  start: number,
  end: number,
): Promise<number> {
  if (from.kind === 'earliest') return start
  if (from.kind === 'time') return transport.topics.offsetAt(at, from.ms)
  if (from.offset >= start && from.offset <= end) return from.offset
  throw new FreshetError(
    from.offset < start ? 'POSITION_LOST' : 'CALL_INVALID',
    `--from ${from.offset}: ${at.topic}-${at.partition} holds the offsets ${start} to ${end - 1}${from.offset < start ? `, ${start - from.offset} before them are gone` : ''}; take an offset that all partitions have, a time, or leave it out`,
    undefined,
    at,
  )
}

/**
 * The manifest to go on with, the same but for a loss that was accepted.
 * Errors: CALL_INVALID for a call that contradicts the archive; PARTITION_COUNT; POSITION_LOST where the log no longer has what
 * comes next.
 */
export async function resumedManifest(
  before: Manifest,
  settings: StartSettings,
): Promise<Manifest> {
  const { transport, topics, from, codec, acceptLoss } = settings
  refuseOther('topic', names(before.topics), topics.length === 0 ? undefined : names(topics))
  refuseOther('from', before.from, from && fromText(from))
  refuseOther('codec', before.codec, codec)
  const counts = await partitionCounts({ ...settings, topics: before.topics })
  let manifest = before
  for (const [i, { name, topic, partitions }] of before.topics.entries()) {
    if (counts[i] !== partitions.length)
      throw new FreshetError(
        'PARTITION_COUNT',
        `${topic} has ${counts[i]} partitions, and had ${partitions.length} when it was archived: keys have moved; archive it from here on into another folder`,
      )
    const bounds = await transport.topics.offsets(placesOf(topic, counts[i]))
    for (const { partition, next } of partitions) {
      const { start, end } = bounds[partition]
      if (next >= start && next <= end) continue
      const at = { topic, partition }
      if (next > end)
        throw new FreshetError(
          'POSITION_LOST',
          `the archive has ${topic}-${partition} up to ${next - 1}, and the log ends at ${end}: was the topic made anew? Archive it into another folder`,
          undefined,
          at,
        )
      if (!acceptLoss)
        throw new FreshetError(
          'POSITION_LOST',
          `the archive has ${topic}-${partition} up to ${next - 1}, and the log begins at ${start}: ${start - next} offsets were deleted before they were archived; --accept-loss goes on behind them and notes it in the manifest`,
          undefined,
          at,
        )
      manifest = withLoss(manifest, name, partition, next, start)
    }
  }
  return manifest
}

const names = (topics: readonly { readonly name: string }[]): string =>
  topics
    .map(topic => topic.name)
    .sort()
    .join(',')

function refuseOther(option: string, before: string, given: string | undefined): void {
  if (given === undefined || given === before) return
  throw new FreshetError(
    'CALL_INVALID',
    `--${option} got ${given}, and this archive was begun with ${before}: the order over its topics counts from there; leave --${option} out to go on, or name another folder`,
  )
}

async function partitionCounts({
  transport,
  topics,
}: Pick<StartSettings, 'transport' | 'topics'>): Promise<number[]> {
  const found = await transport.topics.describe(topics.map(one => one.topic))
  return topics.map(({ topic }) => {
    const described = found.get(topic)
    if (described !== undefined) return described.partitions
    throw new FreshetError(
      'CALL_INVALID',
      `there is no topic ${topic} to archive; \`freshet topics create\` makes freshet's`,
    )
  })
}

const placesOf = (topic: string, partitions: number): TopicPartition[] =>
  Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))

/** A loss that was accepted: the archive goes on behind it. */
function withLoss(
  manifest: Manifest,
  topic: string,
  partition: number,
  from: number,
  next: number,
): Manifest {
  const topics = manifest.topics.map(one =>
    one.name !== topic
      ? one
      : {
          ...one,
          partitions: one.partitions.map(place =>
            place.partition !== partition
              ? place
              : { ...place, next, lost: addRange(place.lost, [from, next]) },
          ),
        },
  )
  return { ...manifest, topics }
}

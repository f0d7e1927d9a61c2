/**
 * What the log says of one task, for a person to read: who owns it, how far it is, what it keeps. Claims nothing, joins
 * nothing; may run beside the owner, whose newest commits it then may or may not see.
 */
import { FreshetError } from '../errors.ts'
import { noMetrics } from '../metrics.ts'
import type { TaskKind } from '../topology/stage.ts'
import type { Row, Store } from '../topology/store.ts'
import type { FetchedBatch, TopicPartition, Transport } from '../transport/port.ts'
import { COMMIT_KEY, type CommitRecord, readCommitRecord } from './commit-record.ts'
import { DELTAS } from './core.ts'
import type { TopicNames } from './names.ts'
import { readOwnerRecord, tokenIn } from './ownership-record.ts'
import type { ReadTables } from './read-tables.ts'
import { readUpTo } from './restore.ts'
import { TABLE_BLOCK } from './table-blocks.ts'

export interface InspectSettings {
  readonly transport: Transport
  readonly names: TopicNames
  readonly counts: ReadonlyMap<string, number>
  readonly tables: Pick<ReadTables, 'follow'>
  readonly now: () => number
  readonly log: Parameters<TaskKind['create']>[0]['log']
}

export interface TaskOwner {
  readonly uuid: string
  readonly producerId: string
  readonly epoch: number
  /** Offset of its ownership record. */
  readonly token: number
  /** When it claimed the task, ms, by the log's time. */
  readonly since: number
}

export interface TaskInput {
  readonly topic: string
  /** Next record to be taken in. */
  readonly position: number
  /** End of the log; null where the topic is gone. */
  readonly end: number | null
  readonly lag: number | null
}

export interface StoreSize {
  readonly id: number
  readonly name: string
  readonly write: 'exact' | { readonly everyMs: number }
  readonly rows: number
  /** Of keys and values. */
  readonly bytes: number
}

export interface TaskReport {
  readonly task: string
  readonly changelog: {
    readonly topic: string
    readonly start: number
    readonly end: number
    readonly batches: number
    /** Records that stand there, superseded ones too, and the bytes of their keys and values. */
    readonly records: number
    readonly bytes: number
  }
  readonly owner: TaskOwner | null
  readonly commit: {
    readonly number: number
    readonly bornAt: number
    /** When it was made, ms, by the log's time. */
    readonly at: number
    /** Lowest offset whose list may not be out. */
    readonly unfinishedFrom: number | null
    /** Packets and records in its outbox. */
    readonly packets: number
    readonly records: number
  } | null
  readonly inputs: readonly TaskInput[]
  /** Last packet taken in, by the task that sent it; last number given out, by the task that it goes to. */
  readonly applied: Readonly<Record<string, number>>
  readonly sent: Readonly<Record<string, number>>
  readonly stores: readonly StoreSize[]
  /** Blocks of table rows that the table store has not acknowledged. */
  readonly waitingBlocks: number
}

/** Called with each row that stands in the end: its store, its key behind the store's number, its value. */
export type OnRow = (store: number, key: Buffer, value: Buffer) => void

/**
 * Errors: TOPIC_MISSING where there is no changelog; CHANGELOG_CORRUPT, CHANGELOG_NEWER, CHANGELOG_OLDER with the address.
 */
export async function inspectTask(
  settings: InspectSettings,
  kind: TaskKind,
  partition: number,
  onRow?: OnRow,
): Promise<TaskReport> {
  const { transport, names } = settings
  const at = { topic: names.changelog(kind.name), partition }
  if (!(await transport.topics.describe([at.topic])).has(at.topic))
    throw new FreshetError(
      'TOPIC_MISSING',
      `topic ${at.topic} is not there: has \`freshet run\` seen events with this topics.prefix?`,
    )
  const [{ start, end }] = await transport.topics.offsets([at])
  const found = new FoundTask(at)
  await readUpTo(
    transport,
    at,
    end,
    batch => found.take(batch),
    () => false,
  )
  if (onRow) for (const [name, value] of found.rows) callWith(onRow, name, value)
  const { commit } = found
  return {
    task: `${kind.name}-${partition}`,
    changelog: { topic: at.topic, start, end, ...found.size },
    owner: found.owner,
    commit: commit && {
      number: commit.number,
      bornAt: commit.bornAt,
      at: found.committedAt,
      unfinishedFrom: commit.unfinishedFrom ?? null,
      packets: commit.packets.length,
      records: commit.records.length,
    },
    inputs: commit === null ? [] : await inputsOf(settings, kind, partition, commit),
    applied: Object.fromEntries([...(commit?.applied ?? [])].map(([from, a]) => [from, a.number])),
    sent: Object.fromEntries(commit?.sent ?? []),
    stores: sizesOf(storesOf(settings, kind, partition), found.rows),
    waitingBlocks: found.blocks.size,
  }
}

function callWith(onRow: OnRow, name: string, value: Buffer): void {
  const key = Buffer.from(name, 'latin1')
  onRow(key[0], key.subarray(1), value)
}

class FoundTask {
  readonly size = { batches: 0, records: 0, bytes: 0 }
  /** By key, as latin1. */
  readonly rows = new Map<string, Buffer>()
  readonly blocks = new Set<string>()
  owner: TaskOwner | null = null
  commit: CommitRecord | null = null
  committedAt = 0
  private readonly at: TopicPartition

  constructor(at: TopicPartition) {
    this.at = at
  }

  take(batch: FetchedBatch): void {
    const { size } = this
    size.batches++
    this.takeOwner(batch)
    for (const { key, value, offset, timestamp } of batch.records) {
      size.records++
      size.bytes += (key?.length ?? 0) + (value?.length ?? 0)
      if (key === null || key.length === 0) continue
      if (key[0] === 0) {
        if (key[1] === TABLE_BLOCK) put(this.blocks, key.toString('latin1'), value !== null)
        if (!key.equals(COMMIT_KEY) || value === null) continue
        this.commit = readCommitRecord(value, `${this.at.topic}-${this.at.partition}@${offset}`)
        this.committedAt = timestamp
      } else if (value === null) this.rows.delete(key.toString('latin1'))
      else this.rows.set(key.toString('latin1'), value)
    }
  }

  private takeOwner(batch: FetchedBatch): void {
    const token = tokenIn(batch)
    const [first] = batch.records
    if (token === undefined || first.value === null) return
    const { uuid = '' } = readOwnerRecord(first.value, `${this.at.topic}@${token}`)
    this.owner = {
      uuid,
      producerId: String(batch.producerId),
      epoch: batch.producerEpoch,
      token,
      since: first.timestamp,
    }
  }
}

function put(set: Set<string>, name: string, there: boolean): void {
  if (there) set.add(name)
  else set.delete(name)
}

async function inputsOf(
  { transport, names }: InspectSettings,
  kind: TaskKind,
  partition: number,
  commit: CommitRecord,
): Promise<TaskInput[]> {
  const topicOf = (name: string): string =>
    name === DELTAS ? names.deltas(kind.name) : names.outside(name)
  const topics = [...commit.positions].map(([name, position]) => ({
    topic: topicOf(name),
    position,
  }))
  const there = await transport.topics.describe(topics.map(({ topic }) => topic))
  return Promise.all(
    topics.map(async ({ topic, position }) => {
      if (!there.has(topic)) return { topic, position, end: null, lag: null }
      const [{ end }] = await transport.topics.offsets([{ topic, partition }])
      return { topic, position, end, lag: Math.max(0, end - position) }
    }),
  )
}

/** The stores that this version keeps of such a task, as its stages declare them. */
function storesOf(
  { counts, tables, now, log }: InspectSettings,
  kind: TaskKind,
  partition: number,
): readonly Store<Row>[] {
  const logic = kind.create({
    kind: kind.name,
    partition,
    partitionsOf: name => counts.get(name) ?? 0,
    now,
    table: <T>(name: string) => tables.follow(name).table as T,
    metrics: noMetrics,
    log,
  })
  return logic.stages.flatMap(stage => (stage.stores ?? []) as readonly unknown[]) as Store<Row>[]
}

function sizesOf(
  stores: readonly Store<Row>[],
  rows: ReadonlyMap<string, Buffer>,
): readonly StoreSize[] {
  const sizes = new Map<number, { rows: number; bytes: number }>(
    stores.map(({ spec }) => [spec.id, { rows: 0, bytes: 0 }]),
  )
  for (const [name, value] of rows) {
    const id = name.charCodeAt(0)
    const size = sizes.get(id) ?? { rows: 0, bytes: 0 }
    size.rows++
    size.bytes += name.length + value.length
    sizes.set(id, size)
  }
  const specs = new Map(stores.map(({ spec }) => [spec.id, spec]))
  return [...sizes]
    .map(([id, size]) => ({
      id,
      // rows of a topology that this call leaves out, or of a newer version
      name: specs.get(id)?.name ?? `store ${id}`,
      write: specs.get(id)?.write ?? ('exact' as const),
      ...size,
    }))
    .sort((a, b) => a.id - b.id)
}

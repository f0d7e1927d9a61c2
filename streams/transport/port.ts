/**
 * The transport port: a log of record batches in topics and partitions, as Kafka has it. Two adapters: `kafka/` and
 * `embedded/` (LMDB, one process). `test/contracts/transport.contract.ts` holds both to what stands here.
 *
 * What a caller may rely on:
 *  - T1 An append is one record batch: all of its records become visible, in order, at consecutive offsets, or none.
 *  - T2 A fenced writer's batch is accepted at most once, however often the request was repeated. A writer whose epoch is
 *       older than the newest one seen *on that partition* is refused with FENCED.
 *  - T3 An append that fails with anything but FENCED is *unknown*, never *not written*; the writer is then dead.
 *  - T4 `read` and `poll` return whole batches; `nextOffset` passes over offsets that compaction or control batches left
 *       empty, so that a caller that goes on at `nextOffset` always gets on.
 *  - T5 Only committed records are seen (aborted transactions of other producers never).
 *  - T6 A lost broker is waited for, visibly (`waiting`), without limit; nothing throws for an outage except a writer's
 *       deadline.
 * What an adapter must never do: skip a position silently. A position below the log's start throws POSITION_LOST.
 */
import type { FreshetError } from '../errors.ts'
import type { UnstampedBatch } from './record-batch/unstamped-batch.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface RecordHeader {
  readonly key: string
  readonly value: Buffer
}

export interface LogRecord {
  readonly offset: number
  /** ms since the epoch, as the producer or the broker set it. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** One record batch as read. `records` may be empty (control batch, compacted away). */
export interface FetchedBatch extends TopicPartition {
  readonly baseOffset: number
  /** Where to read on: one past the batch's last offset, even if its last records are compacted away. */
  readonly nextOffset: number
  /** -1 for a writer without idempotence. */
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly records: LogRecord[]
}

export interface ReadResult {
  readonly batches: FetchedBatch[]
  readonly nextOffset: number
  readonly highWatermark: number
  readonly logStart: number
}

export interface TopicSpec {
  readonly topic: string
  readonly partitions: number
  /** Kafka's names: cleanup.policy, retention.ms, max.message.bytes, ... */
  readonly config: Readonly<Record<string, string>>
}

export interface TopicDescription {
  readonly partitions: number
}

export interface TopicAdmin {
  /** Absent topics are absent from the map. */
  describe(topics: readonly string[]): Promise<Map<string, TopicDescription>>
  /** Makes what is missing; leaves what exists as it is. Replication: 3, 1 on a single broker; min.insync.replicas 2 (1). */
  create(specs: readonly TopicSpec[]): Promise<void>
  /** Removes topics; those that are absent are passed over. */
  remove(topics: readonly string[]): Promise<void>
  /** Log start and high watermark. */
  offsets(at: readonly TopicPartition[]): Promise<{ start: number; end: number }[]>
  /** Deletes the records below `before` (Kafka's DeleteRecords). */
  trim(at: TopicPartition, before: number): Promise<void>
  /** The offset of the first record whose timestamp is at or after `timestampMs`; the end where there is none. */
  offsetAt(at: TopicPartition, timestampMs: number): Promise<number>
}

/** Reads many partitions in one loop, with at most one fetch a broker under way and a bounded buffer. */
export interface LogReader {
  /** `verifyChecksum`: of each batch, CHANGELOG_CORRUPT where it is wrong; for what becomes state as it stands there. */
  assign(at: TopicPartition, offset: number, verifyChecksum?: boolean): void
  unassign(at: TopicPartition): void
  /** A paused partition is not fetched and what was already fetched for it is kept until it is resumed. */
  pause(at: TopicPartition): void
  resume(at: TopicPartition): void
  /** Batches that came, in offset order within a partition; [] after `maxWaitMs` without any. */
  poll(maxWaitMs: number): Promise<FetchedBatch[]>
  /** The newest known high watermark, for lag; undefined before the first fetch. */
  highWatermark(at: TopicPartition): number | undefined
  close(): Promise<void>
}

/** Appends under one producer id and epoch, sequence numbers per partition from 0. One request in flight; calls queue. */
export interface FencedWriter {
  readonly producerId: bigint
  readonly epoch: number
  /**
   * Appends one batch; the same bytes and sequence are sent again until acknowledged, fenced or `deadlineMs` is over.
   * Errors: FENCED (T2); STALLED after the deadline (T3).
   * Resolves to the offset of the batch's first record *as the broker tells it*: of a batch that the broker took for a
   * repetition this is the first one's offset, whoever wrote it, so an ownership record is always read back.
   */
  append(at: TopicPartition, batch: UnstampedBatch): Promise<{ baseOffset: number }>
  /** Several partitions, one batch each, in as few requests as possible; resolves when all are acknowledged. */
  appendAll(parts: readonly { at: TopicPartition; batch: UnstampedBatch }[]): Promise<void>
}

export interface OutsideRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, string>>
  readonly timestamp?: number
  /** Given, or murmur2 of the key as in Java's client. */
  readonly partition?: number
}

/** Produces to topics that outsiders read: at least once, in order per partition. */
export interface Publisher {
  send(topic: string, records: readonly OutsideRecord[]): Promise<void>
  close(): Promise<void>
}

/** A task: all co-partitioned inputs of one number of one kind, e.g. { kind: 'user', partition: 3 }. */
export interface TaskId {
  readonly kind: string
  readonly partition: number
}

export interface GroupSpec {
  readonly groupId: string
  readonly clientId: string
  readonly sessionTimeoutMs: number
  /** What the members work on, e.g. "freshet.g1": one that says another is refused. */
  readonly identity: string
  /** All tasks there are, the same on every member; a leader reads it at each rebalance. */
  tasks(): Promise<readonly TaskId[]>
  /** The outside topics of a kind, so that group tools can show what is assigned. */
  topicsOf(kind: string): readonly string[]
  /** Awaited before the join of a rebalance, at most half a session timeout: commit what is open. */
  onRebalance(): Promise<void>
  /** The whole new assignment. Revoked tasks are those that are missing; called before `onRebalance` of the next. */
  onAssigned(tasks: readonly TaskId[]): Promise<void>
  /** The session is gone (fenced out, expired): everything owned is lost. The membership joins again by itself. */
  onLost(reason: string): Promise<void>
  /** The group is someone else's: the membership is over, and no waiting mends it. Errors: APPLICATION_OTHER. */
  onRefused(error: FreshetError): void
}

export interface Membership {
  /** For lag tools only; the commit records are the truth (C6). Never throws. */
  commitOffsets(positions: readonly { at: TopicPartition; offset: number }[]): Promise<void>
  /** Leaves the group at once so that others need not wait for the session timeout. */
  leave(): Promise<void>
}

export interface BrokerFacts {
  /** host:port as the cluster gives it out. */
  readonly address: string
  /** Requests in the version that freshet speaks and this broker does not. */
  readonly lacks: readonly string[]
  /** The settings that matter here by Kafka's name; null where the broker does not tell them. */
  readonly settings: Readonly<Record<string, string>> | null
  /** Why it does not tell them. */
  readonly refusal?: string
}

/** What a cluster says of itself, for `doctor`. */
export interface ClusterFacts {
  readonly brokers: readonly BrokerFacts[]
  /** All settings of each topic that exists and may be described, by topic. */
  readonly topics: ReadonlyMap<string, Readonly<Record<string, string>>>
}

export interface Transport {
  readonly name: 'kafka' | 'embedded'
  readonly topics: TopicAdmin
  /** One bounded read at an offset: for restore, claims and inspection. Waits up to `maxWaitMs` for data. */
  read(
    at: TopicPartition,
    offset: number,
    limits?: { maxBytes?: number; maxWaitMs?: number },
  ): Promise<ReadResult>
  reader(): LogReader
  /** A producer id never given before (InitProducerId without a transactional id). */
  newProducerId(): Promise<bigint>
  writer(identity: { producerId: bigint; epoch: number; deadlineMs: number }): FencedWriter
  publisher(): Publisher
  join(group: GroupSpec): Promise<Membership>
  /** What is being waited for, e.g. "broker 127.0.0.1:9092 since 12:00:03"; undefined while all is well. */
  waiting(): string | undefined
  /** Who is in a consumer group, for a person to read. Absent where one process is all there is. */
  members?(groupId: string): Promise<readonly string[]>
  /** What a group has committed, in the order asked; undefined where nothing is. Absent where there are no groups. */
  committed?(groupId: string, at: readonly TopicPartition[]): Promise<(number | undefined)[]>
  /** Absent where there is no cluster to ask. */
  facts?(topics: readonly string[]): Promise<ClusterFacts>
  close(): Promise<void>
}

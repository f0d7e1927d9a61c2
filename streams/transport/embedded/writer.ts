/** Writers to the embedded logs: one under a producer id and epoch, one for topics that outsiders read. */
import type { Clock } from '../../clock.ts'
import { FreshetError } from '../../errors.ts'
import { partitionOf } from '../../serde/hash.ts'
import type {
  FencedWriter,
  OutsideRecord,
  Publisher,
  RecordHeader,
  TopicPartition,
} from '../port.ts'
import { RecordBatchBuilder, type UnstampedBatch } from '../record-batch.ts'
import { type PartitionLog, SEQUENCES } from './partition-log.ts'

type LogAt = (at: TopicPartition) => PartitionLog

export class EmbeddedWriter implements FencedWriter {
  readonly producerId: bigint
  readonly epoch: number
  private readonly logAt: LogAt
  private readonly sequences = new Map<string, number>()
  private dead: unknown

  constructor(identity: { producerId: bigint; epoch: number }, logAt: LogAt) {
    this.producerId = identity.producerId
    this.epoch = identity.epoch
    this.logAt = logAt
  }

  async append(at: TopicPartition, batch: UnstampedBatch): Promise<{ baseOffset: number }> {
    if (this.dead !== undefined) throw this.dead
    try {
      const log = this.logAt(at)
      const sequence = this.sequences.get(log.name) ?? 0
      this.sequences.set(log.name, (sequence + batch.count) % SEQUENCES)
      return { baseOffset: await log.append(batch.stamp(this.producerId, this.epoch, sequence)) }
    } catch (error) {
      this.dead ??= error
      throw error
    }
  }

  async appendAll(parts: readonly { at: TopicPartition; batch: UnstampedBatch }[]): Promise<void> {
    await Promise.all(parts.map(({ at, batch }) => this.append(at, batch)))
  }
}

/** Under Kafka's default max.message.bytes, with room for the record that goes over. */
const PUBLISHED_BATCH_BYTES = 256 * 1024

export class EmbeddedPublisher implements Publisher {
  private readonly logAt: LogAt
  private readonly partitionsOf: (topic: string) => number
  private readonly clock: Clock
  private keyless = 0
  private closed = false

  constructor(logAt: LogAt, partitionsOf: (topic: string) => number, clock: Clock) {
    this.logAt = logAt
    this.partitionsOf = partitionsOf
    this.clock = clock
  }

  /** Errors: ROW_TOO_LARGE (the other records are sent), TOPIC_MISSING, CLOSED. */
  async send(topic: string, records: readonly OutsideRecord[]): Promise<void> {
    if (this.closed)
      throw new FreshetError('CLOSED', `sending to ${topic}: the publisher is closed`)
    const partitions = this.partitionsOf(topic)
    const now = this.clock.now()
    // keyless records of one call stay together, as in Java's sticky partitioner
    const keyless = this.keyless++ % partitions
    const builders = new Map<number, RecordBatchBuilder>()
    const sent: Promise<number>[] = []
    const flush = (log: PartitionLog, builder: RecordBatchBuilder): void => {
      sent.push(log.append(builder.finish(now).stamp(-1n, -1, -1)))
    }
    for (const { key, value, headers, timestamp, partition: given } of records) {
      const partition = given ?? (key === null ? keyless : partitionOf(key, partitions))
      const builder = builders.get(partition) ?? new RecordBatchBuilder()
      builders.set(partition, builder)
      const log = this.logAt({ topic, partition })
      const fields = recordHeaders(headers)
      const added = sizeOf(key, value, fields)
      const limit = Math.min(PUBLISHED_BATCH_BYTES, log.maxMessageBytes)
      if (builder.count > 0 && builder.sizeBytes + added > limit) flush(log, builder)
      builder.add(key, value, fields, timestamp ?? now)
    }
    for (const [partition, builder] of builders) flush(this.logAt({ topic, partition }), builder)
    const failed = (await Promise.allSettled(sent)).find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

function recordHeaders(
  headers: Readonly<Record<string, string>> | undefined,
): RecordHeader[] | undefined {
  if (headers === undefined) return undefined
  return Object.entries(headers).map(([key, value]) => ({ key, value: Buffer.from(value) }))
}

/** An upper bound of a record's bytes in a batch. */
function sizeOf(key: Buffer | null, value: Buffer | null, headers: RecordHeader[] = []): number {
  let size = 40 + (key?.length ?? 0) + (value?.length ?? 0)
  for (const header of headers) size += 10 + header.key.length * 3 + header.value.length
  return size
}

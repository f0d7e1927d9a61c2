/**
 * One partition of an embedded topic, with the rules a Kafka broker has for it.
 *
 *  - E1 A batch's offsets are given, and its producer checked, at the call, in call order; it is visible (high watermark)
 *       when its write has been committed.
 *  - E2 Per producer id: an older epoch is refused; a new epoch begins at sequence 0; a sequence must follow the last one;
 *       a repetition of one of the last 5 batches (same epoch, sequence and count) is answered with the first one's offset,
 *       whoever wrote it. An unknown producer id may begin anywhere.
 *  - E3 Producer state outlives trim, retention and compaction: it stands in the log's document.
 */
import { FreshetError } from '../../errors.ts'
import type { FetchedBatch, TopicPartition } from '../port.ts'
import {
  BASE_OFFSET,
  BASE_SEQUENCE,
  COUNT,
  LAST_OFFSET_DELTA,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  readInt64,
  writeInt64,
} from '../record-batch/layout.ts'
import { decodeRecordSet } from '../record-batch.ts'
import { baseOffsetOf, type Storage } from './storage.ts'

/** [sequence, count, base offset] of a remembered batch. */
type Remembered = [number, number, number]

interface Producer {
  epoch: number
  /** The last batches, oldest first, at most 5 (Kafka's number). */
  batches: Remembered[]
}

interface LogDocument {
  start: number
  next: number
  producers: [string, Producer][]
}

const REMEMBERED = 5
/** Sequence numbers go round at 2^31, as Kafka's do. */
export const SEQUENCES = 2147483648
/** Kafka's default of max.message.bytes. */
const MAX_MESSAGE_BYTES = 1048588
/** Batches removed in one write. */
const REMOVE_AT_ONCE = 500

export class PartitionLog {
  readonly id: number
  readonly at: TopicPartition
  readonly config: Readonly<Record<string, string>>
  /** Where the log begins. */
  start = 0
  /** End of what is committed. */
  highWatermark = 0
  /** Bytes appended since the cleaner last passed; all of the log at first. */
  dirtyBytes = Number.POSITIVE_INFINITY
  /** Bytes that the cleaner's last pass left. */
  cleanBytes = 0
  removed = false
  private next = 0
  private failure: unknown
  private readonly producers = new Map<bigint, Producer>()
  private readonly storage: Storage
  private readonly onCommitted: () => void
  readonly maxMessageBytes: number

  constructor(
    id: number,
    at: TopicPartition,
    config: Readonly<Record<string, string>>,
    storage: Storage,
    onCommitted: () => void,
  ) {
    this.id = id
    this.at = at
    this.config = config
    this.storage = storage
    this.onCommitted = onCommitted
    this.maxMessageBytes = Number(config['max.message.bytes'] ?? MAX_MESSAGE_BYTES)
    const stored = storage.document(this.documentName) as LogDocument | undefined
    if (stored === undefined) return
    this.start = stored.start
    this.next = stored.next
    this.highWatermark = stored.next
    for (const [id, producer] of stored.producers) this.producers.set(BigInt(id), producer)
  }

  get name(): string {
    return `${this.at.topic}-${this.at.partition}`
  }

  get documentName(): string {
    return `log:${this.id}`
  }

  /**
   * Appends a stamped batch and resolves to its first offset once it is committed; of a repetition, to the first one's.
   * Errors: FENCED (E2), ROW_TOO_LARGE for a batch over the topic's max.message.bytes, DEPENDENCY_UNREACHABLE of the disk.
   */
  async append(batch: Buffer): Promise<number> {
    if (this.failure !== undefined) throw this.failure
    if (this.removed) throw new FreshetError('TOPIC_MISSING', `${this.name} has been removed`)
    if (batch.length > this.maxMessageBytes)
      throw new FreshetError(
        'ROW_TOO_LARGE',
        `a batch of ${batch.length} bytes for ${this.name}, whose max.message.bytes is ${this.maxMessageBytes}`,
      )
    const count = batch.readInt32BE(COUNT)
    const producerId = batch.readBigInt64BE(PRODUCER_ID)
    const repeated = producerId < 0n ? undefined : this.remember(batch, producerId, count)
    if (repeated !== undefined) {
      await this.committed(repeated)
      return repeated
    }
    const baseOffset = this.next
    writeInt64(batch, baseOffset, BASE_OFFSET)
    this.next = baseOffset + count
    const written = { log: this.id, baseOffset, bytes: batch }
    try {
      await this.storage.write([written], [this.document()])
    } catch (error) {
      // the producer's state has the batch, the disk may not: a repetition must not be acknowledged
      this.failure ??= error
      throw error
    }
    this.highWatermark = Math.max(this.highWatermark, baseOffset + count)
    this.dirtyBytes += batch.length
    this.onCommitted()
    return baseOffset
  }

  /**
   * Whole batches from `offset` on, at least one if there is any, up to `maxBytes`.
   * Errors: POSITION_LOST if `offset` is outside the log.
   */
  read(offset: number, maxBytes: number): { batches: FetchedBatch[]; nextOffset: number } {
    this.check(offset)
    const batches: FetchedBatch[] = []
    let nextOffset = offset
    if (offset === this.highWatermark) return { batches, nextOffset }
    let bytes = 0
    for (const stored of this.storage.scan(this.id, offset)) {
      if (baseOffsetOf(stored) >= this.highWatermark) break
      if (bytes > 0 && bytes + stored.length > maxBytes) return { batches, nextOffset }
      const { topic, partition } = this.at
      const decoded = decodeRecordSet(stored, topic, partition, offset)
      for (const batch of decoded.batches) batches.push(batch)
      if (decoded.batches.length > 0) bytes += stored.length
      nextOffset = decoded.nextOffset
    }
    return { batches, nextOffset }
  }

  /** The offset of the first record dated at or after `timestampMs`, or the end. Reads the log from its start. */
  offsetAt(timestampMs: number): number {
    const { topic, partition } = this.at
    for (const stored of this.storage.scan(this.id, this.start)) {
      if (baseOffsetOf(stored) >= this.highWatermark) break
      if (readInt64(stored, MAX_TIMESTAMP) < timestampMs) continue
      for (const batch of decodeRecordSet(stored, topic, partition, this.start).batches)
        for (const record of batch.records)
          if (record.timestamp >= timestampMs) return record.offset
    }
    return this.highWatermark
  }

  /** Moves the log's start up to `before` and removes the batches that lie wholly below. */
  async trim(before: number): Promise<void> {
    if (this.removed || before <= this.start) return
    if (before > this.highWatermark)
      throw new FreshetError(
        'CALL_INVALID',
        `${this.name} can't be trimmed below ${before}: it ends at ${this.highWatermark}`,
      )
    this.start = before
    await this.storage.write([], [this.document()])
    await this.removeBelow(before)
  }

  /** Removes all batches and the log's document; the topic is gone. */
  async remove(): Promise<void> {
    this.removed = true
    await this.removeBelow(Number.POSITIVE_INFINITY)
    await this.storage.write([], [{ name: this.documentName, value: null }])
  }

  private async removeBelow(offset: number): Promise<void> {
    for (;;) {
      const below = []
      for (const stored of this.storage.scan(this.id, 0)) {
        if (nextOffsetOf(stored) > offset || below.length === REMOVE_AT_ONCE) break
        below.push({ log: this.id, baseOffset: baseOffsetOf(stored), bytes: null })
      }
      if (below.length === 0) return
      await this.storage.write(below, [])
    }
  }

  private check(offset: number): void {
    if (this.removed) throw new FreshetError('TOPIC_MISSING', `${this.name} has been removed`)
    if (offset < this.start)
      throw new FreshetError(
        'POSITION_LOST',
        `position ${offset} of ${this.name} is below the log's start ${this.start}: ${this.start - offset} offsets were deleted unread (retention or trim)`,
        undefined,
        this.at,
      )
    if (offset > this.highWatermark)
      throw new FreshetError(
        'POSITION_LOST',
        `position ${offset} of ${this.name} is beyond its end ${this.highWatermark}: was the topic made anew?`,
        undefined,
        this.at,
      )
  }

  /** Checks a batch against its producer's state and takes it in; the offset of the first one if it is a repetition. */
  private remember(batch: Buffer, producerId: bigint, count: number): number | undefined {
    const epoch = batch.readInt16BE(PRODUCER_EPOCH)
    const sequence = batch.readInt32BE(BASE_SEQUENCE)
    const remembered: Remembered = [sequence, count, this.next]
    const known = this.producers.get(producerId)
    if (known === undefined) {
      this.producers.set(producerId, { epoch, batches: [remembered] })
      return undefined
    }
    if (epoch < known.epoch)
      throw this.fenced(producerId, epoch, `epoch ${known.epoch} has written`)
    if (epoch > known.epoch) {
      if (sequence !== 0)
        throw this.fenced(producerId, epoch, `a new epoch begins at sequence 0, not ${sequence}`)
      known.epoch = epoch
      known.batches = [remembered]
      return undefined
    }
    for (const [first, n, offset] of known.batches)
      if (first === sequence && n === count) return offset
    const [last, lastCount] = known.batches[known.batches.length - 1]
    const expected = (last + lastCount) % SEQUENCES
    if (sequence !== expected)
      throw this.fenced(
        producerId,
        epoch,
        `sequence ${expected} was expected, ${sequence} came (out of order)`,
      )
    known.batches.push(remembered)
    if (known.batches.length > REMEMBERED) known.batches.shift()
    return undefined
  }

  private fenced(producerId: bigint, epoch: number, why: string): FreshetError {
    return new FreshetError(
      'FENCED',
      `producer ${producerId} epoch ${epoch} is refused on ${this.name}: ${why}`,
    )
  }

  /** Resolves when the batch at `baseOffset` is committed. */
  private async committed(baseOffset: number): Promise<void> {
    // writes commit in order: one made now comes after it
    if (baseOffset >= this.highWatermark) await this.storage.write([], [this.document()])
  }

  private document(): { name: string; value: LogDocument } {
    const producers = [...this.producers].map(([id, { epoch, batches }]): [string, Producer] => [
      String(id),
      { epoch, batches },
    ])
    return { name: this.documentName, value: { start: this.start, next: this.next, producers } }
  }
}

/** One past the last offset of a stored batch. */
export function nextOffsetOf(batch: Buffer): number {
  return baseOffsetOf(batch) + batch.readInt32BE(LAST_OFFSET_DELTA) + 1
}

/**
 * One partition as a broker keeps it. What was reproduced on Kafka stands here as rules:
 *
 *  - B1 Per producer id: an older epoch is refused, a new epoch begins at sequence 0, a sequence follows the last one. One
 *       of the last 5 batches again (same epoch, sequence, count) is acknowledged with the first one's offset, whoever
 *       wrote it. A producer id that is not known may begin anywhere.
 *  - B2 A producer id whose newest batch is dated `expiryMs` ago is forgotten, its fence with it.
 *  - B3 What was appended is readable once it is replicated (high watermark). A change of leaders loses what is not, and
 *       whoever waits for its acknowledgement is told to try again.
 *  - B4 The cleaner keeps the newest record of a key below the active segment, at its offset; batches keep their bounds and
 *       their producer; one that is empty goes unless it is its producer's last; a tombstone goes `tombstonesMs` after the
 *       first pass that met it. The active segment (at least the last batch) is never touched.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { FetchedBatch, LogRecord, TopicPartition } from '../../streams/transport/port.ts'
import {
  BASE_OFFSET,
  BASE_SEQUENCE,
  COUNT,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  readInt64,
  writeInt64,
} from '../../streams/transport/record-batch/layout.ts'
import { decodeRecordSet } from '../../streams/transport/record-batch.ts'
import { TRY_AGAIN } from './network.ts'

export interface BrokerRules {
  /** Off: a planted fault, every epoch is let in at any sequence. */
  fence: boolean
  expiryMs: number
  tombstonesMs: number
}

interface Producer {
  epoch: number
  lastTimestamp: number
  batches: { sequence: number; count: number; base: number }[]
}

interface Pending {
  readonly base: number
  readonly next: number
  readonly undo: (() => void) | undefined
  readonly answer: (baseOffset: number) => void
  readonly refuse: (error: unknown) => void
}

const REMEMBERED = 5
const MAX_BYTES = 8 * 1024 * 1024

export class BrokerLog {
  readonly at: TopicPartition
  readonly name: string
  start = 0
  /** End of what is replicated. */
  highWatermark = 0
  /** In log order; what stands above the high watermark is not readable yet. */
  batches: FetchedBatch[] = []
  private next = 0
  private readonly rules: BrokerRules
  private readonly producers = new Map<bigint, Producer>()
  private pending: Pending[] = []
  private readonly horizons = new WeakMap<LogRecord, number>()
  private readonly onReadable: (log: BrokerLog, batch: FetchedBatch) => void

  constructor(
    at: TopicPartition,
    rules: BrokerRules,
    onReadable: (log: BrokerLog, batch: FetchedBatch) => void,
  ) {
    this.at = at
    this.name = `${at.topic}-${at.partition}`
    this.rules = rules
    this.onReadable = onReadable
  }

  /** Takes a stamped batch in, or refuses it. The caller replicates, now or later; only then is it acknowledged. */
  append(
    bytes: Buffer,
    nowMs: number,
    answer: (baseOffset: number) => void,
    refuse: (error: unknown) => void,
  ): void {
    if (bytes.length > MAX_BYTES) {
      const what = `a batch of ${bytes.length} bytes for ${this.name}`
      refuse(new FreshetError('ROW_TOO_LARGE', what))
      return
    }
    const count = bytes.readInt32BE(COUNT)
    const producerId = bytes.readBigInt64BE(PRODUCER_ID)
    const epoch = bytes.readInt16BE(PRODUCER_EPOCH)
    let undo: (() => void) | undefined
    if (producerId >= 0n) {
      this.expire(nowMs)
      const sequence = bytes.readInt32BE(BASE_SEQUENCE)
      const known = this.producers.get(producerId)
      const wrong = known && this.refusal(known, epoch, sequence, count)
      if (typeof wrong === 'string') {
        const who = `producer ${producerId} epoch ${epoch} sequence ${sequence}`
        refuse(new FreshetError('FENCED', `${who} is refused on ${this.name}: ${wrong}`))
        return
      }
      if (wrong !== undefined) {
        if (wrong < this.highWatermark) answer(wrong)
        else
          this.pending.push({ base: wrong, next: wrong + count, undo: undefined, answer, refuse })
        return
      }
      const entry = { sequence, count, base: this.next }
      const kept = known?.epoch === epoch ? known.batches.slice(1 - REMEMBERED) : []
      const lastTimestamp = readInt64(bytes, MAX_TIMESTAMP)
      this.producers.set(producerId, { epoch, lastTimestamp, batches: [...kept, entry] })
      undo = () => {
        if (known) this.producers.set(producerId, known)
        else this.producers.delete(producerId)
      }
    }
    writeInt64(bytes, this.next, BASE_OFFSET)
    const { topic, partition } = this.at
    this.batches.push(decodeRecordSet(bytes, topic, partition, 0).batches[0])
    const base = this.next
    this.next += count
    this.pending.push({ base, next: this.next, undo, answer, refuse })
  }

  /** What an outside producer wrote, without idempotence: one batch, readable at once. */
  appendOutside(records: readonly Omit<LogRecord, 'offset'>[]): void {
    const { topic, partition } = this.at
    const baseOffset = this.next
    this.next += records.length
    this.batches.push({
      topic,
      partition,
      baseOffset,
      nextOffset: this.next,
      producerId: -1n,
      producerEpoch: -1,
      records: records.map((record, i) => ({ ...record, offset: baseOffset + i })),
    })
    this.pending.push({
      base: baseOffset,
      next: this.next,
      undo: undefined,
      answer: () => undefined,
      refuse: () => undefined,
    })
    this.replicate()
  }

  /** The refusal in words; or the offset of the batch that this one repeats; or undefined for a good new one. */
  private refusal(
    known: Producer,
    epoch: number,
    sequence: number,
    count: number,
  ): string | number | undefined {
    if (!this.rules.fence && epoch !== known.epoch) return undefined
    if (epoch < known.epoch) return `epoch ${known.epoch} has written`
    if (epoch > known.epoch) return sequence === 0 ? undefined : 'a new epoch begins at sequence 0'
    for (const one of known.batches)
      if (one.sequence === sequence && one.count === count) return one.base
    const last = known.batches[known.batches.length - 1]
    const expected = last.sequence + last.count
    return sequence === expected ? undefined : `sequence ${expected} was expected`
  }

  private expire(nowMs: number): void {
    for (const [id, { lastTimestamp }] of this.producers)
      if (nowMs - lastTimestamp >= this.rules.expiryMs) this.producers.delete(id)
  }

  /** All that was appended is on the replicas: readable, acknowledged. */
  replicate(): void {
    const before = this.highWatermark
    this.highWatermark = this.next
    let i = this.batches.length
    while (i > 0 && this.batches[i - 1].baseOffset >= before) i--
    const acknowledged = this.pending
    this.pending = []
    for (; i < this.batches.length; i++) this.onReadable(this, this.batches[i])
    for (const { base, answer } of acknowledged) answer(base)
  }

  get unreplicated(): boolean {
    return this.highWatermark < this.next
  }

  /** Another broker leads: what was not replicated is gone, and of each producer only the last batch is remembered. */
  changeLeader(): void {
    for (const { undo } of [...this.pending].reverse()) undo?.()
    while (this.batches.at(-1) && (this.batches.at(-1)?.baseOffset ?? 0) >= this.highWatermark)
      this.batches.pop()
    this.next = this.highWatermark
    const refused = this.pending
    this.pending = []
    for (const producer of this.producers.values()) producer.batches = producer.batches.slice(-1)
    for (const { refuse } of refused) refuse(TRY_AGAIN)
  }

  /** Whole batches from `offset` on, `limit` of them. Errors: POSITION_LOST outside of the log. */
  read(offset: number, limit: number): { batches: FetchedBatch[]; nextOffset: number } {
    if (offset < this.start || offset > this.highWatermark)
      throw new FreshetError(
        'POSITION_LOST',
        `${this.name}: position ${offset} is outside of ${this.start} to ${this.highWatermark}`,
        undefined,
        this.at,
      )
    const batches: FetchedBatch[] = []
    let nextOffset = offset
    for (let i = this.indexOf(offset); i < this.batches.length && batches.length < limit; i++) {
      const batch = this.batches[i]
      if (batch.baseOffset >= this.highWatermark) break
      nextOffset = batch.nextOffset
      batches.push(
        batch.baseOffset >= offset
          ? batch
          : { ...batch, records: batch.records.filter(record => record.offset >= offset) },
      )
    }
    // the cleaner may have left nothing up to the end
    if (batches.length < limit && nextOffset < this.highWatermark) nextOffset = this.highWatermark
    return { batches, nextOffset }
  }

  /** The first batch that ends behind `offset`. */
  private indexOf(offset: number): number {
    let low = 0
    let high = this.batches.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.batches[middle].nextOffset <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** DeleteRecords. Errors: CALL_INVALID beyond the end. */
  trim(before: number): void {
    if (before > this.highWatermark)
      throw new FreshetError('CALL_INVALID', `${this.name} ends at ${this.highWatermark}`)
    if (before <= this.start) return
    this.start = before
    this.batches = this.batches.filter(batch => batch.nextOffset > before)
  }

  /** One pass of the cleaner over all but the last `active` batches. */
  compact(active: number, nowMs: number): void {
    let end = this.batches.length - Math.max(1, active)
    while (end > 0 && this.batches[end - 1].nextOffset > this.highWatermark) end--
    if (end <= 0) return
    const newest = new Map<string, number>()
    for (let i = 0; i < end; i++)
      for (const { key, offset } of this.batches[i].records)
        if (key !== null) newest.set(key.toString('latin1'), offset)
    const lastOf = new Map<bigint, number>()
    for (const batch of this.batches) lastOf.set(batch.producerId, batch.baseOffset)
    const cleaned: FetchedBatch[] = []
    for (let i = 0; i < end; i++) {
      const batch = this.batches[i]
      const records = batch.records.filter(record => this.stays(record, newest, nowMs))
      if (records.length > 0 || lastOf.get(batch.producerId) === batch.baseOffset)
        cleaned.push(records.length === batch.records.length ? batch : { ...batch, records })
    }
    this.batches = [...cleaned, ...this.batches.slice(end)]
  }

  private stays(record: LogRecord, newest: ReadonlyMap<string, number>, nowMs: number): boolean {
    if (record.key === null) return true
    if (newest.get(record.key.toString('latin1')) !== record.offset) return false
    if (record.value !== null) return true
    const horizon = this.horizons.get(record)
    if (horizon === undefined) this.horizons.set(record, nowMs + this.rules.tombstonesMs)
    return horizon === undefined || horizon > nowMs
  }
}

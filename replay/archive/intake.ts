/**
 * The log's records in the order in which the archive takes them: of all partitions' next records the oldest, by the record's
 * timestamp; equal ones by the order of topics, then by partition. A partition that has more on the log than has come is
 * waited for, so the order of what is there already depends on the log alone; one that is at its end is not waited for.
 */
import type { Clock } from '../../streams/clock.ts'
import type {
  FetchedBatch,
  LogReader,
  LogRecord,
  TopicPartition,
} from '../../streams/transport/port.ts'
import { Heads } from './merge.ts'

/** What may wait in all partitions together before those that have most are paused. */
const WAITING_BYTES = 128 << 20
/** One answer of a broker for one partition may be so large. */
const LEAST_BYTES = 2 << 20
/** A partition below its end from which nothing comes for so long is held back by an open transaction. */
const PATIENCE_MS = 10_000

export interface IntakePartition {
  readonly at: TopicPartition
  readonly start: number
  /** Of a run that ends: where this partition's does. */
  readonly end: number
}

class Part {
  key = 0
  readonly rank: number
  readonly at: TopicPartition
  readonly end: number
  /** Where the next batch begins. */
  fetched: number
  /** Below it all were taken, or are not there. */
  taken: number
  readonly batches: FetchedBatch[] = []
  index = 0
  bytes = 0
  isPaused = false
  isHead = false
  movedAt: number

  constructor({ at, start, end }: IntakePartition, rank: number, now: number) {
    this.at = at
    this.rank = rank
    this.fetched = start
    this.taken = start
    this.end = end
    this.movedAt = now
  }

  /** Passes over what has no records; false: nothing waits. */
  find(): boolean {
    while (this.batches.length > 0) {
      const [batch] = this.batches
      if (this.index < batch.records.length) {
        this.key = batch.records[this.index].timestamp
        return true
      }
      this.taken = batch.nextOffset
      this.bytes -= bytesOf(batch)
      this.batches.shift()
      this.index = 0
    }
    return false
  }
}

export class Intake {
  private readonly reader: LogReader
  private readonly clock: Clock
  private readonly follow: boolean
  private readonly parts: readonly Part[]
  private readonly byName = new Map<string, Part>()
  private readonly heads = new Heads<Part>()
  private readonly mostBytes: number

  constructor(
    reader: LogReader,
    partitions: readonly IntakePartition[],
    options: { readonly clock: Clock; readonly follow: boolean },
  ) {
    this.reader = reader
    this.clock = options.clock
    this.follow = options.follow
    this.parts = partitions.map((one, rank) => new Part(one, rank, this.clock.now()))
    this.mostBytes = Math.max(LEAST_BYTES, WAITING_BYTES / Math.max(1, partitions.length))
    for (const part of this.parts) {
      this.byName.set(nameOf(part.at), part)
      // a batch that is damaged must not be kept for good
      if (!this.isOver(part)) reader.assign(part.at, part.fetched, true)
    }
  }

  /** A run that ends has come to its end, or as far as it gets: partitions that are held back are named by `heldBack`. */
  get isDone(): boolean {
    if (this.follow || this.heads.top !== undefined) return false
    return this.parts.every(part => this.isOver(part) || this.isStuck(part))
  }

  /** Of a run that ends: partitions below their end from which nothing came. */
  heldBack(): { at: TopicPartition; taken: number; end: number }[] {
    if (this.follow) return []
    return this.parts
      .filter(part => part.taken < part.end)
      .map(({ at, taken, end }) => ({ at, taken, end }))
  }

  /** How far each partition was taken, in the order given at the start. */
  positions(): number[] {
    return this.parts.map(part => part.taken)
  }

  /** Waits for batches, up to `maxWaitMs`. `isOutage`: it is known why nothing comes. */
  async poll(maxWaitMs: number, isOutage: () => boolean): Promise<void> {
    const now = this.clock.now()
    for (const batch of await this.reader.poll(maxWaitMs)) {
      const part = this.byName.get(nameOf(batch))
      if (part === undefined) continue
      part.movedAt = this.clock.now()
      part.fetched = batch.nextOffset
      part.batches.push(batch)
      part.bytes += bytesOf(batch)
    }
    const excused = isOutage()
    for (const part of this.parts) {
      if (excused || this.isAtEnd(part)) part.movedAt = Math.max(part.movedAt, now)
      if (!part.isHead && part.find()) this.enter(part)
      if (this.isOver(part)) this.reader.unassign(part.at)
      else this.pauseWhereFull(part)
    }
  }

  /**
   * Hands over records as long as the oldest is known, and `may`; true: it was `may` that ended it. `rank`: the partition's place
   * in the order given.
   */
  take(take: (rank: number, record: LogRecord) => void, may: () => boolean): boolean {
    const { heads } = this
    if (this.isWaiting()) return false
    for (let part = heads.top; part !== undefined && may(); part = heads.top) {
      const { records } = part.batches[0]
      do {
        const record = records[part.index++]
        part.taken = record.offset + 1
        take(part.rank, record)
      } while (part.index < records.length && heads.stays(records[part.index].timestamp))
      if (part.find()) heads.sink()
      else {
        heads.pop()
        part.isHead = false
        this.pauseWhereFull(part)
        if (this.isBehind(part)) return false
      }
    }
    return heads.top !== undefined
  }

  private enter(part: Part): void {
    part.isHead = true
    this.heads.push(part)
  }

  private isWaiting(): boolean {
    return this.parts.some(part => !part.isHead && this.isBehind(part))
  }

  /** More of it is on the log, and it will come. */
  private isBehind(part: Part): boolean {
    return !this.isOver(part) && !this.isAtEnd(part) && !this.isStuck(part)
  }

  private isOver(part: Part): boolean {
    return !this.follow && part.fetched >= part.end
  }

  private isAtEnd(part: Part): boolean {
    if (!this.follow) return part.fetched >= part.end
    const end = this.reader.highWatermark(part.at)
    return end !== undefined && part.fetched >= end
  }

  private isStuck(part: Part): boolean {
    return !part.isPaused && this.clock.now() - part.movedAt > PATIENCE_MS
  }

  private pauseWhereFull(part: Part): void {
    const isFull = part.bytes > (part.isPaused ? this.mostBytes / 4 : this.mostBytes)
    if (isFull === part.isPaused) return
    part.isPaused = isFull
    if (isFull) this.reader.pause(part.at)
    else {
      part.movedAt = this.clock.now()
      this.reader.resume(part.at)
    }
  }
}

const nameOf = (at: TopicPartition): string => `${at.topic}-${at.partition}`

function bytesOf(batch: FetchedBatch): number {
  let bytes = 0
  for (const { key, value } of batch.records)
    bytes += 100 + (key?.length ?? 0) + (value?.length ?? 0)
  return bytes
}

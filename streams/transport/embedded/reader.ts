/** Reads many embedded partitions in turn. `poll` wakes when something is appended; nothing is buffered beyond a poll. */
import type { FetchedBatch, LogReader, TopicPartition } from '../port.ts'
import type { PartitionLog } from './partition-log.ts'
import type { WakeUp } from './wake.ts'

const PARTITION_BYTES = 1 << 20
const POLL_BYTES = 4 << 20

interface Assigned {
  readonly at: TopicPartition
  position: number
  paused: boolean
  highWatermark: number | undefined
}

export class EmbeddedReader implements LogReader {
  private readonly assigned = new Map<string, Assigned>()
  /** The partition that was read first stands last in the next poll, so that a busy one starves nobody. */
  private turn = 0
  private closed = false
  private readonly logAt: (at: TopicPartition) => PartitionLog
  private readonly news: WakeUp

  constructor(logAt: (at: TopicPartition) => PartitionLog, news: WakeUp) {
    this.logAt = logAt
    this.news = news
  }

  assign(at: TopicPartition, offset: number): void {
    const fresh = { at, position: offset, paused: false, highWatermark: undefined }
    this.assigned.set(keyOf(at), fresh)
    this.news.wake()
  }

  unassign(at: TopicPartition): void {
    this.assigned.delete(keyOf(at))
  }

  pause(at: TopicPartition): void {
    this.setPaused(at, true)
  }

  resume(at: TopicPartition): void {
    this.setPaused(at, false)
    this.news.wake()
  }

  async poll(maxWaitMs: number): Promise<FetchedBatch[]> {
    const deadline = performance.now() + maxWaitMs
    for (;;) {
      if (this.closed) return []
      const batches = this.take()
      const leftMs = deadline - performance.now()
      if (batches.length > 0 || leftMs <= 0) return batches
      await this.news.wait(leftMs)
    }
  }

  highWatermark(at: TopicPartition): number | undefined {
    const assigned = this.assigned.get(keyOf(at))
    if (assigned?.highWatermark === undefined) return undefined
    return this.logAt(at).highWatermark
  }

  async close(): Promise<void> {
    this.closed = true
    this.assigned.clear()
    this.news.wake()
  }

  private setPaused(at: TopicPartition, paused: boolean): void {
    const assigned = this.assigned.get(keyOf(at))
    if (assigned !== undefined) assigned.paused = paused
  }

  private take(): FetchedBatch[] {
    const partitions = [...this.assigned.values()]
    const batches: FetchedBatch[] = []
    let bytes = 0
    for (let i = 0; i < partitions.length && bytes < POLL_BYTES; i++) {
      const partition = partitions[(i + this.turn) % partitions.length]
      if (partition.paused) continue
      const log = this.logAt(partition.at)
      partition.highWatermark = log.highWatermark
      const read = log.read(partition.position, PARTITION_BYTES)
      partition.position = read.nextOffset
      if (read.batches.length > 0) bytes += PARTITION_BYTES
      for (const batch of read.batches) batches.push(batch)
    }
    this.turn++
    return batches
  }
}

const keyOf = (at: TopicPartition): string => `${at.topic}-${at.partition}`

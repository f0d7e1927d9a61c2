/** Fetched batches of one task's co-partitioned topics, taken record by record in order of record timestamp. */
import type { FetchedBatch, LogRecord } from '../transport/port.ts'

interface TopicQueue {
  readonly topic: string
  readonly batches: FetchedBatch[]
  index: number
}

export class InputQueue {
  private readonly queues: TopicQueue[] = []
  private waiting = 0
  private waitingBytes = 0

  /** Records that wait. */
  get size(): number {
    return this.waiting
  }

  /** What their values hold. */
  get bytes(): number {
    return this.waitingBytes
  }

  add(batch: FetchedBatch): void {
    let queue = this.queues.find(q => q.topic === batch.topic)
    if (!queue) {
      queue = { topic: batch.topic, batches: [], index: 0 }
      this.queues.push(queue)
    }
    queue.batches.push(batch)
    this.waiting += batch.records.length
    for (const { value } of batch.records) if (value) this.waitingBytes += value.length
  }

  /**
   * The queue whose head record is the oldest; ends of batches are told through `passed` (a position may lie behind the
   * last record). undefined: nothing waits.
   */
  head(passed: (topic: string, nextOffset: number) => void): TopicQueue | undefined {
    let best: TopicQueue | undefined
    let bestTs = 0
    for (const queue of this.queues) {
      while (queue.batches.length > 0 && queue.index >= queue.batches[0].records.length) {
        passed(queue.topic, queue.batches[0].nextOffset)
        queue.batches.shift()
        queue.index = 0
      }
      if (queue.batches.length === 0) continue
      const { timestamp } = queue.batches[0].records[queue.index]
      if (best === undefined || timestamp < bestTs) {
        best = queue
        bestTs = timestamp
      }
    }
    return best
  }

  record(queue: TopicQueue): LogRecord {
    return queue.batches[0].records[queue.index]
  }

  taken(queue: TopicQueue): void {
    this.waitingBytes -= this.record(queue).value?.length ?? 0
    queue.index++
    this.waiting--
  }

  clear(): void {
    this.queues.length = 0
    this.waiting = 0
    this.waitingBytes = 0
  }
}

/** Purges a task's delta partition below what the task has committed: those packets are never read again (C4). */
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { TopicAdmin, TopicPartition } from '../transport/port.ts'

const TRIM_MS = 30_000

export class DeltaTrim {
  private readonly at: TopicPartition
  private readonly around: { topics: Pick<TopicAdmin, 'trim'>; clock: Clock; log: Logger }
  private lastAt = 0
  private trimmedTo = 0

  constructor(at: TopicPartition, around: DeltaTrim['around']) {
    this.at = at
    this.around = around
  }

  /** `position` is committed: it stands in an acknowledged commit record. A trim that fails is tried again later. */
  below(position: number | undefined): void {
    const { topics, clock, log } = this.around
    const now = clock.now()
    if (position === undefined || position <= this.trimmedTo || now - this.lastAt < TRIM_MS) return
    this.lastAt = now
    const { topic, partition } = this.at
    topics.trim(this.at, position).then(
      () => {
        this.trimmedTo = position
      },
      error => log.warn({ topic, partition }, `deltas not trimmed: ${messageOf(error)}`),
    )
  }
}

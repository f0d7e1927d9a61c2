/**
 * The fenced writer: one producer id and epoch, sequences per partition from 0, one request in flight. Idempotence
 * without transactions is the fence (KIP-360: a newer epoch of the same producer id refuses the older ones on every
 * partition where it has written).
 *
 * A batch is to be dated by the clock, never by event time: brokers forget a producer once the newest record date they
 * have of it is older than `producer.id.expiration.ms` (a day), and with it the fence and the memory of what was already
 * written. Measured with batches two days old: after a broker's restart a resend is written twice.
 */
import { FreshetError } from '../../errors.ts'
import type { FencedWriter, TopicPartition } from '../port.ts'
import type { UnstampedBatch } from '../record-batch.ts'
import { type Cluster, nameOf } from './cluster.ts'
import { codeName, MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, refusal } from './codes.ts'
import { type Outcome, produceAll } from './produce.ts'
import type { ProducePart } from './protocol.ts'

interface Part {
  readonly at: TopicPartition
  readonly batch: UnstampedBatch
}

/** Kafka's sequences run to 2^31 - 1, then from 0. */
export const nextSequence = (sequence: number, count: number): number =>
  (sequence + count) % 2147483648

export class KafkaFencedWriter implements FencedWriter {
  readonly producerId: bigint
  readonly epoch: number
  private readonly deadlineMs: number
  private readonly cluster: Cluster
  private readonly sequences = new Map<string, number>()
  private last: Promise<unknown> = Promise.resolve()
  private dead: FreshetError | undefined

  constructor(
    cluster: Cluster,
    identity: { producerId: bigint; epoch: number; deadlineMs: number },
  ) {
    this.cluster = cluster
    this.producerId = identity.producerId
    this.epoch = identity.epoch
    this.deadlineMs = identity.deadlineMs
  }

  append(at: TopicPartition, batch: UnstampedBatch): Promise<{ baseOffset: number }> {
    return this.queue(async () => {
      const [baseOffset] = await this.write([{ at, batch }])
      return { baseOffset }
    })
  }

  appendAll(parts: readonly Part[]): Promise<void> {
    if (new Set(parts.map(part => nameOf(part.at))).size < parts.length)
      throw new FreshetError('BUG', 'appendAll takes one batch a partition')
    return this.queue(async () => {
      if (parts.length > 0) await this.write(parts)
    })
  }

  private queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work)
    this.last = result.catch(() => undefined)
    return result
  }

  private async write(parts: readonly Part[]): Promise<number[]> {
    if (this.dead) throw this.dead
    const stamped: ProducePart[] = parts.map(({ at, batch }) => ({
      topic: at.topic,
      partition: at.partition,
      bytes: batch.stamp(this.producerId, this.epoch, this.sequences.get(nameOf(at)) ?? 0),
    }))
    const { clock } = this.cluster.context
    try {
      const outcomes = await produceAll(this.cluster, stamped, clock.now() + this.deadlineMs)
      return outcomes.map((outcome, i) => this.settle(parts[i], outcome))
    } catch (error) {
      this.dead =
        error instanceof FreshetError
          ? error
          : new FreshetError('BUG', `appending to ${nameOf(parts[0].at)} failed`, error)
      throw this.dead
    }
  }

  private settle({ at, batch }: Part, outcome: Outcome): number {
    const where = `appending ${batch.count} records (${batch.sizeBytes} bytes) to ${nameOf(at)} as producer ${this.producerId} epoch ${this.epoch}`
    switch (outcome.kind) {
      case 'written': {
        const sequence = this.sequences.get(nameOf(at)) ?? 0
        this.sequences.set(nameOf(at), nextSequence(sequence, batch.count))
        return outcome.baseOffset
      }
      case 'fenced':
        throw new FreshetError(
          'FENCED',
          `${where} was refused (${outcome.code}): a newer owner writes there; drop the task and claim it again`,
        )
      case 'unknown':
        throw new FreshetError(
          'STALLED',
          `${where} had no answer within ${this.deadlineMs} ms (${outcome.lastError}): whether it was written is unknown`,
        )
      case 'refused':
        if (outcome.code === MESSAGE_TOO_LARGE || outcome.code === RECORD_LIST_TOO_LARGE)
          throw new FreshetError(
            'ROW_TOO_LARGE',
            `${where}: ${codeName(outcome.code)}; raise the topic's max.message.bytes or cut the batch smaller`,
          )
        throw refusal(outcome.code, where)
    }
  }
}

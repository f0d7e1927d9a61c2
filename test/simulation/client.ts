/** The transport port over the virtual cluster: what one process has of it. Its Kafka likeness is `streams/transport/kafka/`. */
import { FreshetError } from '../../streams/errors.ts'
import { partitionOf } from '../../streams/serde/hash.ts'
import type {
  FencedWriter,
  GroupSpec,
  LogReader,
  Membership,
  OutsideRecord,
  Publisher,
  ReadResult,
  TopicAdmin,
  TopicPartition,
  TopicSpec,
  Transport,
} from '../../streams/transport/port.ts'
import type { UnstampedBatch } from '../../streams/transport/record-batch.ts'
import type { Broker } from './broker.ts'
import { VirtualMembership } from './membership.ts'
import type { Network } from './network.ts'
import type { VirtualProcess } from './process.ts'
import { VirtualReader } from './reader.ts'
import type { Rng } from './rng.ts'

export interface Surroundings {
  readonly process: VirtualProcess
  readonly broker: Broker
  readonly network: Network
  readonly rng: Rng
  /** Time flies: idle waits are this many times longer, until `onGapEnd` calls. */
  readonly stretch: () => number
  readonly onGapEnd: (wake: () => void) => void
  /** C6: what is told to the group. */
  readonly onOffsets: (at: TopicPartition, offset: number) => void
}

export class VirtualTransport implements Transport {
  readonly name = 'kafka'
  readonly topics: TopicAdmin
  private readonly around: Surroundings

  constructor(around: Surroundings) {
    this.around = around
    this.topics = topicAdmin(around)
  }

  read(at: TopicPartition, offset: number): Promise<ReadResult> {
    const { process, network, broker, rng } = this.around
    const limit = rng.chance(0.3) ? rng.int(1, 4) : 64
    return network.ask(process, 'log', 'read', () => {
      const log = broker.log(at)
      const { highWatermark, start: logStart } = log
      return { ...log.read(offset, limit), highWatermark, logStart }
    })
  }

  reader(): LogReader {
    return new VirtualReader(this.around)
  }

  newProducerId(): Promise<bigint> {
    const { process, network, broker } = this.around
    return network.ask(process, 'log', 'pid', () => broker.newProducerId())
  }

  writer(identity: { producerId: bigint; epoch: number; deadlineMs: number }): FencedWriter {
    return new VirtualWriter(this.around, identity)
  }

  publisher(): Publisher {
    return new VirtualPublisher(this.around)
  }

  async join(group: GroupSpec): Promise<Membership> {
    return new VirtualMembership(this.around, group)
  }

  waiting(): undefined {
    return undefined
  }

  async close(): Promise<void> {}
}

function topicAdmin({ process, network, broker }: Surroundings): TopicAdmin {
  return {
    describe: names => network.ask(process, 'log', 'describe', () => broker.describe(names)),
    create: async (specs: readonly TopicSpec[]) => {
      for (const spec of specs)
        await network.persist<void>(process, 'log', 'create', answer => {
          broker.create(spec)
          answer(undefined)
        })
    },
    remove: () => Promise.reject(new FreshetError('CALL_INVALID', 'no topic is removed here')),
    offsets: at =>
      network.ask(process, 'log', 'offsets', () =>
        at.map(one => {
          const { start, highWatermark: end } = broker.log(one)
          return { start, end }
        }),
      ),
    trim: (at, before) =>
      network.persist<void>(process, 'log', 'trim', (answer, refuse) => {
        try {
          broker.log(at).trim(before)
          answer(undefined)
        } catch (error) {
          refuse(error)
        }
      }),
    offsetAt: () => Promise.reject(new FreshetError('CALL_INVALID', 'nobody asks by time here')),
  }
}

/** One request in flight; the same bytes again until acknowledged or refused; dead after the deadline. */
class VirtualWriter implements FencedWriter {
  readonly producerId: bigint
  readonly epoch: number
  private readonly deadlineMs: number
  private readonly around: Surroundings
  private readonly sequences = new Map<string, number>()
  private last: Promise<unknown> = Promise.resolve()
  private dead: unknown

  constructor(
    around: Surroundings,
    identity: { producerId: bigint; epoch: number; deadlineMs: number },
  ) {
    this.around = around
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

  appendAll(parts: readonly { at: TopicPartition; batch: UnstampedBatch }[]): Promise<void> {
    return this.queue(async () => {
      if (parts.length > 0) await this.write(parts)
    })
  }

  private queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work)
    this.last = result.catch(() => undefined)
    return result
  }

  private async write(
    parts: readonly { at: TopicPartition; batch: UnstampedBatch }[],
  ): Promise<number[]> {
    if (this.dead !== undefined) throw this.dead
    try {
      return await Promise.all(parts.map(({ at, batch }) => this.one(at, batch)))
    } catch (error) {
      this.dead ??= error
      throw this.dead
    }
  }

  private async one(at: TopicPartition, batch: UnstampedBatch): Promise<number> {
    const { process, network, broker } = this.around
    const name = `${at.topic}-${at.partition}`
    const sequence = this.sequences.get(name) ?? 0
    const bytes = batch.stamp(this.producerId, this.epoch, sequence)
    const baseOffset = await network.persist<number>(
      process,
      'log',
      'append',
      // each arrival is bytes of its own, as they are on a wire
      (answer, refuse) => broker.produce(at, Buffer.from(bytes), answer, refuse),
      {
        atMs: process.clock.now() + this.deadlineMs,
        late: () => new FreshetError('STALLED', `appending to ${name}: no answer in time`),
      },
    )
    this.sequences.set(name, sequence + batch.count)
    return baseOffset
  }
}

/** Outside topics: at least once. */
class VirtualPublisher implements Publisher {
  private readonly around: Surroundings

  constructor(around: Surroundings) {
    this.around = around
  }

  async send(topic: string, records: readonly OutsideRecord[]): Promise<void> {
    const { process, network, broker } = this.around
    await network.persist<void>(process, 'log', 'publish', answer => {
      const logs = broker.logs(topic)
      for (const record of records) {
        const partition =
          record.partition ?? (record.key ? partitionOf(record.key, logs.length) : 0)
        logs[partition].appendOutside([
          {
            timestamp: process.clock.now(),
            key: record.key,
            value: record.value,
            headers: Object.entries(record.headers ?? {}).map(([key, value]) => ({
              key,
              value: Buffer.from(value),
            })),
          },
        ])
      }
      answer(undefined)
    })
  }

  async close(): Promise<void> {}
}

/** The cluster: topics, their partitions' logs, producer ids, and the group's coordinator. */
import { FreshetError } from '../../streams/errors.ts'
import type { FetchedBatch, TopicPartition, TopicSpec } from '../../streams/transport/port.ts'
import { BrokerLog, type BrokerRules } from './broker-log.ts'
import { Coordinator } from './coordinator.ts'
import type { Rng } from './rng.ts'
import type { Scheduler } from './scheduler.ts'

export class Broker {
  readonly coordinator: Coordinator
  readonly scheduler: Scheduler
  readonly rules: BrokerRules
  /** Of an append whose replication takes a moment. */
  slowReplicas = 0
  /** Told of each batch once it is readable, in order. */
  onReadable: (log: BrokerLog, batch: FetchedBatch) => void = () => undefined
  private readonly rng: Rng
  private readonly topics = new Map<string, BrokerLog[]>()
  private readonly watchers = new Map<string, Set<() => void>>()
  private producerIds = 0n

  constructor(scheduler: Scheduler, rng: Rng, rules: BrokerRules) {
    this.scheduler = scheduler
    this.rng = rng
    this.rules = rules
    this.coordinator = new Coordinator(scheduler)
  }

  describe(names: readonly string[]): Map<string, { partitions: number }> {
    return new Map(
      names.flatMap(name => {
        const logs = this.topics.get(name)
        return logs ? [[name, { partitions: logs.length }] as const] : []
      }),
    )
  }

  create({ topic, partitions }: TopicSpec): void {
    if (this.topics.has(topic)) return
    const readable = (log: BrokerLog, batch: FetchedBatch): void => {
      this.onReadable(log, batch)
      for (const wake of this.watchers.get(log.name) ?? []) wake()
    }
    this.topics.set(
      topic,
      Array.from(
        { length: partitions },
        (_, partition) => new BrokerLog({ topic, partition }, this.rules, readable),
      ),
    )
  }

  log({ topic, partition }: TopicPartition): BrokerLog {
    const log = this.topics.get(topic)?.[partition]
    if (!log) throw new FreshetError('TOPIC_MISSING', `there is no ${topic}-${partition}`)
    return log
  }

  logs(topic: string): readonly BrokerLog[] {
    return this.topics.get(topic) ?? []
  }

  all(): BrokerLog[] {
    return [...this.topics.values()].flat()
  }

  newProducerId(): bigint {
    return ++this.producerIds
  }

  /** A produce request for one partition. */
  produce(
    at: TopicPartition,
    bytes: Buffer,
    answer: (baseOffset: number) => void,
    refuse: (error: unknown) => void,
  ): void {
    const log = this.log(at)
    log.append(bytes, this.scheduler.now, answer, refuse)
    if (!this.rng.chance(this.slowReplicas)) log.replicate()
    else if (log.unreplicated)
      this.scheduler.after(this.rng.int(1, 60), 'replicas', undefined, () => log.replicate())
  }

  /** Calls `wake` whenever something becomes readable there. */
  watch(log: BrokerLog, wake: () => void): void {
    const set = this.watchers.get(log.name) ?? new Set()
    this.watchers.set(log.name, set)
    set.add(wake)
  }

  unwatch(log: BrokerLog, wake: () => void): void {
    this.watchers.get(log.name)?.delete(wake)
  }
}

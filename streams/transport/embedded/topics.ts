/** The embedded topics and their logs. The catalog is one document; each log has its own. */
import { FreshetError } from '../../errors.ts'
import type { TopicAdmin, TopicDescription, TopicPartition, TopicSpec } from '../port.ts'
import { PartitionLog } from './partition-log.ts'
import type { Storage } from './storage.ts'

interface Catalog {
  nextLog: number
  nextProducerId: number
  topics: { topic: string; logs: number[]; config: Record<string, string> }[]
}

const CATALOG = 'catalog'

export class EmbeddedTopics implements TopicAdmin {
  private readonly storage: Storage
  private readonly onCommitted: () => void
  private readonly topics = new Map<
    string,
    { logs: PartitionLog[]; config: Readonly<Record<string, string>> }
  >()
  private nextLog = 1
  private nextProducerId = 1

  constructor(storage: Storage, onCommitted: () => void) {
    this.storage = storage
    this.onCommitted = onCommitted
    const stored = storage.document(CATALOG) as Catalog | undefined
    if (stored === undefined) return
    this.nextLog = stored.nextLog
    this.nextProducerId = stored.nextProducerId
    for (const { topic, logs, config } of stored.topics) this.open(topic, logs, config)
  }

  *logs(): Iterable<PartitionLog> {
    for (const { logs } of this.topics.values()) yield* logs
  }

  /** Errors: TOPIC_MISSING, PARTITION_COUNT. */
  readonly logAt = (at: TopicPartition): PartitionLog => {
    const log = this.find(at.topic).logs[at.partition]
    if (log !== undefined) return log
    throw new FreshetError(
      'PARTITION_COUNT',
      `${at.topic} has ${this.find(at.topic).logs.length} partitions, there is no number ${at.partition}`,
    )
  }

  readonly partitionsOf = (topic: string): number => this.find(topic).logs.length

  async newProducerId(): Promise<bigint> {
    const id = this.nextProducerId++
    await this.save()
    return BigInt(id)
  }

  async describe(topics: readonly string[]): Promise<Map<string, TopicDescription>> {
    const found = new Map<string, TopicDescription>()
    for (const topic of topics) {
      const known = this.topics.get(topic)
      if (known !== undefined) found.set(topic, { partitions: known.logs.length })
    }
    return found
  }

  async create(specs: readonly TopicSpec[]): Promise<void> {
    for (const { topic, partitions, config } of specs) {
      if (this.topics.has(topic)) continue
      if (!Number.isInteger(partitions) || partitions < 1)
        throw new FreshetError('CALL_INVALID', `topic ${topic} can't have ${partitions} partitions`)
      this.open(
        topic,
        Array.from({ length: partitions }, () => this.nextLog++),
        config,
      )
    }
    await this.save()
  }

  async remove(topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      const known = this.topics.get(topic)
      if (known === undefined) continue
      this.topics.delete(topic)
      await this.save()
      for (const log of known.logs) await log.remove()
    }
    this.onCommitted()
  }

  async offsets(at: readonly TopicPartition[]): Promise<{ start: number; end: number }[]> {
    return at.map(one => {
      const log = this.logAt(one)
      return { start: log.start, end: log.highWatermark }
    })
  }

  async trim(at: TopicPartition, before: number): Promise<void> {
    await this.logAt(at).trim(before)
  }

  async offsetAt(at: TopicPartition, timestampMs: number): Promise<number> {
    return this.logAt(at).offsetAt(timestampMs)
  }

  private find(topic: string) {
    const known = this.topics.get(topic)
    if (known !== undefined) return known
    throw new FreshetError(
      'TOPIC_MISSING',
      `there is no topic ${topic}; \`freshet topics create\` makes what is missing`,
    )
  }

  private open(topic: string, ids: number[], config: Readonly<Record<string, string>>): void {
    const logs = ids.map(
      (id, partition) =>
        new PartitionLog(id, { topic, partition }, config, this.storage, this.onCommitted),
    )
    this.topics.set(topic, { logs, config })
  }

  private async save(): Promise<void> {
    const topics = [...this.topics].map(([topic, { logs, config }]) => ({
      topic,
      logs: logs.map(log => log.id),
      config,
    }))
    const value = { nextLog: this.nextLog, nextProducerId: this.nextProducerId, topics }
    await this.storage.write([], [{ name: CATALOG, value }])
  }
}

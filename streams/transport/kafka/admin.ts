/** Topics: made as freshet's own must be (replicated, acknowledged by all, no unclean election), described, trimmed. */
import { FreshetError } from '../../errors.ts'
import type { TopicAdmin, TopicDescription, TopicPartition, TopicSpec } from '../port.ts'
import { type Cluster, nameOf } from './cluster.ts'
import { retriable, UNKNOWN_TOPIC_OR_PARTITION } from './codes.ts'
import { type BrokerCalls, callError, errorType } from './connections.ts'
import { listOffsets, startsAndEnds } from './offsets.ts'

const BROKER_MS = 10_000

export class KafkaTopicAdmin implements TopicAdmin {
  private readonly cluster: Cluster

  constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  async describe(topics: readonly string[]): Promise<Map<string, TopicDescription>> {
    const found = new Map<string, TopicDescription>()
    if (topics.length === 0) return found
    const metadata = await this.cluster.persist('the brokers', () => this.cluster.refresh(topics))
    for (const topic of metadata.topics)
      if (topic.errorCode !== UNKNOWN_TOPIC_OR_PARTITION && topic.partitions.length > 0)
        found.set(topic.topic, { partitions: topic.partitions.length })
    return found
  }

  async create(specs: readonly TopicSpec[]): Promise<void> {
    const existing = await this.describe(specs.map(spec => spec.topic))
    for (const spec of specs) if (!existing.has(spec.topic)) await this.createOne(spec)
    await this.cluster.persist('the new topics', () => this.awaitLeaders(specs))
  }

  private async createOne(spec: TopicSpec): Promise<void> {
    await this.onController(`creating topic ${spec.topic}`, async (calls, brokers) => {
      const replicationFactor = Math.min(3, brokers)
      const config: Record<string, string> = {
        'min.insync.replicas': String(Math.max(1, replicationFactor - 1)),
        'unclean.leader.election.enable': 'false',
        ...spec.config,
      }
      await calls.createTopics({
        topics: [
          {
            topic: spec.topic,
            numPartitions: spec.partitions,
            replicationFactor,
            configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
          },
        ],
        timeout: BROKER_MS,
      })
    })
  }

  private async awaitLeaders(specs: readonly TopicSpec[]): Promise<void> {
    const metadata = await this.cluster.refresh(specs.map(spec => spec.topic))
    for (const topic of metadata.topics)
      if (topic.partitions.length === 0 || topic.partitions.some(one => one.leader < 0))
        throw retriable(`topic ${topic.topic} has no leaders yet`)
  }

  async remove(topics: readonly string[]): Promise<void> {
    for (const topic of (await this.describe(topics)).keys())
      await this.onController(`removing topic ${topic}`, async calls => {
        await calls.deleteTopics({ topics: [topic], timeout: BROKER_MS })
      })
    if (topics.length === 0) return
    await this.cluster.persist('the removal of topics', async () => {
      const metadata = await this.cluster.refresh(topics)
      const still = metadata.topics.find(one => one.errorCode !== UNKNOWN_TOPIC_OR_PARTITION)
      if (still) throw retriable(`topic ${still.topic} is still there`)
    })
  }

  offsets(at: readonly TopicPartition[]): Promise<{ start: number; end: number }[]> {
    if (at.length === 0) return Promise.resolve([])
    return this.cluster.persist(`the leader of ${nameOf(at[0])}`, () =>
      startsAndEnds(this.cluster, at),
    )
  }

  async trim(at: TopicPartition, before: number): Promise<void> {
    await this.cluster.persist(`the leader of ${nameOf(at)}`, async () => {
      const link = await this.cluster.leaderLink(at)
      try {
        await link.calls.deleteRecords({
          topics: [
            { topic: at.topic, partitions: [{ partition: at.partition, offset: String(before) }] },
          ],
        })
      } catch (error) {
        this.cluster.forgetLeader(at)
        const { partitions } = Object(error) as { partitions?: { error?: unknown }[] }
        const failure = callError(
          `deleting the records of ${nameOf(at)} below ${before}`,
          partitions?.[0]?.error ?? error,
        )
        if (failure.code === 'DEPENDENCY_UNREACHABLE' && partitions === undefined)
          this.cluster.drop(link)
        throw failure
      }
    })
  }

  async offsetAt(at: TopicPartition, timestampMs: number): Promise<number> {
    const query = { topic: at.topic, partition: at.partition, timestamp: timestampMs }
    const [offset] = await this.cluster.persist(`the leader of ${nameOf(at)}`, () =>
      listOffsets(this.cluster, [query]),
    )
    if (offset >= 0) return offset
    const [{ end }] = await this.offsets([at])
    return end
  }

  /** Runs a call on the controller until it gets through; that the work was already done is success. */
  private onController(
    doing: string,
    work: (calls: BrokerCalls, brokers: number) => Promise<void>,
  ): Promise<void> {
    return this.cluster.persist('the controller', async () => {
      const metadata = await this.cluster.refresh([])
      const link = await this.cluster.link(metadata.controllerId)
      try {
        await work(link.calls, metadata.brokers.length)
      } catch (error) {
        const { errors } = Object(error) as { errors?: unknown[] }
        const first = errors?.[0] ?? error
        const type = errorType(first)
        if (type === 'TOPIC_ALREADY_EXISTS' || type === 'UNKNOWN_TOPIC_OR_PARTITION') return
        if (type === undefined) this.cluster.drop(link)
        const failure = callError(doing, first)
        if (type !== undefined && /^INVALID_|POLICY_VIOLATION/.test(type))
          throw new FreshetError('DEPENDENCY_UNSUITABLE', failure.message, error)
        throw failure
      }
    })
  }
}

/**
 * One set of broker links and what is known of the cluster: addresses, leaders, coordinator. Each purpose that may hold a
 * connection for long (a reader's long poll, a membership's join) has its own, as a broker answers a connection's
 * requests strictly one after the other.
 */
import type { Clock } from '../../clock.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type { TopicPartition } from '../port.ts'
import { codeName, isRetriable, refusal, retriable, UNKNOWN_TOPIC_OR_PARTITION } from './codes.ts'
import type { BrokerLink, LinkFactory } from './connections.ts'
import { type ClusterMetadata, metadataRequest, type TopicMetadata } from './protocol.ts'
import { isOutage, type Waits } from './waits.ts'

export interface ClusterContext {
  readonly factory: LinkFactory
  /** host:port of the brokers to begin with. */
  readonly seeds: readonly string[]
  readonly waits: Waits
  readonly clock: Clock
}

interface OpenLink {
  readonly opening: Promise<BrokerLink>
  link: BrokerLink | undefined
}

/** A topic that brokers have not known for so long was removed: one that starts knows its topics within seconds. */
const ABSENT_MS = 30_000

export const nameOf = (at: TopicPartition): string => `${at.topic}-${at.partition}`

export class Cluster {
  readonly context: ClusterContext
  private readonly links = new Map<string, OpenLink>()
  private readonly brokers = new Map<number, string>()
  private readonly leaders = new Map<string, number>()
  /** Topics that brokers say are not there, and since when they say so without a pause. */
  private readonly absent = new Map<string, { since: number; last: number }>()
  private isClosed = false

  constructor(context: ClusterContext) {
    this.context = context
  }

  get closed(): boolean {
    return this.isClosed
  }

  /** The link to a broker by its id. Errors: DEPENDENCY_UNREACHABLE, CLOSED. */
  link(nodeId: number): Promise<BrokerLink> {
    const address = this.brokers.get(nodeId)
    if (address === undefined)
      return Promise.reject(retriable(`broker ${nodeId} is not known to the cluster`))
    return this.linkTo(address, nodeId)
  }

  addressOf(nodeId: number): string {
    return this.brokers.get(nodeId) ?? `number ${nodeId}`
  }

  private linkTo(address: string, nodeId: number | null): Promise<BrokerLink> {
    if (this.isClosed) return Promise.reject(closedError())
    const known = this.links.get(address)
    if (known) return known.opening
    const colon = address.lastIndexOf(':')
    const opening = this.context.factory
      .open({
        host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
        port: Number(address.slice(colon + 1)),
        nodeId,
      })
      .then(
        link => {
          entry.link = link
          if (this.links.get(address) === entry) return link
          link.drop()
          throw this.isClosed ? closedError() : retriable(`the link to ${address} was given up`)
        },
        error => {
          if (this.links.get(address) === entry) this.links.delete(address)
          throw error
        },
      )
    const entry: OpenLink = { opening, link: undefined }
    this.links.set(address, entry)
    return opening
  }

  /** Closes a link that failed, if it is still the one in use. */
  drop(link: BrokerLink): void {
    if (this.links.get(link.address)?.link === link) this.links.delete(link.address)
    link.drop()
  }

  /** Any broker that answers: those of the cluster first, then the seeds. Errors: DEPENDENCY_UNREACHABLE. */
  async anyLink(): Promise<BrokerLink> {
    const addresses = new Set([
      ...this.links.keys(),
      ...this.brokers.values(),
      ...this.context.seeds,
    ])
    let last: unknown
    for (const address of addresses) {
      try {
        return await this.linkTo(address, null)
      } catch (error) {
        if (!isOutage(error)) throw error
        last = error
      }
    }
    const all = [...addresses].join(', ')
    throw retriable(`no broker of ${all} can be reached: ${messageOf(last)}`, last)
  }

  /** Asks for topics afresh and remembers brokers and leaders. One try. Errors: DEPENDENCY_UNREACHABLE. */
  async refresh(topics: readonly string[]): Promise<ClusterMetadata> {
    const link = await this.anyLink()
    let metadata: ClusterMetadata
    try {
      metadata = await link.send(metadataRequest(topics))
    } catch (error) {
      this.drop(link)
      throw error
    }
    for (const broker of metadata.brokers)
      this.brokers.set(broker.nodeId, `${broker.host}:${broker.port}`)
    for (const topic of metadata.topics) this.remember(topic)
    return metadata
  }

  private remember(topic: TopicMetadata): void {
    if (topic.errorCode !== 0 && !isRetriable(topic.errorCode))
      throw refusal(topic.errorCode, `describing topic ${topic.topic}`)
    for (const partition of topic.partitions) {
      const name = nameOf({ topic: topic.topic, partition: partition.partition })
      if (partition.leader >= 0) this.leaders.set(name, partition.leader)
      else this.leaders.delete(name)
    }
    const { clock } = this.context
    if (topic.errorCode !== UNKNOWN_TOPIC_OR_PARTITION) this.absent.delete(topic.topic)
    else {
      const now = clock.now()
      const known = this.absent.get(topic.topic)
      const goesOn = known !== undefined && now - known.last < ABSENT_MS / 2
      this.absent.set(topic.topic, { since: goesOn ? known.since : now, last: now })
      for (const name of this.leaders.keys())
        if (name.startsWith(`${topic.topic}-`) && /^\d+$/.test(name.slice(topic.topic.length + 1)))
          this.leaders.delete(name)
    }
  }

  /**
   * `refresh` for who needs these topics: a broker that starts may not know a topic yet, but one that nobody has known for
   * a while was deleted. Errors: TOPIC_MISSING, DEPENDENCY_UNREACHABLE.
   */
  async lead(topics: readonly string[]): Promise<ClusterMetadata> {
    const metadata = await this.refresh(topics)
    for (const topic of topics) {
      const { since, last } = this.absent.get(topic) ?? { since: 0, last: 0 }
      if (last - since >= ABSENT_MS)
        throw new FreshetError(
          'TOPIC_MISSING',
          `topic ${topic} was there and is not any more: the brokers have not known it for ${ABSENT_MS / 1000} s; if it was one of freshet's own, \`freshet reset\` begins anew, others are made by \`freshet topics create\` or by whoever owns them`,
        )
    }
    return metadata
  }

  /** The leader as last heard; undefined where none is known. */
  leaderOf(at: TopicPartition): number | undefined {
    return this.leaders.get(nameOf(at))
  }

  /** What was known of a leader proved wrong. */
  forgetLeader(at: TopicPartition): void {
    this.leaders.delete(nameOf(at))
  }

  /** The link to a partition's leader, asking for metadata where it is not known. Errors: DEPENDENCY_UNREACHABLE. */
  async leaderLink(at: TopicPartition): Promise<BrokerLink> {
    if (this.leaderOf(at) === undefined) {
      const metadata = await this.lead([at.topic])
      const code = metadata.topics[0]?.errorCode ?? 0
      if (this.leaderOf(at) === undefined)
        throw retriable(`${nameOf(at)} has no leader${code === 0 ? '' : ` (${codeName(code)})`}`)
    }
    const leader = this.leaderOf(at)
    return this.link(leader ?? -1)
  }

  /**
   * Runs `attempt` until it gets through, without limit: 100 ms to 1 s apart, visible in `waiting`.
   * Errors: whatever is not an outage, and CLOSED.
   */
  async persist<T>(subject: string, attempt: () => Promise<T>): Promise<T> {
    const wait = this.context.waits.open()
    try {
      for (;;) {
        if (this.isClosed) throw closedError()
        try {
          return await attempt()
        } catch (error) {
          if (!isOutage(error)) throw error
          await this.context.clock.sleep(wait.failing(subject, error))
        }
      }
    } finally {
      wait.over()
    }
  }

  /** Drops every link; the next use opens new ones. */
  reset(): void {
    for (const { link } of this.links.values()) link?.drop()
    this.links.clear()
    this.leaders.clear()
  }

  close(): void {
    this.isClosed = true
    this.reset()
  }
}

export function closedError(): FreshetError {
  return new FreshetError('CLOSED', 'the Kafka transport is closed')
}

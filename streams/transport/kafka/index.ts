/** The Kafka adapter of the transport port: what is shared by its parts and how they hang together. */
import { type Clock, systemClock } from '../../clock.ts'
import { FreshetError } from '../../errors.ts'
import { type Logger, silentLogger } from '../../log.ts'
import { type Metrics, noMetrics } from '../../metrics.ts'
import type { LogReader, Transport } from '../port.ts'
import { KafkaTopicAdmin } from './admin.ts'
import { Cluster, type ClusterContext } from './cluster.ts'
import { type ConnectionOptions, LinkFactory } from './connections.ts'
import { readFacts } from './facts.ts'
import { checkGroup, KafkaMembership } from './group.ts'
import { groupMembers, groupOffsets } from './group-members.ts'
import { KafkaPublisher, newProducerId } from './publisher.ts'
import { ReadPool, readOnce } from './read.ts'
import { KafkaLogReader } from './reader.ts'
import { isOutage, Waits } from './waits.ts'
import { KafkaFencedWriter } from './writer.ts'

const STALL_MS = 30_000
const READ_BYTES = 1024 * 1024

export interface KafkaTransportOptions extends ConnectionOptions {
  readonly clock?: Clock
  readonly log?: Logger
  readonly metrics?: Metrics
  /** How long the start may wait for a first broker; without it the start waits like everything else, visibly. */
  readonly waitMs?: number
  /** The reader's watchdog, default 30 s: see `reader.ts`. */
  readonly stallMs?: number
}

/**
 * Connects to a Kafka cluster.
 * Errors: DEPENDENCY_UNSUITABLE for a kafkajs that is not the pinned one or a login that is refused;
 * DEPENDENCY_UNREACHABLE where no broker answers within `waitMs`.
 */
export async function createKafkaTransport(options: KafkaTransportOptions): Promise<Transport> {
  const { brokers, clock = systemClock, log = silentLogger, metrics = noMetrics } = options
  if (brokers.length === 0 || brokers.some(broker => !/^.+:\d+$/.test(broker)))
    throw new FreshetError(
      'OPTION_INVALID',
      `brokers takes host:port, several with commas between them, and got ${JSON.stringify(brokers.join(','))}`,
    )
  const waits = new Waits(clock, log)
  const context: ClusterContext = {
    factory: new LinkFactory(options),
    seeds: brokers,
    waits,
    clock,
  }
  // requests that are answered at once share one cluster, as do all writers
  const control = new Cluster(context)
  const writing = new Cluster(context)
  const reads = new ReadPool(context)
  const readers = new Set<LogReader>()
  const memberships = new Set<KafkaMembership>()
  const rebuilds = metrics.counter('freshet_transport_rebuilds_total')
  try {
    await firstContact(control, options.waitMs)
  } catch (error) {
    control.close()
    throw error
  }

  return {
    name: 'kafka',
    topics: new KafkaTopicAdmin(control),
    read: (at, offset, { maxBytes = READ_BYTES, maxWaitMs = 0 } = {}) =>
      reads.use(cluster => readOnce(cluster, at, offset, { maxBytes, maxWaitMs })),
    reader: () => {
      const reader = new KafkaLogReader(context, control, {
        log,
        rebuilds,
        stallMs: options.stallMs ?? STALL_MS,
      })
      readers.add(reader)
      return reader
    },
    newProducerId: () => newProducerId(control),
    writer: identity => new KafkaFencedWriter(writing, identity),
    publisher: () => new KafkaPublisher(writing, () => newProducerId(control)),
    join: async group => {
      checkGroup(group)
      const factory = new LinkFactory({ ...options, clientId: group.clientId })
      const membership = new KafkaMembership(new Cluster({ ...context, factory }), group, log)
      memberships.add(membership)
      return membership
    },
    waiting: () => waits.text(),
    facts: topics => readFacts(control, topics),
    members: groupId => groupMembers(control, groupId),
    committed: (groupId, at) => groupOffsets(control, groupId, at),
    close: async () => {
      await Promise.all([...memberships].map(membership => membership.leave()))
      await Promise.all([...readers].map(reader => reader.close()))
      for (const cluster of [control, writing, reads]) cluster.close()
    },
  }
}

async function firstContact(cluster: Cluster, waitMs: number | undefined): Promise<void> {
  const { clock, seeds, waits } = cluster.context
  const begun = clock.now()
  const wait = waits.open()
  try {
    for (;;) {
      try {
        await cluster.refresh([])
        return
      } catch (error) {
        if (!isOutage(error)) throw error
        const delay = wait.failing(`brokers ${seeds.join(', ')}`, error)
        if (waitMs !== undefined && clock.now() - begun + delay >= waitMs)
          throw new FreshetError(
            'DEPENDENCY_UNREACHABLE',
            `no Kafka broker answers at ${seeds.join(', ')}: start one there, or name others with FRESHET_KAFKA_BROKERS`,
            error,
          )
        await clock.sleep(delay)
      }
    }
  } finally {
    wait.over()
  }
}

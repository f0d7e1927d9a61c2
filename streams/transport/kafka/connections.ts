/**
 * The one file that reaches into kafkajs. From it come sockets, TLS, SASL, the API versions and the group, admin and
 * producer-id requests of one broker connection; everything else is ours. What is touched is private to kafkajs 2.2.4,
 * so the version is pinned and checked at the start together with every member used here.
 */
import { createRequire } from 'node:module'
import net from 'node:net'
import tls from 'node:tls'
import kafkajs, { type KafkaConfig } from 'kafkajs'
import { FreshetError, messageOf } from '../../errors.ts'
import { isRetriable, refusal, retriable, SASL_AUTHENTICATION_FAILED } from './codes.ts'
import type { WireRequest } from './protocol.ts'

const PINNED = '2.2.4'
/** Beyond a request's own limit, for kafkajs to keep to its least one (10 s) first. */
const LATE_MS = 12_000

export interface ConnectionOptions {
  /** host:port of some brokers; the others are found through them. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl?: KafkaConfig['ssl']
  readonly sasl?: KafkaConfig['sasl']
}

/** kafkajs' calls of one broker that are used as they are. They throw errors with Kafka's name in `type`. */
export interface BrokerCalls {
  initProducerId(request: {
    transactionalId: null
    transactionTimeout: number
  }): Promise<{ producerId: string }>
  createTopics(request: {
    topics: {
      topic: string
      numPartitions: number
      replicationFactor: number
      configEntries: { name: string; value: string }[]
    }[]
    timeout: number
  }): Promise<unknown>
  deleteTopics(request: { topics: string[]; timeout: number }): Promise<unknown>
  deleteRecords(request: {
    topics: { topic: string; partitions: { partition: number; offset: string }[] }[]
  }): Promise<unknown>
  findGroupCoordinator(request: {
    groupId: string
    coordinatorType: number
  }): Promise<{ coordinator: { nodeId: number; host: string; port: number } }>
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    protocolType: string
    groupProtocols: { name: string; metadata: Buffer }[]
  }): Promise<{
    generationId: number
    leaderId: string
    memberId: string
    members: { memberId: string; memberMetadata: Buffer }[]
  }>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
  }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
  describeGroups(request: {
    groupIds: string[]
  }): Promise<{ groups: { members: { clientId: string; clientHost: string }[] }[] }>
  offsetFetch(request: {
    groupId: string
    topics: { topic: string; partitions: { partition: number }[] }[]
  }): Promise<{
    responses: { topic: string; partitions: { partition: number; offset: string }[] }[]
  }>
  offsetCommit(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
    retentionTime?: string
    topics: { topic: string; partitions: { partition: number; offset: string }[] }[]
  }): Promise<unknown>
}

interface PrivateQueue {
  readonly pending: unknown[]
  scheduleCheckPendingRequests(): void
}

interface PrivateConnection {
  readonly socket?: net.Socket
  readonly requestQueue: PrivateQueue
  rejectRequests(error: Error): void
  disconnect(): Promise<unknown>
}

interface PrivatePool {
  readonly pool: readonly PrivateConnection[]
  send(request: unknown): Promise<unknown>
}

interface PrivateBroker extends BrokerCalls {
  connect(): Promise<void>
}

interface PrivateCluster {
  readonly rootLogger: unknown
  readonly connectionPoolBuilder: {
    build(address: { host: string; port: number }): Promise<PrivatePool>
  }
  readonly brokerPool: {
    createBroker(parts: {
      connectionPool: PrivatePool
      logger: unknown
      nodeId: number | null
    }): PrivateBroker
  }
}

/** Opens links to brokers by address. */
export class LinkFactory {
  private readonly cluster: PrivateCluster

  /** Errors: DEPENDENCY_UNSUITABLE where kafkajs is not the version this was written for. */
  constructor(options: ConnectionOptions) {
    this.cluster = privateCluster(options)
  }

  /** Connects and authenticates. Errors: DEPENDENCY_UNREACHABLE (try again), DEPENDENCY_UNSUITABLE (refused for good). */
  async open(address: { host: string; port: number; nodeId: number | null }): Promise<BrokerLink> {
    const pool = await this.cluster.connectionPoolBuilder.build(address)
    const broker = this.cluster.brokerPool.createBroker({
      connectionPool: pool,
      logger: this.cluster.rootLogger,
      nodeId: address.nodeId,
    })
    for (const connection of pool.pool) quietTimer(connection.requestQueue)
    const link = new BrokerLink(`${address.host}:${address.port}`, pool, broker)
    try {
      await broker.connect()
    } catch (error) {
      link.drop()
      throw callError(`connecting to broker ${link.address}`, error)
    }
    return link
  }
}

/** One broker's two connections: kafkajs keeps fetches on their own, so a long poll delays nothing else. */
export class BrokerLink {
  readonly address: string
  readonly calls: BrokerCalls
  private readonly pool: PrivatePool

  constructor(address: string, pool: PrivatePool, broker: PrivateBroker) {
    this.address = address
    this.pool = pool
    this.calls = broker
  }

  /** Sends one of our own requests. Errors: DEPENDENCY_UNREACHABLE; then the link is to be dropped. */
  async send<T extends object>(request: WireRequest<T>): Promise<T> {
    const body = { buf: request.body, buffer: request.body }
    // kafkajs reads the wall clock for its own limit, which a clock that is put back would stretch by as much
    const late = setTimeout(() => this.drop(), request.timeoutMs + LATE_MS).unref()
    try {
      const answer = await this.pool.send({
        request: {
          apiKey: request.apiKey,
          apiVersion: request.apiVersion,
          apiName: request.apiName,
          encode: async () => body,
        },
        response: {
          decode: async (payload: Buffer) => ({ payload }),
          parse: async (decoded: { payload: Buffer }) => decoded.payload,
        },
        requestTimeout: request.timeoutMs,
      })
      return request.decode(answer as Buffer)
    } catch (error) {
      if (error instanceof FreshetError) throw error
      throw retriable(`${request.apiName} to broker ${this.address}: ${messageOf(error)}`, error)
    } finally {
      clearTimeout(late)
    }
  }

  /** Fails what is under way and closes the sockets at once; the link is not to be used again. */
  drop(): void {
    for (const connection of this.pool.pool) {
      connection.rejectRequests(retriable(`the connection to broker ${this.address} was dropped`))
      connection.socket?.destroy()
      connection.disconnect().catch(() => connection.socket?.destroy())
    }
  }
}

/** kafkajs' error as ours. What kafkajs calls final (a refused password, a missing right) is DEPENDENCY_UNSUITABLE. */
export function callError(doing: string, error: unknown): FreshetError {
  if (error instanceof FreshetError) return error
  const {
    name,
    code,
    retriable: canRetry,
  } = Object(error) as {
    name?: string
    code?: unknown
    retriable?: boolean
  }
  const type = errorType(error)
  const text = `${doing}: ${type ?? messageOf(error)}`
  // kafkajs calls a connection that broke during a login a failed login too
  if (name === 'KafkaJSSASLAuthenticationError' && !BROKEN.test(messageOf(error)))
    return refusal(SASL_AUTHENTICATION_FAILED, text, error)
  if (type === undefined || type === 'UNKNOWN' || canRetry !== false) return retriable(text, error)
  if (typeof code !== 'number') return new FreshetError('DEPENDENCY_UNSUITABLE', text, error)
  return isRetriable(code) ? retriable(text, error) : refusal(code, doing, error)
}

const BROKEN = /connect|closed|time(d )?out|socket|E[A-Z]{4,}:|ECONN|EPIPE/i

/**
 * Kafka's name of the error that a kafkajs call threw; undefined where the connection is what failed. A login in the
 * wrong state is the connection's trouble too: it cannot be mended, only opened anew.
 */
export function errorType(error: unknown): string | undefined {
  const { type } = Object(error) as { type?: unknown }
  return typeof type === 'string' && type !== 'ILLEGAL_SASL_STATE' ? type : undefined
}

/**
 * kafkajs re-arms a timer of 1 ms for ever on each connection once an answer came, to look for requests that wait for a
 * throttle; with nothing pending it need not.
 */
function quietTimer(queue: PrivateQueue): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue)
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule()
  }
}

function privateCluster(options: ConnectionOptions): PrivateCluster {
  const { version } = createRequire(import.meta.url)('kafkajs/package.json') as { version: string }
  if (version !== PINNED)
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `freshet's Kafka transport stands on private parts of kafkajs ${PINNED} and found ${version}: install kafkajs@${PINNED}`,
    )
  const kafka = new kafkajs.Kafka({
    brokers: [...options.brokers],
    clientId: options.clientId,
    ssl: options.ssl,
    sasl: options.sasl,
    connectionTimeout: 3000,
    authenticationTimeout: 10_000,
    requestTimeout: 10_000,
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { retries: 0 },
    socketFactory: ({ host, port, ssl, onConnect }) => {
      const socket = ssl
        ? tls.connect(
            { host, port, ...(net.isIP(host) ? {} : { servername: host }), ...ssl },
            onConnect,
          )
        : net.connect({ host, port }, onConnect)
      return socket.setKeepAlive(true, 30_000).setNoDelay(true)
    },
  })
  const factory = Object.getOwnPropertySymbols(kafka).find(symbol =>
    String(symbol).includes('createCluster'),
  )
  const create: unknown = factory && Reflect.get(kafka, factory)
  const cluster = typeof create === 'function' ? (create({}) as PrivateCluster) : undefined
  if (
    typeof cluster?.connectionPoolBuilder?.build !== 'function' ||
    typeof cluster.brokerPool?.createBroker !== 'function'
  )
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `kafkajs ${PINNED} lacks its private cluster factory: the installed copy was changed; install kafkajs@${PINNED} afresh`,
    )
  return cluster
}

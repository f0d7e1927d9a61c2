/** The connections to Redis, one server or a cluster, and which node a key belongs to. */
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { markKey, slotOf } from './slot.ts'
import type { RedisAddress } from './url.ts'

export interface Connection {
  /** All nodes that take writes. */
  nodes(): Redis[]
  /** Gives the node that owns a key, by the slots as known now; the given function throws where none is known. */
  router(): (key: string) => Redis
  /** A cluster's node by "host:port"; undefined where it isn't known (yet). */
  nodeAt(hostAndPort: string): Redis | undefined
  /** Learns anew which node has which slot. */
  refresh(): void
  /** Begins anew: another server may stand behind the address by now. */
  reconnect(): void
  /** On each node the first mark (`markKey`) that lies there. */
  markPlaces(prefix: string): { readonly node: Redis; readonly n: number }[]
  /** Resolves when commands may be sent at once; rejects with why not after one try. */
  ready(): Promise<void>
  /** For reading single keys, with redirects followed. */
  readonly client: Redis | Cluster
  /** The last trouble heard from a connection, of which ioredis' own rejections say nothing. */
  lastError(): Error | undefined
  close(): void
}

/** Enough for every node of hundreds to have one. */
const MARKS = 4096
const markSlots = new Map<string, Uint16Array>()

function markSlotsOf(prefix: string): Uint16Array {
  const known = markSlots.get(prefix)
  if (known) return known
  const slots = Uint16Array.from({ length: MARKS }, (_, n) => slotOf(markKey(prefix, n, '')))
  markSlots.set(prefix, slots)
  return slots
}

/** Retries of connections: 100 ms to 1 s apart, without limit. */
const retryDelayMs = (attempt: number): number => Math.min(100 * attempt, 1000)

/** Does not connect before the first use. A server that answers nothing for 15 s is taken for gone. */
export function connect(address: RedisAddress): Connection {
  let trouble: Error | undefined
  const onError = (error: Error): void => {
    trouble = error
  }
  const onReady = (): void => {
    trouble = undefined
  }
  const common: RedisOptions = {
    protocol: 2,
    username: address.username,
    password: address.password,
    connectTimeout: 5_000,
    socketTimeout: 15_000,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    ...(address.tls ? { tls: {} } : {}),
  }
  if (!address.cluster) {
    const [{ host, port }] = address.nodes
    const redis = new Redis({
      ...common,
      host,
      port,
      db: address.db,
      lazyConnect: true,
      retryStrategy: retryDelayMs,
    })
    redis.on('error', onError)
    redis.on('ready', onReady)
    return {
      nodes: () => [redis],
      router: () => () => redis,
      nodeAt: () => undefined,
      refresh: () => undefined,
      reconnect: () => redis.disconnect(true),
      markPlaces: () => [{ node: redis, n: 0 }],
      ready: async () => {
        if (redis.status !== 'ready') await redis.ping()
      },
      client: redis,
      lastError: () => trouble,
      close: () => redis.disconnect(),
    }
  }
  const cluster = new Cluster([...address.nodes], {
    lazyConnect: true,
    clusterRetryStrategy: retryDelayMs,
    slotsRefreshTimeout: 2_000,
    slotsRefreshInterval: 30_000,
    redisOptions: common,
  })
  cluster.on('error', onError)
  cluster.on('ready', onReady)
  cluster.on('node error', onError)
  const nodesByName = (): Map<string, Redis> =>
    new Map(
      cluster.nodes('master').map(node => [`${node.options.host}:${node.options.port}`, node]),
    )
  return {
    nodes: () => cluster.nodes('master'),
    router: () => {
      const byName = nodesByName()
      return key => {
        const slot = slotOf(key)
        const node = byName.get(cluster.slots[slot]?.[0])
        if (!node) throw new Error(`CLUSTERDOWN no node is known for slot ${slot}`)
        return node
      }
    },
    nodeAt: name => nodesByName().get(name),
    refresh: () => cluster.refreshSlotsCache(() => undefined),
    reconnect: () => cluster.refreshSlotsCache(() => undefined),
    markPlaces: prefix => {
      const byName = nodesByName()
      const places = new Map<Redis, number>()
      const slots = markSlotsOf(prefix)
      for (let n = 0; n < slots.length && places.size < byName.size; n++) {
        const node = byName.get(cluster.slots[slots[n]]?.[0])
        if (node && !places.has(node)) places.set(node, n)
      }
      return [...places].map(([node, n]) => ({ node, n }))
    },
    ready: async () => {
      if (cluster.status === 'wait') await cluster.connect()
      if (cluster.status !== 'ready') throw trouble ?? new Error(`the cluster is ${cluster.status}`)
    },
    client: cluster,
    lastError: () => trouble,
    close: () => cluster.disconnect(),
  }
}

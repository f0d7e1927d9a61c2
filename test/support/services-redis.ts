/** A real Redis for tests: one server, or a cluster of three without replicas. Nothing is written to disk. */
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  endProcess,
  freePort,
  hasTool,
  run,
  runFolder,
  type ServiceProcess,
  serviceFolder,
  servicesRoot,
  startProcess,
  withLock,
} from './processes.ts'

export interface RedisService {
  /** redis://host:port; of a cluster any of its nodes. */
  readonly url: string
  /** All nodes' urls. */
  readonly urls: readonly string[]
  stop(): Promise<void>
  /** Kills all nodes; what they held is gone. */
  kill9(): Promise<void>
  /** Starts killed nodes again on their ports, empty. Not for a cluster. */
  restart(): Promise<void>
}

export interface RedisOptions {
  readonly cluster?: boolean
  readonly run?: string
  /** Default: a free one. */
  readonly port?: number
}

async function needRedis(): Promise<void> {
  if (hasTool('redis-server')) return
  if (process.getuid?.() === 0 && hasTool('apt-get'))
    await withLock(`${servicesRoot}/apt.lock`, async () => {
      if (hasTool('redis-server')) return
      run('apt-get', ['update'])
      run('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'])
    })
  if (!hasTool('redis-server'))
    throw new Error(
      'redis-server is missing: install Redis 7 (Debian: apt-get install redis-server), or name a running one in REDIS_URL',
    )
}

interface Node {
  readonly url: string
  readonly folder: string
  start(): Promise<ServiceProcess>
  process: ServiceProcess
}

async function startNode(options: RedisOptions): Promise<Node> {
  const folder = serviceFolder(options.run ?? runFolder(), 'redis')
  const port = options.port ?? (await freePort())
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  args.push('--save', '', '--appendonly', 'no')
  // the cluster's own port would be this one + 10000, which a free port may not leave room for
  if (options.cluster)
    args.push('--cluster-enabled', 'yes', '--cluster-port', String(await freePort()))
  const start = (): Promise<ServiceProcess> =>
    startProcess(folder, 'redis-server', args, 'Ready to accept connections')
  return { url: `redis://127.0.0.1:${port}`, folder, start, process: await start() }
}

/** Starts a Redis of one's own, or gives what REDIS_URL (REDIS_CLUSTER_URL) names. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisService> {
  const outside = options.cluster ? process.env.REDIS_CLUSTER_URL : process.env.REDIS_URL
  if (outside) return outsideRedis(outside)
  await needRedis()
  const nodes: Node[] = []
  for (let i = 0; i < (options.cluster ? 3 : 1); i++) nodes.push(await startNode(options))
  if (options.cluster) await formCluster(nodes)
  const kill9 = async (): Promise<void> => {
    await Promise.all(nodes.map(node => endProcess(node.process.pid, 'SIGKILL')))
  }
  return {
    url: nodes[0].url,
    urls: nodes.map(node => node.url),
    kill9,
    restart: async () => {
      await kill9()
      for (const node of nodes) node.process = await node.start()
    },
    stop: async () => {
      await kill9()
      for (const node of nodes) fs.rmSync(node.folder, { recursive: true, force: true })
    },
  }
}

function outsideRedis(url: string): RedisService {
  const refuse = async (): Promise<void> => {
    throw new Error(
      `the Redis at ${url} is not ours to end: unset REDIS_URL for tests that need to`,
    )
  }
  return { url, urls: [url], stop: async () => undefined, kill9: refuse, restart: refuse }
}

async function formCluster(nodes: readonly Node[]): Promise<void> {
  const addresses = nodes.map(node => node.url.slice('redis://'.length))
  run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'])
  for (;;) {
    const states = addresses.map(address =>
      run('redis-cli', ['-u', `redis://${address}`, 'cluster', 'info']),
    )
    if (states.every(state => state.includes('cluster_state:ok'))) return
    await sleep(50)
  }
}

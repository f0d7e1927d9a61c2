/**
 * `npm run bench [NAME...] [--events N]`: speeds and sizes on this machine, against real services started for it.
 * docs/benchmarks.md has results, and what they do not show. Names: throughput, redis, latency, beside (the same while a
 * replay runs; --archive DIR keeps what it reads), peers, fencing, rebalance, restore (with --users, --items, --partitions),
 * cascade (needs no services).
 */
import { mkdtempSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startKafka } from '../support/kafka.ts'
import { startRegistry } from '../support/registry.ts'
import { startRedis } from '../support/services-redis.ts'
import { benchArchive, beside } from './beside.ts'
import { cascade } from './cascade.ts'
import { latency } from './latency.ts'
import { PEER_PORT, preparePeer } from './peer.ts'
import { rebalance } from './rebalance.ts'
import { fillChangelog, restoreOnce } from './restore.ts'
import { fillTopic, measure, type ThroughputResult } from './throughput.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    events: { type: 'string' },
    runs: { type: 'string' },
    rate: { type: 'string' },
    users: { type: 'string' },
    items: { type: 'string' },
    partitions: { type: 'string' },
    archive: { type: 'string' },
  },
})
const wanted = new Set(positionals.length > 0 ? positionals : ['throughput', 'redis', 'latency'])
const events = Number(values.events ?? 1_000_000)
const runs = Number(values.runs ?? 3)

console.log(
  `${cpus().length} x ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}; ${events} events, ${runs} runs, medians`,
)

if (wanted.delete('cascade')) {
  await cascade()
  if (wanted.size === 0) process.exit()
}

const kafka = await startKafka(wanted.has('peers') ? { port: PEER_PORT } : {})
const registry = await startRegistry()
const withRedis = ['redis', 'latency', 'beside', 'fencing', 'rebalance'].some(name =>
  wanted.has(name),
)
const redis = withRedis ? await startRedis() : undefined
const prefix = 'bench.'
const topicsOnly = { FRESHET_REDIS_URL: 'none', FRESHET_CLICKHOUSE_URL: 'none' }
const job = ['--topologies', 'sessions,popularity']

const median = (numbers: number[]): number =>
  numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]

async function repeat(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  mode: 'run' | 'fenced' | 'unfenced' = 'run',
): Promise<void> {
  const results: ThroughputResult[] = []
  for (let i = 0; i < (mode === 'run' ? runs : 1); i++)
    results.push(
      await measure(
        {
          brokers: kafka.brokers,
          registry: registry.url,
          events,
          args,
          environment,
          mode,
        },
        prefix,
      ),
    )
  const of = (pick: (r: ThroughputResult) => number): string =>
    median(results.map(pick)).toFixed(2).padStart(9)
  console.log(
    `${name.padEnd(44)} CPU-s/M steady ${of(r => r.steadyCpuPerMillion)} whole ${of(r => r.cpuPerMillion)}  events/s ${of(r => r.steadyEventsPerSecond)}  changelog B/event ${of(r => r.changelogBytesPerEvent)}  RSS MB ${of(r => r.residentMb)}`,
  )
}

let latencyRuns = 0
async function fresh(
  mode: 'run' | 'fenced' | 'unfenced',
  eventsPerSecond: number,
  archive?: string,
): Promise<void> {
  if (!redis) return
  const settings = {
    brokers: kafka.brokers,
    registry: registry.url,
    redis: redis.url,
    eventsPerSecond: Number(values.rate ?? eventsPerSecond),
    active: 300,
    warmUpSeconds: 15,
    seconds: 20,
    generation: ++latencyRuns,
    mode,
  }
  const environment = {
    FRESHET_KAFKA_BROKERS: kafka.brokers,
    FRESHET_SCHEMA_REGISTRY_URL: registry.url,
    FRESHET_REDIS_URL: redis.url,
    FRESHET_CLICKHOUSE_URL: 'none',
    FRESHET_TOPICS_PREFIX: `latency${latencyRuns}.`,
    FRESHET_APPLICATION_ID: `latency${latencyRuns}.`,
    FRESHET_LOG_LEVEL: 'error',
  }
  const r =
    archive === undefined
      ? await latency(settings)
      : await beside(archive, environment, () => latency(settings))
  const ms = ({ p50, p99 }: { p50: number; p99: number }): string =>
    `p50 ${p50.toFixed(0)} ms p99 ${p99.toFixed(0)} ms`
  console.log(
    `latency, ${mode}${archive === undefined ? '' : ' beside a replay'}: ${r.eventsPerSecond.toFixed(0)} events/s, ${r.listsPerSecond.toFixed(0)} lists/s, CPU ${(r.cpuShare * 100).toFixed(0)}%  event to session ${ms(r.sessionMs)}, to list ${ms(r.listMs)}`,
  )
}

try {
  if (['throughput', 'redis', 'fencing'].some(name => wanted.has(name)))
    await fillTopic({ brokers: kafka.brokers, registry: registry.url, prefix, events })
  if (wanted.has('throughput')) {
    await repeat('sessions + popularity to topics, 100 ms', job, topicsOnly)
    await repeat(
      'sessions + popularity to topics, 1 s',
      [...job, '--user.commitInterval', '1s'],
      topicsOnly,
    )
  }
  if (wanted.has('peers')) {
    const peer = preparePeer(events)
    if (!peer) console.log('peers: left out, FRESHET_PEERS names no folder with kafka-streams')
    for (const [name, args] of [
      ['Kafka Streams, RocksDB, exactly once, 100 ms', ['-Dstore=rocks', '-Deos=true', '-Dci=100']],
      ['Kafka Streams, in memory, at least once, 1 s', ['-Dstore=mem', '-Dci=1000']],
    ] as const) {
      if (!peer) break
      const results = Array.from({ length: runs }, () => peer(args))
      console.log(
        `${name.padEnd(44)} CPU-s/M steady ${median(results.map(r => r.steadyCpuPerMillion))
          .toFixed(2)
          .padStart(9)} whole ${median(results.map(r => r.cpuPerMillion))
          .toFixed(2)
          .padStart(9)}`,
      )
    }
  }
  if (redis && wanted.has('redis'))
    await repeat('the same with session hashes in Redis, 100 ms', job, {
      ...topicsOnly,
      FRESHET_REDIS_URL: redis.url,
    })
  if (wanted.has('latency')) for (let i = 0; i < runs; i++) await fresh('run', 20_000)
  if (wanted.has('beside')) {
    const archive = await benchArchive(values.archive ?? mkdtempSync(join(tmpdir(), 'archive-')))
    // in turn, so that what else the machine does meets both
    for (let i = 0; i < runs; i++) {
      await fresh('run', 2_000)
      await fresh('run', 2_000, archive)
    }
  }
  if (wanted.has('fencing'))
    // in turn, so that what else the machine does meets both
    for (let i = 0; i < runs; i++)
      for (const mode of ['fenced', 'unfenced'] as const) {
        await repeat(`${mode}: sessions + popularity, 100 ms`, job, topicsOnly, mode)
        await fresh(mode, 2_000)
      }
  if (redis && wanted.has('rebalance'))
    for (let i = 1; i <= runs; i++) {
      const r = await rebalance({
        brokers: kafka.brokers,
        registry: registry.url,
        redis: redis.url,
        partitions: 8,
        users: 100_000,
        generation: i,
      })
      const stood = Object.entries(r).map(([what, ms]) => `${what} ${ms} ms`)
      console.log(`rebalance run ${i}, longest a partition stood: ${stood.join(', ')}`)
    }
  if (wanted.has('restore')) {
    const settings = {
      brokers: kafka.brokers,
      prefix: 'restore.',
      users: Number(values.users ?? 1_000_000),
      items: Number(values.items ?? 10),
      partitions: Number(values.partitions ?? 4),
    }
    const topic = await fillChangelog(settings)
    for (let i = 1; i <= runs; i++) {
      const r = await restoreOnce(settings, topic)
      const mb = (size: number): string => `${size.toFixed(0)} MiB`
      console.log(
        `restore run ${i}: ${r.users} users, ${r.rows} rows, ${mb(r.changelogMb)} of keys and values: ${r.seconds.toFixed(2)} s (CPU ${r.cpuSeconds.toFixed(2)} s), resident ${mb(r.residentMb)}, at most ${mb(r.peakMb)} (empty ${mb(r.emptyMb)}), heap ${mb(r.heapMb)}, buffers ${mb(r.buffersMb)}`,
      )
    }
  }
} finally {
  await redis?.stop()
  await registry.close()
  await kafka.stop()
}

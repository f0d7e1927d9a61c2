/**
 * Freshness under load: events at a steady rate into Kafka, one worker with everything on, lists and sessions into Redis. The
 * worker's own histograms tell from the Kafka record's timestamp to Redis' acknowledgement.
 */
import { outsideTopicSpecs } from '../../bin/topics.ts'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { EventSource, peersWorkload } from './events.ts'
import { quantileOf, sumOf, WorkerProcess } from './worker-process.ts'

export interface LatencySettings {
  readonly brokers: string
  readonly registry: string
  readonly redis: string
  readonly eventsPerSecond: number
  /** Users who are active at a time; each gets at most two lists a second. */
  readonly active: number
  readonly warmUpSeconds: number
  readonly seconds: number
  readonly generation: number
  readonly mode?: 'run' | 'fenced' | 'unfenced'
}

export interface LatencyResult {
  readonly sessionMs: { p50: number; p99: number }
  readonly listMs: { p50: number; p99: number }
  readonly listsPerSecond: number
  readonly eventsPerSecond: number
  readonly cpuShare: number
}

const STEP_MS = 20
const FRESHNESS = 'freshet_freshness_seconds'

export async function latency(settings: LatencySettings): Promise<LatencyResult> {
  const prefix = `latency${settings.generation}.`
  const transport = await createKafkaTransport({ brokers: [settings.brokers], clientId: 'bench' })
  const registry = new SchemaRegistry({ url: settings.registry })
  const encoder = await Encoder.open(registry, prefix)
  const names = topicNames(prefix, 1)
  await transport.topics.create(outsideTopicSpecs(names, 4))
  const publisher = transport.publisher()
  const worker = new WorkerProcess(
    ['--topics.prefix', prefix, '--application.id', prefix, '--redis.prefix', prefix],
    {
      FRESHET_KAFKA_BROKERS: settings.brokers,
      FRESHET_SCHEMA_REGISTRY_URL: settings.registry,
      FRESHET_REDIS_URL: settings.redis,
      FRESHET_CLICKHOUSE_URL: 'none',
    },
    settings.mode,
  )
  try {
    await worker.ready()
    const source = new EventSource(
      {
        ...peersWorkload,
        active: settings.active,
        startTs: Date.now(),
        msPerEvent: 1000 / settings.eventsPerSecond,
      },
      encoder,
    )
    const feed = async (seconds: number): Promise<void> => {
      const startedAt = Date.now()
      const total = seconds * settings.eventsPerSecond
      for (let sent = 0; sent < total; ) {
        const due = Math.min(total, ((Date.now() - startedAt) / 1000) * settings.eventsPerSecond)
        const chunk = Array.from({ length: Math.floor(due - sent) }, () => source.next())
        sent += chunk.length
        if (chunk.length > 0) await publisher.send(names.outside('events'), chunk)
        await new Promise(resolve => setTimeout(resolve, STEP_MS))
      }
    }
    await feed(settings.warmUpSeconds)
    const before = await worker.metrics()
    const first = await worker.sample()
    await feed(settings.seconds)
    const after = await worker.metrics()
    const last = await worker.sample()
    const since = difference(before, after)
    const ms = (output: string, q: number): number =>
      quantileOf(since, FRESHNESS, `output="${output}"`, q) * 1000
    const wallSeconds = (last.atMs - first.atMs) / 1000
    return {
      sessionMs: { p50: ms('session', 0.5), p99: ms('session', 0.99) },
      listMs: { p50: ms('topk', 0.5), p99: ms('topk', 0.99) },
      listsPerSecond: sumOf(since, `${FRESHNESS}_count`, 'output="topk"') / wallSeconds,
      eventsPerSecond: (last.events - first.events) / wallSeconds,
      cpuShare: (last.cpuSeconds - first.cpuSeconds) / wallSeconds,
    }
  } finally {
    await worker.stop()
    await publisher.close()
    registry.close()
    await transport.close()
  }
}

/** Counters and buckets of the second text less those of the first. */
function difference(before: string, after: string): string {
  const was = new Map(before.split('\n').map(line => split(line)))
  return after
    .split('\n')
    .map(line => {
      const [series, value] = split(line)
      return line.startsWith('#') ? '' : `${series} ${value - (was.get(series) ?? 0)}`
    })
    .join('\n')
}

function split(line: string): [series: string, value: number] {
  const at = line.lastIndexOf(' ')
  return [line.slice(0, at), Number(line.slice(at + 1))]
}

/**
 * Sessions + popularity, exactly once, Avro in, topics out: CPU-seconds a million events of the worker process, whole run and
 * steady half, changelog bytes an event, memory. The input stands in the topic before the worker starts, as for the peers.
 */

import { outsideTopicSpecs } from '../../bin/topics.ts'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { Generations } from '../../streams/runtime/generations.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { EventSource, peersWorkload } from './events.ts'
import { type Sample, WorkerProcess } from './worker-process.ts'

export interface ThroughputSettings {
  readonly brokers: string
  readonly registry: string
  readonly events: number
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly mode?: 'run' | 'fenced' | 'unfenced'
}

export interface ThroughputResult {
  readonly cpuPerMillion: number
  readonly steadyCpuPerMillion: number
  readonly steadyEventsPerSecond: number
  readonly changelogBytesPerEvent: number
  readonly residentMb: number
}

export async function fillTopic(settings: {
  brokers: string
  registry: string
  prefix: string
  events: number
}): Promise<void> {
  const transport = await createKafkaTransport({
    brokers: [settings.brokers],
    clientId: 'bench',
    log: silentLogger,
  })
  const registry = new SchemaRegistry({ url: settings.registry })
  const encoder = await Encoder.open(registry, settings.prefix)
  const names = topicNames(settings.prefix, 1)
  await transport.topics.create(outsideTopicSpecs(names, 4))
  const source = new EventSource(peersWorkload, encoder)
  const publisher = transport.publisher()
  for (let sent = 0; sent < settings.events; sent += 5_000)
    await publisher.send(
      names.outside('events'),
      Array.from({ length: Math.min(5_000, settings.events - sent) }, () => source.next()),
    )
  await publisher.close()
  registry.close()
  await transport.close()
}

/** A new generation: the same input once more, from an empty state. */
async function beginAnew(brokers: string, prefix: string): Promise<void> {
  const transport = await createKafkaTransport({ brokers: [brokers], clientId: 'bench' })
  const names = topicNames(prefix, 1)
  const generations = new Generations({ transport, names, wall: Date.now })
  const { current } = await generations.read()
  if (current) await generations.raise(current, prefix, current.generation + 1)
  await transport.close()
}

export async function measure(
  settings: ThroughputSettings,
  prefix: string,
): Promise<ThroughputResult> {
  await beginAnew(settings.brokers, prefix)
  const worker = new WorkerProcess(
    ['--topics.prefix', prefix, '--application.id', prefix, ...settings.args],
    {
      FRESHET_KAFKA_BROKERS: settings.brokers,
      FRESHET_SCHEMA_REGISTRY_URL: settings.registry,
      FRESHET_LOG_LEVEL: 'info',
      ...settings.environment,
    },
    settings.mode,
  )
  try {
    await worker.ready()
    const first = await worker.sample()
    let half: Sample | undefined
    let last = first
    for (let still = 0; last.events < settings.events && still < 100; ) {
      await new Promise(resolve => setTimeout(resolve, 100))
      const now = await worker.sample()
      still = now.events === last.events ? still + 1 : 0
      if (!half && now.events >= settings.events / 2) half = now
      last = now
    }
    if (last.events < settings.events)
      throw new Error(`stopped at ${last.events} of ${settings.events} events:\n${worker.log}`)
    const middle = half ?? first
    const steady = last.events - middle.events
    return {
      cpuPerMillion: (last.cpuSeconds / last.events) * 1e6,
      steadyCpuPerMillion: ((last.cpuSeconds - middle.cpuSeconds) / steady) * 1e6,
      steadyEventsPerSecond: (steady / (last.atMs - middle.atMs)) * 1000,
      changelogBytesPerEvent: last.changelogBytes / last.events,
      residentMb: last.residentMb,
    }
  } finally {
    await worker.stop()
  }
}

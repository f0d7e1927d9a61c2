/**
 * How long a partition stands still when workers come and go: 8 partitions, 100,000 users of 5 plays each, everything that
 * `freshet run` computes, a probe user in each partition whose session hash in Redis is looked at all the time. The longest
 * time from a probe's event to its session during a change is how long processing stood there; `nothing` is the same time
 * while nobody comes or goes: a beat, a commit and what a hot hash is held back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { outsideTopicSpecs } from '../../bin/topics.ts'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import { WorkerProcess } from './worker-process.ts'

export interface RebalanceSettings {
  readonly brokers: string
  readonly registry: string
  readonly redis: string
  readonly partitions: number
  readonly users: number
  readonly generation: number
}

/** Longest time that a partition stood still, ms, by what happened. */
export type RebalanceResult = Readonly<Record<'nothing' | 'join' | 'leave' | 'kill', number>>

const BEAT_MS = 100
const PLAYS_EACH = 5

export async function rebalance(settings: RebalanceSettings): Promise<RebalanceResult> {
  const prefix = `rebalance${settings.generation}.`
  const transport = await createKafkaTransport({ brokers: [settings.brokers], clientId: 'bench' })
  const registry = new SchemaRegistry({ url: settings.registry })
  const encoder = await Encoder.open(registry, prefix)
  const names = topicNames(prefix, 1)
  await transport.topics.create(outsideTopicSpecs(names, settings.partitions))
  const publisher = transport.publisher()
  const redis = new Redis(settings.redis)
  const worker = (): WorkerProcess =>
    new WorkerProcess(
      ['--topics.prefix', prefix, '--application.id', prefix, '--redis.prefix', prefix],
      {
        FRESHET_KAFKA_BROKERS: settings.brokers,
        FRESHET_SCHEMA_REGISTRY_URL: settings.registry,
        FRESHET_REDIS_URL: settings.redis,
        FRESHET_CLICKHOUSE_URL: 'none',
      },
    )
  const workers = [worker()]
  const probes = new Probes(names.outside('events'), prefix, settings.partitions, encoder)
  try {
    for (let play = 0; play < PLAYS_EACH; play++)
      for (let from = 0; from < settings.users; from += 5_000)
        await publisher.send(
          names.outside('events'),
          Array.from({ length: 5_000 }, (_, i) => ({
            key: Buffer.from(`u${from + i}`),
            value: watchOf(encoder, `u${from + i}`, from + i + 7 * play, Date.now() - 600_000),
          })),
        )
    await workers[0].ready()
    probes.start(publisher, redis)
    await probes.settled()
    const during = async (change: () => Promise<void>, seconds: number): Promise<number> => {
      probes.reset()
      await change()
      await sleep(seconds * 1000)
      await probes.fresh()
      return probes.longestMs
    }
    const nothing = await during(async () => undefined, 5)
    const join = await during(async () => {
      workers.push(worker())
      await workers[1].ready()
    }, 8)
    const leave = await during(() => workers[1].stop(), 8)
    workers[1] = worker()
    await workers[1].ready()
    await probes.settled()
    const kill = await during(async () => {
      workers[1].child.kill('SIGKILL')
    }, 20)
    return { nothing, join, leave, kill }
  } finally {
    await probes.stop()
    for (const running of workers) await running.stop()
    await publisher.close()
    await redis.quit()
    registry.close()
    await transport.close()
  }
}

function watchOf(encoder: Encoder, userId: string, beat: number, ts: number): Buffer {
  return encoder.encode('Watch', {
    eventId: `${userId}-${beat}`,
    userId,
    itemId: `i${String(beat % 1000).padStart(6, '0')}`,
    playId: `${userId}-${beat}`,
    ts,
    watchedMs: 1000,
    durationMs: 60_000,
    consent: 'full',
  })
}

/** One user a partition, an event each beat; how old the newest session that Redis shows is at worst. */
class Probes {
  longestMs = 0
  private readonly topic: string
  private readonly prefix: string
  private readonly encoder: Encoder
  private readonly users: string[] = []
  private readonly shownAt: number[] = []
  private running: Promise<void> | undefined
  private stopping = false

  constructor(topic: string, prefix: string, partitions: number, encoder: Encoder) {
    this.topic = topic
    this.prefix = prefix
    this.encoder = encoder
    for (let n = 0; this.users.filter(Boolean).length < partitions; n++) {
      const user = `probe${n}`
      this.users[partitionOfText(user, partitions)] ??= user
    }
  }

  start(
    publisher: { send(topic: string, records: { key: Buffer; value: Buffer }[]): Promise<void> },
    redis: Redis,
  ): void {
    this.running = (async () => {
      for (let beat = 0; !this.stopping; beat++) {
        const ts = Date.now()
        await publisher.send(
          this.topic,
          this.users.map(userId => ({
            key: Buffer.from(userId),
            value: watchOf(this.encoder, userId, beat, ts),
          })),
        )
        await sleep(BEAT_MS)
        await Promise.all(this.users.map((user, i) => this.look(redis, user, i)))
      }
    })()
  }

  private async look(redis: Redis, user: string, i: number): Promise<void> {
    const last = await redis.hget(`${this.prefix}session:${user}`, 'last_event_at')
    this.shownAt[i] = Math.max(this.shownAt[i] ?? 0, Number(last ?? 0))
    this.longestMs = Math.max(this.longestMs, Date.now() - this.shownAt[i])
  }

  /** Resolves once every partition shows what is at most a second old. */
  async fresh(): Promise<void> {
    const deadline = Date.now() + 300_000
    while (Date.now() < deadline) {
      const oldest = Math.min(...this.users.map((_, n) => this.shownAt[n] ?? 0))
      if (Date.now() - oldest < 1_000) return
      await sleep(BEAT_MS)
    }
    throw new Error('a partition is not processed again within five minutes')
  }

  /** Resolves once nothing stood for a second in ten: the lists and counts of what came before are through as well. */
  async settled(): Promise<void> {
    for (let i = 0; i < 30; i++) {
      await this.fresh()
      this.reset()
      await sleep(10_000)
      if (this.longestMs < 1_000) return
    }
    throw new Error('the backlog of the filling is not through within five minutes')
  }

  reset(): void {
    this.longestMs = 0
  }

  async stop(): Promise<void> {
    this.stopping = true
    await this.running
  }
}

/**
 * A deployment for one test: real Kafka and Redis, a schema registry and ClickHouse over HTTP, with names of its own; and
 * what a reader from outside can see of it, through clients that are not freshet's.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import { Redis } from 'ioredis'
import { type Admin, Kafka, logLevel, Partitioners, type Producer } from 'kafkajs'
import { type ClickHouseProcess, spawnClickHouseHttp } from '../support/clickhouse-http.ts'
import { type RegistryServer, startRegistry } from '../support/registry.ts'
import { kafkaBrokers, redisUrl, uniqueName } from '../support/services.ts'
import type { Place } from './command.ts'

export interface DeadLetter {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
}

export class Setting implements Place {
  readonly cwd: string
  readonly name = uniqueName('e2e')
  readonly kafka: Kafka
  readonly admin: Admin
  readonly producer: Producer
  readonly redis: Redis
  readonly registry: RegistryServer
  readonly brokers: string
  readonly redisUrl: string
  readonly clickhouse: ClickHouseProcess | undefined
  private readonly extra: Readonly<Record<string, string>>

  private constructor(parts: {
    cwd: string
    extra: Readonly<Record<string, string>>
    brokers: string
    redisUrl: string
    registry: RegistryServer
    clickhouse: ClickHouseProcess | undefined
  }) {
    this.cwd = parts.cwd
    this.extra = parts.extra
    this.brokers = parts.brokers
    this.redisUrl = parts.redisUrl
    this.registry = parts.registry
    this.clickhouse = parts.clickhouse
    this.kafka = new Kafka({ brokers: parts.brokers.split(','), logLevel: logLevel.NOTHING })
    this.admin = this.kafka.admin()
    this.producer = this.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
    this.redis = new Redis(parts.redisUrl)
  }

  /** Shares the test run's Kafka and Redis, unless others are named. `variables` are added to those of every call. */
  static async open(
    wanted: {
      clickhouse?: boolean
      brokers?: string
      redisUrl?: string
      variables?: Readonly<Record<string, string>>
    } = {},
  ): Promise<Setting> {
    const cwd = mkdtempSync(join(tmpdir(), 'freshet-e2e-'))
    const clickhouse = wanted.clickhouse
      ? spawnClickHouseHttp({ directory: join(cwd, 'clickhouse') })
      : undefined
    const setting = new Setting({
      cwd,
      extra: wanted.variables ?? {},
      brokers: wanted.brokers ?? (await kafkaBrokers()),
      redisUrl: wanted.redisUrl ?? (await redisUrl()),
      registry: await startRegistry(),
      clickhouse: await clickhouse,
    })
    await Promise.all([setting.admin.connect(), setting.producer.connect()])
    return setting
  }

  get variables(): Readonly<Record<string, string>> {
    return {
      FRESHET_KAFKA_BROKERS: this.brokers,
      FRESHET_REDIS_URL: this.redisUrl,
      FRESHET_REDIS_PREFIX: `${this.name}:`,
      FRESHET_SCHEMA_REGISTRY_URL: this.registry.url,
      FRESHET_CLICKHOUSE_URL: this.clickhouse?.url ?? 'none',
      FRESHET_APPLICATION_ID: this.name,
      FRESHET_TOPICS_PREFIX: `${this.name}.`,
      ...this.extra,
    }
  }

  topic(name: string): string {
    return `${this.name}.${name}`
  }

  key(name: string): string {
    return `${this.name}:${name}`
  }

  /** Records of these topics that the application's group has not committed yet; Infinity before its first commit. */
  async lag(...topics: string[]): Promise<number> {
    const committed = await this.admin.fetchOffsets({
      groupId: this.name,
      topics: topics.map(name => this.topic(name)),
    })
    let lag = 0
    for (const { topic, partitions } of committed)
      for (const { partition, high } of await this.admin.fetchTopicOffsets(topic)) {
        const offset = Number(partitions.find(each => each.partition === partition)?.offset ?? -1)
        if (Number(high) > 0) lag += offset < 0 ? Number.POSITIVE_INFINITY : Number(high) - offset
      }
    return lag
  }

  async taken(...topics: string[]): Promise<void> {
    await until(async () => (await this.lag(...topics)) === 0)
  }

  /** All dead letters so far, in order of their offsets. */
  async deadLetters(): Promise<DeadLetter[]> {
    const [{ high }] = await this.admin.fetchTopicOffsets(this.topic('dead-letters'))
    const letters: DeadLetter[] = []
    if (Number(high) === 0) return letters
    const consumer = this.kafka.consumer({ groupId: `${this.name}-reader-${Date.now()}` })
    await consumer.connect()
    await consumer.subscribe({ topic: this.topic('dead-letters'), fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ message }) => {
            const headers = Object.entries(message.headers ?? {})
            letters.push({
              key: message.key,
              value: message.value,
              headers: Object.fromEntries(headers.map(([name, value]) => [name, String(value)])),
            })
            if (Number(message.offset) === Number(high) - 1) resolve()
          },
        })
        .catch(reject)
    })
    await consumer.disconnect()
    return letters
  }

  /** All of this deployment's keys in Redis, without their prefix. */
  async redisKeys(): Promise<string[]> {
    const keys = new Set<string>()
    const stream = this.redis.scanStream({ match: `${this.name}:*`, count: 1000 })
    for await (const page of stream)
      for (const key of page as string[]) keys.add(key.slice(this.name.length + 1))
    return [...keys]
  }

  /** Hashes by key (without prefix). */
  async hashes(keys: readonly string[]): Promise<Map<string, Record<string, string>>> {
    const all = new Map<string, Record<string, string>>()
    for (let at = 0; at < keys.length; at += 1000) {
      const page = keys.slice(at, at + 1000)
      const pipeline = this.redis.pipeline()
      for (const key of page) pipeline.hgetall(this.key(key))
      const found = (await pipeline.exec()) ?? []
      page.forEach((key, i) => {
        all.set(key, found[i][1] as Record<string, string>)
      })
    }
    return all
  }

  /** Strings by key (without prefix); absent ones are absent. */
  async texts(keys: readonly string[]): Promise<Map<string, string>> {
    const all = new Map<string, string>()
    for (let at = 0; at < keys.length; at += 1000) {
      const page = keys.slice(at, at + 1000)
      const found = await this.redis.mget(page.map(key => this.key(key)))
      page.forEach((key, i) => {
        if (found[i] !== null) all.set(key, found[i])
      })
    }
    return all
  }

  /** -1 ms: a key without a life. Keys that are gone meanwhile are left out. */
  async typesAndLives(
    keys: readonly string[],
  ): Promise<Map<string, { type: string; lifeMs: number }>> {
    const all = new Map<string, { type: string; lifeMs: number }>()
    for (let at = 0; at < keys.length; at += 1000) {
      const page = keys.slice(at, at + 1000)
      const pipeline = this.redis.pipeline()
      for (const key of page) pipeline.type(this.key(key)).pttl(this.key(key))
      const found = (await pipeline.exec()) ?? []
      page.forEach((key, i) => {
        const [type, lifeMs] = [String(found[2 * i][1]), Number(found[2 * i + 1][1])]
        if (lifeMs !== -2) all.set(key, { type, lifeMs })
      })
    }
    return all
  }

  /** item -> score */
  async scores(key: string): Promise<Map<string, number>> {
    const flat = await this.redis.zrange(this.key(key), '-inf', '+inf', 'BYSCORE', 'WITHSCORES')
    const scores = new Map<string, number>()
    for (let i = 0; i < flat.length; i += 2) scores.set(flat[i], Number(flat[i + 1]))
    return scores
  }

  async rows<T>(query: string): Promise<T[]> {
    const client = createClient({ url: this.clickhouse?.url })
    try {
      const result = await client.query({ query, format: 'JSONEachRow' })
      return await result.json<T>()
    } finally {
      await client.close()
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.admin.disconnect(), this.producer.disconnect()])
    this.redis.disconnect()
    await this.registry.close()
    await this.clickhouse?.stop('SIGKILL')
    rmSync(this.cwd, { recursive: true, force: true })
  }
}

/** Waits without an end of its own: the test's patience is the limit. */
export async function until(holds: () => boolean | Promise<boolean>, everyMs = 300): Promise<void> {
  while (!(await holds())) await sleep(everyMs)
}

/** Tries until the expectations hold; after `patienceMs` it fails with the last one that did not. */
export async function eventually(
  expectations: () => void | Promise<void>,
  patienceMs: number,
): Promise<void> {
  const end = Date.now() + patienceMs
  for (;;) {
    try {
      await expectations()
      return
    } catch (error) {
      if (Date.now() > end) throw error
      await sleep(500)
    }
  }
}

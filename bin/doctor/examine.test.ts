/** `freshet doctor` against real brokers, Redis, ClickHouse's engine and a registry: one healthy deployment, many broken. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Encoder, SchemaRegistry, subjectOf } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { topicNames } from '../../streams/runtime/names.ts'
import { partitionOf } from '../../streams/serde/hash.ts'
import { createKafkaTransport } from '../../streams/transport/kafka/index.ts'
import type { OutsideRecord, TopicSpec, Transport } from '../../streams/transport/port.ts'
import { type ClickHouseHttp, startClickHouseHttp } from '../../test/support/clickhouse-http.ts'
import { type RegistryServer, startRegistry } from '../../test/support/registry.ts'
import { kafkaBrokers, redisUrl, startRedis, uniqueName } from '../../test/support/services.ts'
import { allOptions } from '../all-options.ts'
import type { Call } from '../call.ts'
import { openTables } from '../compose.ts'
import { outsideTopicSpecs } from '../topics.ts'
import { examine } from './examine.ts'
import type { Finding } from './finding.ts'

const PARTITIONS = 3

let transport: Transport
let registry: RegistryServer
let clickhouse: ClickHouseHttp
let encoder: Encoder
let brokers: string
let redis: string
const folder = mkdtempSync(join(tmpdir(), 'freshet-doctor-'))

beforeAll(async () => {
  brokers = await kafkaBrokers()
  redis = await redisUrl()
  transport = await createKafkaTransport({ brokers: [brokers], clientId: 'doctor-test' })
  registry = await startRegistry()
  clickhouse = await startClickHouseHttp({ directory: join(folder, 'clickhouse') })
})

afterAll(async () => {
  await transport?.close()
  await registry?.close()
  await clickhouse?.close()
  rmSync(folder, { recursive: true, force: true })
})

function flagsOf(prefix: string): Record<string, string> {
  return {
    'kafka.brokers': brokers,
    'redis.url': redis,
    'clickhouse.url': clickhouse.url,
    'schemaRegistry.url': registry.url,
    'topics.prefix': prefix,
    'privacy.pseudonymKey': 'a secret of this test',
    'privacy.pseudonymKeyId': 'test',
  }
}

function callOf(flags: Record<string, string>): Call {
  return {
    ...resolveOptions(allOptions, { flags, environment: {}, file: {} }),
    json: true,
    flags: {},
  }
}

/** A deployment of its own by prefix; `change` says what is otherwise about its topics. */
async function deploy(
  change: (specs: TopicSpec[]) => TopicSpec[] = specs => specs,
): Promise<{ prefix: string; flags: Record<string, string> }> {
  const prefix = `${uniqueName('doctor')}.`
  await transport.topics.create(change(outsideTopicSpecs(topicNames(prefix, 1), PARTITIONS)))
  const client = new SchemaRegistry({ url: registry.url })
  encoder = await Encoder.open(client, prefix)
  client.close()
  return { prefix, flags: flagsOf(prefix) }
}

const watchOf = (userId: string): Buffer =>
  encoder.encode('Watch', {
    eventId: `e-${userId}`,
    userId,
    itemId: 'i1',
    ts: Date.now(),
    consent: 'full',
    playId: 'p1',
    watchedMs: 1_000,
  })

async function publish(prefix: string, records: readonly OutsideRecord[]): Promise<void> {
  const publisher = transport.publisher()
  await publisher.send(`${prefix}events`, records)
  await publisher.close()
}

const users = Array.from({ length: 60 }, (_, i) => `user-${i}`)
const verdictsOf = (findings: readonly Finding[], check: string) =>
  findings.filter(finding => finding.check === check).map(finding => finding.verdict)
const wrongs = (findings: readonly Finding[]) =>
  findings.filter(finding => finding.verdict === 'wrong')

describe('freshet doctor', () => {
  it('finds nothing wrong with a healthy deployment, and changes nothing in it', async () => {
    const { prefix, flags } = await deploy()
    await publish(
      prefix,
      users.map(user => ({ key: Buffer.from(user), value: watchOf(user) })),
    )
    const findings = await examine(callOf(flags), { sample: 100 })
    expect(wrongs(findings)).toEqual([])
    expect(new Set(findings.map(finding => finding.check))).toEqual(
      new Set([
        'node',
        'options',
        'brokers',
        'replication',
        'producer memory',
        'fence',
        'topics',
        'partitions',
        'own topics',
        'topic settings',
        'events',
        'schema registry',
        'redis',
        'clickhouse',
        'memory',
      ]),
    )
    // the one broker of the tests
    expect(findings.filter(finding => finding.verdict === 'warning').map(f => f.check)).toEqual([
      'replication',
    ])
    expect(findings.find(finding => finding.check === 'events')?.says).toContain('newest 60 events')
    const own = `${prefix}g1.user-changelog`
    expect((await transport.topics.describe([own])).has(own)).toBe(false)
  })

  it('names the client setting for keys and partitions that are wrong', async () => {
    const { prefix, flags } = await deploy()
    const elsewhere = (user: string): number =>
      (partitionOf(Buffer.from(user), PARTITIONS) + 1) % PARTITIONS
    await publish(prefix, [
      ...users.slice(0, 40).map(user => ({ key: Buffer.from(user), value: watchOf(user) })),
      ...users.slice(40, 55).map(user => ({
        key: Buffer.from(user),
        value: watchOf(user),
        partition: elsewhere(user),
      })),
      { key: null, value: watchOf('u'), partition: 0 },
      { key: Buffer.from('\0\0\0\0\x07u'), value: watchOf('u'), partition: 0 },
      { key: Buffer.from('other'), value: watchOf('u'), partition: 0 },
      { key: Buffer.from('u'), value: Buffer.from('nonsense'), partition: 0 },
    ])
    const events = (await examine(callOf(flags), { sample: 100 })).filter(
      finding => finding.check === 'events',
    )
    const says = (code: string) => events.find(finding => finding.says.startsWith(code))
    expect(says('PARTITION_MISMATCH')).toMatchObject({
      verdict: 'wrong',
      says: expect.stringContaining('25.4% of the newest 59 events'),
      remedy: expect.stringContaining('partitioner=murmur2_random'),
    })
    expect(says('KEY_MISSING')?.remedy).toContain('userId')
    expect(says('KEY_FRAMED')?.remedy).toContain('StringSerializer')
    expect(says('KEY_MISMATCH')?.says).toContain(`${prefix}events-0@`)
    expect(says('DECODE_FAILED')?.verdict).toBe('wrong')
    expect(events).toHaveLength(5)
  })

  it('finds topics that are missing, part company, or are kept wrongly', async () => {
    const { prefix, flags } = await deploy(specs =>
      specs
        .filter(spec => !spec.topic.endsWith('dead-letters'))
        .map(spec =>
          spec.topic.endsWith('erasures')
            ? { ...spec, partitions: PARTITIONS + 1 }
            : spec.topic.endsWith('items')
              ? { ...spec, config: { 'cleanup.policy': 'delete' } }
              : spec.topic.endsWith('events')
                ? { ...spec, config: { 'cleanup.policy': 'compact' } }
                : spec,
        ),
    )
    const found = wrongs(await examine(callOf(flags), { sample: 10 }))
    expect(found.map(({ check, says }) => [check, says.split(' ')[0]])).toEqual([
      ['topics', `${prefix}dead-letters`],
      ['partitions', `${prefix}events`],
      ['topic settings', `${prefix}events`],
      ['topic settings', `${prefix}items`],
    ])
    expect(found[0].remedy).toContain('freshet topics create')
    expect(found[1].says).toMatch(/events has 3, .*erasures has 4/)
    expect(found[3].remedy).toContain('cleanup.policy=compact')
  })

  it('finds own topics whose input was given other partitions, or that are not compacted', async () => {
    const { flags, prefix } = await deploy()
    const names = topicNames(prefix, 1)
    await transport.topics.create([
      {
        topic: names.changelog('user'),
        partitions: PARTITIONS + 2,
        config: { 'cleanup.policy': 'delete' },
      },
    ])
    const own = (await examine(callOf(flags), { sample: 10 })).filter(
      finding => finding.check === 'own topics',
    )
    expect(own[0]).toMatchObject({
      verdict: 'wrong',
      says: expect.stringContaining('5 partitions, its input has 3'),
    })
    expect(own.find(finding => finding.says.includes('cleanup.policy is delete'))).toMatchObject({
      verdict: 'wrong',
    })
    expect(own.find(finding => finding.says.includes('segment.ms'))?.verdict).toBe('warning')
  })

  it('finds Avro without a registry, and a subject that ours cannot follow', async () => {
    const { flags, prefix } = await deploy()
    await publish(prefix, [{ key: Buffer.from('u'), value: watchOf('u') }])
    const without = await examine(callOf({ ...flags, 'schemaRegistry.url': 'mock://none' }), {
      sample: 10,
    })
    expect(wrongs(without).map(finding => finding.remedy)).toContain(
      'set FRESHET_SCHEMA_REGISTRY_URL to the registry that the producers use',
    )

    const other = `${uniqueName('doctor')}.`
    const client = new SchemaRegistry({ url: registry.url })
    await client.register(
      subjectOf(other, 'events', 'Watch'),
      JSON.stringify({
        type: 'record',
        name: 'Watch',
        namespace: 'freshet',
        fields: [{ name: 'watchedMs', type: 'string' }],
      }),
    )
    client.close()
    const findings = await examine(callOf({ ...flagsOf(other), 'kafka.brokers': '' }), {
      sample: 10,
    })
    expect(findings.filter(finding => finding.check === 'schema registry')).toMatchObject([
      { verdict: 'wrong', says: expect.stringContaining(`${other}events-freshet.Watch`) },
      { verdict: 'warning', remedy: expect.stringContaining('topics create') },
    ])
  })

  it('finds a Redis that may evict anything, and one too small for the users', async () => {
    const own = await startRedis()
    const admin = new Redis(own.url)
    try {
      await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
      await admin.config('SET', 'maxmemory', '100mb')
      const flags = { ...flagsOf('none.'), 'kafka.brokers': '', 'redis.url': own.url }
      const findings = await examine(callOf(flags), { sample: 10, users: 1_000_000, items: 1_000 })
      expect(verdictsOf(findings, 'redis')).toEqual(['warning', 'warning'])
      expect(findings.find(finding => finding.check === 'redis')?.remedy).toContain('volatile-ttl')
      expect(findings.find(finding => finding.check === 'memory')?.says).toContain(
        '1,000,000 users',
      )
    } finally {
      admin.disconnect()
      await own.stop()
    }
  })

  it('finds a ClickHouse database that a newer freshet has migrated', async () => {
    const flags = { ...flagsOf('none.'), 'kafka.brokers': '', 'clickhouse.database': 'newer' }
    const { values } = callOf(flags)
    const tables = await openTables({ values, log: silentLogger, metrics: noMetrics })
    await tables?.migrate()
    const migrated = await examine(callOf(flags), { sample: 10 })
    expect(migrated.find(finding => finding.check === 'clickhouse')?.says).toContain('migrated to')
    await tables?.close()
    const inserted = await fetch(clickhouse.url, {
      method: 'POST',
      body: "INSERT INTO newer.migrations (number, name) VALUES (99, 'from the future')",
    })
    expect(inserted.ok).toBe(true)
    const findings = await examine(callOf(flags), { sample: 10 })
    expect(findings.find(finding => finding.check === 'clickhouse')).toMatchObject({
      verdict: 'wrong',
      says: expect.stringContaining('migration 99'),
    })
  })

  it('finds everything that does not answer, one line each, and leaves with 3', async () => {
    const run = spawnSync(
      process.execPath,
      ['--import', 'tsx', 'bin/main.ts', 'doctor', '--json'],
      {
        encoding: 'utf8',
        env: {
          ...process.env,
          FRESHET_KAFKA_BROKERS: '127.0.0.1:1',
          FRESHET_REDIS_URL: 'redis://127.0.0.1:1',
          FRESHET_CLICKHOUSE_URL: 'http://127.0.0.1:1',
          FRESHET_SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1',
        },
      },
    )
    expect(run.status).toBe(3)
    const answer = JSON.parse(run.stdout) as { ok: boolean; findings: Finding[] }
    expect(answer.ok).toBe(false)
    expect(wrongs(answer.findings).map(finding => finding.check)).toEqual([
      'brokers',
      'schema registry',
      'redis',
      'clickhouse',
    ])
    for (const finding of wrongs(answer.findings)) expect(finding.remedy).toBeTruthy()
  })
})

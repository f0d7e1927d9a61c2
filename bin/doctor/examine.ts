/** All checks of `freshet doctor`, in the order in which a start would meet what they look at. */
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { createRedisStore } from '../../sinks/redis/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import type { Call, Values } from '../call.ts'
import { isEmbedded, openTables, openTransport, REACH_MS, stateInForce } from '../compose.ts'
import { checkBrokers, checkFence } from './cluster.ts'
import { type Finding, ok, wrong } from './finding.ts'
import { checkMemory, type Sizes } from './memory.ts'
import { checkNode, checkOptions } from './options.ts'
import { checkRegistry } from './registry.ts'
import { sampleEvents } from './sample.ts'
import { checkClickHouse, checkEmbeddedClickHouse, checkRedis } from './stores.ts'
import { checkTopics, topicsToSee } from './topics.ts'

/** A broker that is in the cluster's list and out of reach would be waited for without limit. */
const CLUSTER_MS = 30_000

export interface Scope {
  /** Newest events looked at, a partition. */
  readonly sample: number
  /** As the caller foresees; undefined: judged by the topics. */
  readonly users?: number
  readonly items?: number
}

/** Findings of one dependency never keep those of another from being made. */
export async function examine(call: Call, scope: Scope): Promise<readonly Finding[]> {
  const { values } = call
  const found: Finding[] = [checkNode(process.versions.node), ...checkOptions(call.resolved)]
  const registry = new SchemaRegistry({ url: values['schemaRegistry.url'] })
  try {
    const sizes = isEmbedded(values)
      ? undefined
      : await examineKafka(values, registry, scope, found)
    await attempt(found, 'schema registry', async () => {
      found.push(
        ...(await checkRegistry(registry, values['schemaRegistry.url'], values['topics.prefix'])),
      )
    })
    if (isEmbedded(values))
      found.push(ok('brokers', `none are named: the embedded log in ${values['data.dir']} is used`))
    await examineRedis(values, scope, found)
    await examineClickHouse(values, found)
    const foreseen = foresee(scope, sizes)
    if (foreseen) found.push(checkMemory(foreseen))
  } finally {
    registry.close()
  }
  return found
}

async function attempt(found: Finding[], check: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof FreshetError)) throw error
    found.push(wrong(check, error.message, remedyOf(error)))
  }
}

const remedyOf = (error: FreshetError): string =>
  error.code === 'DEPENDENCY_UNREACHABLE'
    ? 'start it, or correct its address (`freshet config show` says where each option came from)'
    : 'correct what the sentence names'

async function examineKafka(
  values: Values,
  registry: SchemaRegistry,
  scope: Scope,
  found: Finding[],
): Promise<Sizes | undefined> {
  let sizes: Sizes | undefined
  await attempt(found, 'brokers', async () => {
    const transport = await openTransport(
      { values, log: silentLogger, metrics: noMetrics },
      REACH_MS,
    )
    try {
      sizes = await within(transport, () =>
        examineCluster(transport, values, registry, scope, found),
      )
    } finally {
      await transport.close()
    }
  })
  return sizes
}

/** Errors: DEPENDENCY_UNREACHABLE with what the transport waits for. */
async function within<T>(transport: Transport, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new FreshetError(
            'DEPENDENCY_UNREACHABLE',
            `not done within ${CLUSTER_MS / 1000} s: waiting for ${transport.waiting() ?? 'an answer'}; the cluster gives out its advertised.listeners, which must be reachable from here`,
          ),
        ),
      CLUSTER_MS,
    )
  })
  try {
    return await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}

async function examineCluster(
  transport: Transport,
  values: Values,
  registry: SchemaRegistry,
  scope: Scope,
  found: Finding[],
): Promise<Sizes | undefined> {
  const { names } = await stateInForce(values, transport)
  const application = await nameOnly(values)
  const topics = topicsToSee(names, application)
  const facts = (await transport.facts?.(topics)) ?? { brokers: [], topics: new Map() }
  found.push(...checkBrokers(facts), await checkFence(transport, names))
  const described = await transport.topics.describe(topics)
  const silent = new Set(values['topics.silent'].split(',').map(name => name.trim()))
  found.push(...(await checkTopics({ names, application, silent, described, facts })))
  const events = described.get(names.outside('events'))
  if (events)
    found.push(
      ...(await sampleEvents({
        transport,
        topic: names.outside('events'),
        partitions: events.partitions,
        perPartition: scope.sample,
        schemas: registry,
        registryUrl: values['schemaRegistry.url'],
        options: values,
      })),
    )
  const records = async (topic: string): Promise<number> => {
    const partitions = described.get(topic)?.partitions ?? 0
    const offsets = await transport.topics.offsets(
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
    )
    return offsets.reduce((sum, { start, end }) => sum + end - start, 0)
  }
  return {
    users: await records(names.changelog('user')),
    items: await records(names.outside('items')),
    from: 'at most, by the topics (--users and --items say it better)',
  }
}

/** The application for the names of its kinds and inputs: nothing of it runs, nothing is registered anywhere. */
export async function nameOnly(values: Values): Promise<Application> {
  const schemas = new SchemaRegistry({ url: 'mock://doctor' })
  return createApplication({
    options: values,
    topologies: parseTopologies(values.topologies),
    schemas,
    encoder: await Encoder.open(schemas, values['topics.prefix']),
    clock: systemClock,
  })
}

async function examineRedis(values: Values, scope: Scope, found: Finding[]): Promise<void> {
  const url = values['redis.url']
  if (url === 'none') found.push(ok('redis', 'left out: no lists are written'))
  else if (url === '')
    found.push(
      ok('redis', `none is named: lists go to the embedded store in ${values['data.dir']}`),
    )
  else
    await attempt(found, 'redis', async () => {
      const store = createRedisStore({
        url,
        prefix: values['redis.prefix'],
        log: silentLogger,
        clock: systemClock,
        metrics: noMetrics,
      })
      try {
        found.push(...checkRedis(await store.ping(), scope.users))
      } finally {
        await store.close()
      }
    })
}

async function examineClickHouse(values: Values, found: Finding[]): Promise<void> {
  const url = values['clickhouse.url']
  if (url === 'none') found.push(ok('clickhouse', 'left out: no statistics are written'))
  else if (/^($|chdb:)/.test(url)) found.push(checkEmbeddedClickHouse())
  else
    await attempt(found, 'clickhouse', async () => {
      const tables = await openTables({ values, log: silentLogger, metrics: noMetrics })
      if (tables === null) return
      try {
        found.push(await checkClickHouse(tables, values['clickhouse.database']))
      } finally {
        await tables.close()
      }
    })
}

function foresee(scope: Scope, sizes: Sizes | undefined): Sizes | undefined {
  if (scope.users === undefined && scope.items === undefined) return sizes
  return {
    users: scope.users ?? sizes?.users ?? 0,
    items: scope.items ?? sizes?.items ?? 0,
    from: 'as given',
  }
}

/** The composition root: makes transport, sinks and application out of the options. The only place that constructs clients. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SASLOptions } from 'kafkajs'
import { Encoder, SchemaRegistry } from '../schemas/index.ts'
import {
  type ClickHouseStore,
  clickhouseSettings,
  createClickHouseStore,
} from '../sinks/clickhouse/store.ts'
import { createEmbeddedStore } from '../sinks/embedded/store.ts'
import { createRedisStore, type RedisStore } from '../sinks/redis/store.ts'
import { type Clock, systemClock } from '../streams/clock.ts'
import { FreshetError, messageOf } from '../streams/errors.ts'
import type { Logger } from '../streams/log.ts'
import { type Metrics, noMetrics } from '../streams/metrics.ts'
import { Generations, type InForce, inForce } from '../streams/runtime/generations.ts'
import { type TopicNames, topicNames } from '../streams/runtime/names.ts'
import type { FillableViewStore, ViewReader } from '../streams/sinks.ts'
import { createEmbeddedTransport } from '../streams/transport/embedded/index.ts'
import { createKafkaTransport } from '../streams/transport/kafka/index.ts'
import type { Transport } from '../streams/transport/port.ts'
import type { Call, Values } from './call.ts'
import { createLookingLogger } from './logger.ts'

/** What an unreachable dependency is waited for before a command that asks something gives up. */
export const REACH_MS = 10_000

export interface Surroundings {
  readonly values: Values
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock?: Clock
}

/** Options of stores that serve one process alone, as they are set. */
export const unsharedStores = (values: Values): string[] =>
  [
    values['redis.url'] === '' && 'redis.url',
    (values['clickhouse.url'] === '' || values['clickhouse.url'].startsWith('chdb:')) &&
      'clickhouse.url',
  ].filter(name => name !== false)

/** Nothing is made for a sink that is left out. */
export function reachable(values: Values, views: boolean, tables: boolean): Values {
  return {
    ...values,
    ...(views ? {} : { 'session.views': false, 'covisit.similar': false }),
    ...(tables ? {} : { 'labels.examples': false }),
  }
}

export const isEmbedded = (values: Values): boolean => values['kafka.brokers'] === ''

/** Of topics for outside; those of state are named by what is in force (`stateInForce`). */
export function namesOf(values: Values): TopicNames {
  return topicNames(values['topics.prefix'], 1)
}

/** The journal of generations of these topics. */
export function journalOf(values: Values, transport: Transport): Generations {
  return new Generations({ transport, names: namesOf(values), wall: systemClock.wall })
}

/** The generation, and the names of the topics of its state, as the log says; the first where nothing has begun. */
export async function stateInForce(values: Values, transport: Transport): Promise<InForce> {
  return inForce(namesOf(values), await journalOf(values, transport).read())
}

function embeddedFolder(values: Values, part: string): string {
  const folder = join(values['data.dir'], part)
  try {
    mkdirSync(folder, { recursive: true })
  } catch (error) {
    throw new FreshetError(
      'OPTION_INVALID',
      `option data.dir got ${values['data.dir']}, where nothing can be written (${messageOf(error)}); name a folder of your own with --data`,
      error,
    )
  }
  return folder
}

/**
 * `readOnly`: an embedded log may be in use by another process, and is not made where there is none.
 * Errors: DEPENDENCY_UNREACHABLE after `waitMs`; without it the brokers are waited for.
 */
export async function openTransport(
  { values, log, metrics, clock }: Surroundings,
  waitMs?: number,
  readOnly = false,
): Promise<Transport> {
  if (isEmbedded(values)) {
    const dir = readOnly ? join(values['data.dir'], 'log') : embeddedFolder(values, 'log')
    return createEmbeddedTransport({ dir, readOnly, log, clock })
  }
  const mechanism = values['kafka.sasl.mechanism']
  const ca = values['kafka.ssl.ca']
  return createKafkaTransport({
    brokers: values['kafka.brokers'].split(',').map(broker => broker.trim()),
    clientId: values['application.id'],
    ssl: values['kafka.ssl'] ? (ca === '' ? true : { ca: [readFileSync(ca, 'utf8')] }) : undefined,
    sasl:
      mechanism === ''
        ? undefined
        : ({
            mechanism,
            username: values['kafka.sasl.username'],
            password: values['kafka.sasl.password'],
          } as SASLOptions),
    clock,
    log,
    metrics,
    waitMs,
  })
}

/** Errors: DEPENDENCY_UNREACHABLE after a while, DEPENDENCY_UNSUITABLE from the registry. */
export async function openSchemas({ values, log, clock = systemClock }: Surroundings) {
  const registry = new SchemaRegistry({ url: values['schemaRegistry.url'], log })
  const until = clock.now() + REACH_MS
  for (;;) {
    try {
      return { registry, encoder: await Encoder.open(registry, values['topics.prefix']) }
    } catch (error) {
      const isAway = error instanceof FreshetError && error.code === 'DEPENDENCY_UNREACHABLE'
      if (!isAway || clock.now() >= until) throw error
      await clock.sleep(250)
    }
  }
}

/** The registry to read schemas from: registers nothing, but within the process where it is embedded. */
export async function openRegistry(around: Surroundings): Promise<SchemaRegistry> {
  const url = around.values['schemaRegistry.url']
  if (url.startsWith('mock://')) return (await openSchemas(around)).registry
  return new SchemaRegistry({ url, log: around.log })
}

export type Views = (FillableViewStore & ViewReader) | RedisStore

/** null where Redis is left out by `none`. */
export function openViews(
  { values, log, metrics, clock = systemClock }: Surroundings,
  readOnly = false,
): Views | null {
  const url = values['redis.url']
  if (url === 'none') return null
  if (url === '')
    return createEmbeddedStore({
      // who only looks makes nothing
      dir: readOnly ? join(values['data.dir'], 'views') : embeddedFolder(values, 'views'),
      readOnly,
      clock,
    })
  return createRedisStore({ url, prefix: values['redis.prefix'], log, clock, metrics })
}

/** The view store for commands that only look. Errors: CALL_INVALID where Redis is left out. */
export function openStoredViews({ values }: Call): Views {
  const views = openViews(
    { values, log: createLookingLogger(values['log.level']), metrics: noMetrics },
    true,
  )
  if (views === null)
    throw new FreshetError('CALL_INVALID', 'redis.url is none: there are no views to look at')
  return views
}

/** Where ClickHouse is; undefined where it is left out by `none`. */
export function tablesUrl(values: Values): string | undefined {
  const given = values['clickhouse.url']
  if (given === 'none') return undefined
  return given === '' ? `chdb:${embeddedFolder(values, 'clickhouse')}` : given
}

/** null where ClickHouse is left out by `none`. Not yet migrated. */
export async function openTables(
  { values, log, metrics, clock = systemClock }: Surroundings,
  run = 'live',
): Promise<ClickHouseStore | null> {
  const url = tablesUrl(values)
  if (url === undefined) return null
  return createClickHouseStore({ ...clickhouseSettings(values), url, run, log, metrics, clock })
}

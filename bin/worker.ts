/**
 * One worker process: everything that `freshet run` and `freshet demo` share. What a worker uses (`WorkerParts`) outlives it:
 * where another generation comes into force the next worker begins on the same connections.
 */
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import { systemClock } from '../streams/clock.ts'
import type { Outlets } from '../streams/runtime/delivery.ts'
import { proveFence } from '../streams/runtime/fence-probe.ts'
import type { InForce } from '../streams/runtime/generations.ts'
import { Worker } from '../streams/runtime/worker.ts'
import type { ViewStore } from '../streams/sinks.ts'
import type { Application } from '../streams/topology/stage.ts'
import type { Transport } from '../streams/transport/port.ts'
import { webhookHeaders } from '../topologies/alerts/options.ts'
import { alertRules } from '../topologies/alerts/rules.ts'
import { createApplication, parseTopologies } from '../topologies/main.ts'
import { PipelineAlerts } from './alerts-pipeline.ts'
import { alertPublisher } from './alerts-publisher.ts'
import { Webhook } from './alerts-webhook.ts'
import {
  isEmbedded,
  namesOf,
  openSchemas,
  openTables,
  openTransport,
  openViews,
  REACH_MS,
  reachable,
  type Surroundings,
  stateInForce,
  type Views,
} from './compose.ts'
import { followExperiments } from './experiments-topic.ts'
import { followModel } from './model-host.ts'
import { writePipeline } from './pipeline.ts'
import { followReferences } from './references-topic.ts'
import { outsideTopicSpecs } from './topics.ts'

/** What a worker uses, open. */
export interface WorkerParts {
  readonly transport: Transport
  readonly views: Views | null
  readonly tables: ClickHouseStore | null
  /** null where none is named. */
  readonly webhook: Webhook | null
  /** What is embedded or left out, a line each, for a person to know. */
  readonly notes: readonly string[]
  /**
   * Starts a worker on a generation, which writes into `views` instead of these, if some are given. `close` stops it and
   * leaves the parts as they are.
   */
  begin(
    state: InForce,
    views?: ViewStore | null,
  ): Promise<{ worker: Worker; close(): Promise<void> }>
  close(): Promise<void>
}

export interface RunningWorker extends Omit<WorkerParts, 'begin'> {
  readonly worker: Worker
  /** Stops the worker, then closes what it used. */
  close(): Promise<void>
}

/** What stands between the worker and what it uses: the demo looks on at the views, a bench takes the fence away. */
export interface Between {
  views?(views: Views): ViewStore
  transport?(transport: Transport): Transport
}

type Opened = { close(): Promise<void> | void }[]

/**
 * Opens everything, starts the worker on what is in force. Errors: each dependency that can't be reached or used, in one
 * sentence.
 */
export async function startWorker(
  around: Surroundings,
  between: Between = {},
): Promise<RunningWorker> {
  const parts = await openWorkerParts(around, between)
  try {
    const begun = await parts.begin(await stateInForce(around.values, parts.transport))
    return {
      ...parts,
      worker: begun.worker,
      close: async () => {
        await begun.close()
        await parts.close()
      },
    }
  } catch (error) {
    await parts.close()
    throw error
  }
}

/** Opens everything that a worker uses. Errors: each dependency that can't be reached or used, in one sentence. */
export async function openWorkerParts(
  around: Surroundings,
  between: Between = {},
): Promise<WorkerParts> {
  const { values, log, clock = systemClock } = around
  const opened: Opened = []
  try {
    const transport = await openTransport(around, REACH_MS)
    opened.push(transport)
    const names = namesOf(values)
    if (!isEmbedded(values)) await proveFence(transport, names)
    const { registry, encoder } = await openSchemas(around)
    opened.push(registry)
    const views = openViews(around)
    if (views) {
      opened.push(views)
      if ('ping' in views) await views.ping()
    }
    const tables = await openTables(around)
    if (tables) {
      opened.push(tables)
      await tables.migrate(REACH_MS)
    }
    if (isEmbedded(values))
      await transport.topics.create(outsideTopicSpecs(names, values['topics.partitions']))
    const model = await followModel(around, transport, names, registry)
    if (model) opened.push(model)
    const experiments = await followExperiments({ transport, names, registry, clock, log }, values)
    opened.push(experiments)
    const references = await followReferences({ transport, names, clock, log })
    opened.push(references)
    const webhook = openWebhook(around)
    if (webhook) opened.push(webhook)
    const topic = names.outside('alerts')
    const publisher = alertPublisher(transport.publisher(), { topic, encoder, webhook })
    opened.push(publisher)
    const silent = new Set(values['topics.silent'].split(',').map(name => name.trim()))
    return {
      transport,
      views,
      tables,
      webhook,
      notes: notesOf(around),
      begin: (state, given = views && (between.views?.(views) ?? views)) =>
        beginWorker(around, state, {
          application: () =>
            createApplication({
              options: reachable(values, views !== null, tables !== null),
              topologies: parseTopologies(values.topologies),
              schemas: registry,
              encoder,
              clock,
              models: model?.host,
              experiments: experiments.book,
              references: references.book,
              database: values['clickhouse.database'],
            }),
          transport: between.transport?.(transport) ?? transport,
          outlets: {
            views: given,
            tables,
            publisher,
            silent,
          },
          tables,
          alertsTopic: silent.has('alerts') ? null : topic,
        }),
      close: () => closeAll(opened),
    }
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

interface Means {
  application(): Application
  readonly transport: Transport
  readonly outlets: Omit<Outlets, 'names'>
  readonly tables: ClickHouseStore | null
  readonly alertsTopic: string | null
}

async function beginWorker(
  { values, log, metrics, clock = systemClock }: Surroundings,
  { generation, names }: InForce,
  { application, transport, outlets, tables, alertsTopic }: Means,
): Promise<{ worker: Worker; close(): Promise<void> }> {
  const worker = new Worker({
    application: application(),
    transport,
    names,
    outlets: { ...outlets, names },
    clock,
    log,
    metrics,
    generation,
    groupId: values['application.id'],
    clientId: values['application.id'],
    sessionTimeoutMs: values['kafka.sessionTimeout'],
    writerDeadlineMs: values['kafka.writerDeadline'],
    startAt: values['input.start'],
  })
  const opened: Opened = [{ close: () => worker.stop() }]
  try {
    await worker.start()
    const alerts = new PipelineAlerts({
      rules: alertRules(values),
      database: values['clickhouse.database'],
      publisher: outlets.publisher,
      topic: alertsTopic,
      tables,
      log,
    })
    const everyMs = values['pipeline.interval']
    opened.push(writePipeline(worker, tables, { everyMs, clock, log, alerts }))
    return { worker, close: () => closeAll(opened) }
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

function openWebhook({ values, log, metrics, clock = systemClock }: Surroundings): Webhook | null {
  const url = values['alerts.webhook']
  if (url === '') return null
  const headers = webhookHeaders(values['alerts.webhookHeaders']) ?? {}
  return new Webhook({ url, headers, clock, log, metrics })
}

async function closeAll(opened: Opened): Promise<void> {
  for (const part of opened.splice(0).reverse()) await part.close()
}

function notesOf({ values }: Surroundings): string[] {
  const where = values['data.dir']
  const notes: string[] = []
  if (isEmbedded(values)) notes.push(`no Kafka is named: the embedded log in ${where} is used`)
  if (values['redis.url'] === '')
    notes.push(`no Redis is named: lists are kept in the embedded store in ${where}`)
  if (values['redis.url'] === 'none') notes.push('Redis is left out: no lists are written')
  if (values['clickhouse.url'] === '')
    notes.push(`no ClickHouse is named: statistics go to the embedded one in ${where}`)
  if (values['clickhouse.url'] === 'none')
    notes.push('ClickHouse is left out: no statistics are written')
  if (!isEmbedded(values) && values['schemaRegistry.url'].startsWith('mock://'))
    notes.push('no schema registry is named: only events in plain JSON can be read')
  return notes
}

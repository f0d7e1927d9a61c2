/** Composes one part of a replay: its source, application and outputs, as the command was told. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ArchiveReader } from '../../replay/archive/reader.ts'
import { backfillTables } from '../../replay/backfill/filtered-tables.ts'
import { givenReferences } from '../../replay/backfill/references.ts'
import { KnownErasures } from '../../replay/shadow/erasures.ts'
import type { ReplayFolder } from '../../replay/shadow/folder.ts'
import { Outputs } from '../../replay/shadow/outputs.ts'
import { LocalPart } from '../../replay/shadow/part.ts'
import type { RecordSource } from '../../replay/shadow/source.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import { archiveSource } from '../../replay/source/archive.ts'
import { kafkaSource } from '../../replay/source/kafka.ts'
import { Encoder, SchemaRegistry, type SchemaSource } from '../../schemas/index.ts'
import type { ClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { createEmbeddedStore } from '../../sinks/embedded/store.ts'
import { systemClock } from '../../streams/clock.ts'
import type { TableStore, ViewStore } from '../../streams/sinks.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { ReferenceBook } from '../../topologies/drift/reference-book.ts'
import { ExperimentBook } from '../../topologies/experiments/book.ts'
import { pseudonym } from '../../topologies/labels/pseudonym.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import type { Values } from '../call.ts'
import {
  isEmbedded,
  namesOf,
  openRegistry,
  openTables,
  openTransport,
  openViews,
  REACH_MS,
  reachable,
  type Surroundings,
} from '../compose.ts'
import { followExperiments } from '../experiments-topic.ts'
import { followModel } from '../model-host.ts'
import { followReferences } from '../references-topic.ts'
import { partOf, replayValues } from './values.ts'

interface Closable {
  close(): Promise<void> | void
}

/** Number of tasks of each kind, as the replay's inputs have partitions. */
export function countsOf(application: Application, spec: ReplaySpec): Map<string, number> {
  return new Map(
    application.kinds.map(({ name, inputs, partitions }) => [
      name,
      inputs.length > 0 ? (spec.ranges[inputs[0]]?.length ?? 1) : (partitions ?? 1),
    ]),
  )
}

export interface OpenedPart {
  readonly part: LocalPart
  readonly counts: ReadonlyMap<string, number>
  /** What of Kafka, Redis and ClickHouse it waits for, and since when. */
  waiting(): string | undefined
  close(): Promise<void>
}

/** The part `index` of `of`. Errors: what can't be reached or used, in a sentence. */
export async function openPart(
  around: Surroundings,
  folder: ReplayFolder,
  index: number,
  of: number,
): Promise<OpenedPart> {
  const spec = folder.spec()
  const values = replayValues(around.values, spec)
  const opened: Closable[] = []
  try {
    const inputs = await openInputs({ ...around, values }, spec, opened)
    const outlets = await openOutlets({ ...around, values }, folder, spec, opened)
    const registry = new SchemaRegistry({ url: 'mock://replay' })
    const application = createApplication({
      options: reachable(values, outlets.views !== null, outlets.tables !== null),
      topologies: parseTopologies(spec.topologies),
      schemas: inputs.schemas,
      encoder: await Encoder.open(registry, values['topics.prefix']),
      clock: systemClock,
      ...inputs.followed,
      ...(spec.backfill && { references: givenReferences(folder) }),
      database: values['clickhouse.database'],
    })
    const counts = countsOf(application, spec)
    const outputs = new Outputs({
      ...outlets,
      erasures: await readErasures(inputs.source, spec, values),
      generation: spec.generation,
      opening: openingOf(folder, (around.clock ?? systemClock).wall()),
    })
    const part = new LocalPart({
      application,
      counts,
      owns: (kind, partition) => partOf(kind, partition, counts, of) === index,
      spec,
      stateDir: folder.stateDir,
      source: inputs.source,
      outputs,
      metrics: around.metrics,
      log: around.log,
    })
    const waiting = (): string | undefined =>
      inputs.waiting() ?? outlets.views?.waiting() ?? outlets.tables?.waiting()
    return { part, counts, waiting, close: () => closeAll(opened) }
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

/** Grows with each opening, also where the one before was killed before it came to a checkpoint. `wall`: now, ms. */
export const openingOf = (folder: ReplayFolder, wall: number): number =>
  Math.max((folder.checkpoint()?.number ?? 0) + 1, Math.floor(wall))

async function closeAll(opened: Closable[]): Promise<void> {
  for (const one of opened.splice(0).reverse()) await one.close()
}

interface Inputs {
  readonly source: RecordSource
  waiting(): string | undefined
  readonly schemas: SchemaSource
  readonly followed: Partial<
    Pick<Parameters<typeof createApplication>[0], 'models' | 'experiments' | 'references'>
  >
}

/** Definitions of experiments, references and pushed models are those of now, where there is a log to read them from. */
async function openInputs(
  around: Surroundings,
  spec: ReplaySpec,
  opened: Closable[],
): Promise<Inputs> {
  const { values, clock = systemClock } = around
  const registry = await openRegistry(around)
  opened.push(registry)
  const hasLog = !isEmbedded(values) || existsSync(join(values['data.dir'], 'log'))
  let transport: Transport | undefined
  if (spec.source.kind === 'kafka' || hasLog) {
    transport = await openTransport(around, REACH_MS, true)
    opened.push(transport)
  }
  const names = namesOf(values)
  const waiting = (): string | undefined => {
    const missing = transport?.waiting()
    return missing && `Kafka, ${missing}`
  }
  const followed = transport
    ? await follow({ ...around, clock }, transport, registry, opened)
    : { experiments: new ExperimentBook(values), references: new ReferenceBook() }
  if (spec.source.kind === 'archive') {
    const reader = ArchiveReader.open(spec.source.dir)
    const isMock = values['schemaRegistry.url'].startsWith('mock://')
    return {
      source: archiveSource(reader),
      waiting,
      schemas: reader.schemas(isMock ? undefined : registry),
      followed,
    }
  }
  const source = kafkaSource(transport as Transport, names)
  return { source, waiting, schemas: registry, followed }
}

async function follow(
  around: Surroundings & { clock: NonNullable<Surroundings['clock']> },
  transport: Transport,
  registry: SchemaRegistry,
  opened: Closable[],
): Promise<Inputs['followed']> {
  const { values, clock, log } = around
  const names = namesOf(values)
  const experiments = await followExperiments({ transport, names, registry, clock, log }, values)
  opened.push(experiments)
  const references = await followReferences({ transport, names, clock, log })
  opened.push(references)
  const model = await followModel(around, transport, names, registry)
  if (model) opened.push(model)
  return { experiments: experiments.book, references: references.book, models: model?.host }
}

async function openOutlets(
  around: Surroundings,
  folder: ReplayFolder,
  spec: ReplaySpec,
  opened: Closable[],
): Promise<{
  views: ViewStore | null
  tables: (TableStore & Partial<Pick<ClickHouseStore, 'drain'>>) | null
}> {
  const { clock = systemClock } = around
  const views = spec.backfill ? null : openShadowViews(around, folder, clock)
  if (views) opened.push(views)
  const tables = await openTables(around, spec.name)
  if (!tables) return { views, tables: null }
  opened.push(tables)
  await tables.migrate(REACH_MS)
  return { views, tables: spec.backfill ? backfillTables(tables, spec.backfill) : tables }
}

/** Without Redis: an embedded store in the replay's own folder. */
export function openShadowViews(
  around: Surroundings,
  folder: ReplayFolder,
  clock = systemClock,
  readOnly = false,
) {
  if (around.values['redis.url'] === '')
    return createEmbeddedStore({ dir: join(folder.dir, 'views'), readOnly, clock })
  return openViews(around)
}

/** Whose erasure stands anywhere in the log. The record's key is the user. */
async function readErasures(
  source: RecordSource,
  spec: ReplaySpec,
  values: Values,
): Promise<KnownErasures> {
  const keys = [
    values['privacy.pseudonymKey'],
    ...values['privacy.formerKeys'].map(({ key }) => key),
  ]
  const erasures = new KnownErasures(user => keys.map(key => pseudonym(user, key)))
  for (const [partition, [from]] of (spec.ranges.erasures ?? []).entries())
    for await (const run of source.read('erasures', partition, from, Number.POSITIVE_INFINITY))
      for (const { key, value, timestamp } of run)
        if (key !== null && value !== null) erasures.add(key.toString(), timestamp)
  return erasures
}

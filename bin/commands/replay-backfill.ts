/** `freshet replay backfill`: past statistics computed anew from the log, in live's place. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { takeLock } from '../../replay/archive/lock.ts'
import { ArchiveReader } from '../../replay/archive/reader.ts'
import { evaluatedHours } from '../../replay/backfill/evaluation.ts'
import { type LogLook, lookAtArchive, lookAtTopics } from '../../replay/backfill/log-look.ts'
import {
  type BackfillPlan,
  type BackfillTimes,
  iso,
  planBackfill,
  planWithoutLog,
} from '../../replay/backfill/plan.ts'
import { dropRows, type PublishedTable, publish } from '../../replay/backfill/publish.ts'
import { chosen, liveReferences, putReferences } from '../../replay/backfill/references.ts'
import { backfillTableSpecs } from '../../replay/backfill/tables.ts'
import { LiveLag } from '../../replay/pace/live-lag.ts'
import { unpaced } from '../../replay/pace/pacer.ts'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import type { ReplaySpec } from '../../replay/shadow/spec.ts'
import type { SchemaSource } from '../../schemas/index.ts'
import { connect } from '../../sinks/clickhouse/connect.ts'
import { systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Transport } from '../../streams/transport/port.ts'
import type { SetReference } from '../../topologies/drift/reference-book.ts'
import { labelTimes } from '../../topologies/labels/options.ts'
import { surfacePolicies } from '../../topologies/topk/surfaces.ts'
import {
  action,
  answer,
  type Call,
  command,
  EXIT,
  notDone,
  type Values,
  wholeNumber,
} from '../call.ts'
import {
  isEmbedded,
  namesOf,
  openRegistry,
  openTables,
  openTransport,
  REACH_MS,
  type Surroundings,
  stateInForce,
  tablesUrl,
} from '../compose.ts'
import { createLogger } from '../logger.ts'
import { readReferences } from '../references-topic.ts'
import { type BackfillAsked, backfillName, parseBackfill } from '../replay/backfill-call.ts'
import { runReplay } from '../replay/run.ts'
import { replayValues } from '../replay/values.ts'
import { count, Progress, paint, plural, table } from '../terminal.ts'

const EVALUATION = 'evaluation'
/** Length of an event-time step, ms. A minute: its rows are of minutes and more, and nobody waits for a list. */
const STEP_MS = 60_000
export function replayBackfillCommand() {
  return command(
    'backfill',
    "Computes past statistics anew from the log, by the same code, and puts them in live's place; the same call again goes on where it stood",
    'freshet replay backfill --table drift --profile evidently --from 2026-11-01 --to 2026-12-01 --source /backup/freshet',
  )
    .requiredOption('--table <names>', `some of ${Object.keys(backfillTableSpecs).join(', ')}`)
    .requiredOption('--from <time>', 'ISO-8601; windows that begin at or after it')
    .requiredOption('--to <time>', 'ISO-8601; windows that begin before it')
    .option(
      '--source <source>',
      'kafka (the live topics), or the folder of an archive (default: kafka)',
    )
    .option('--profile <names>', 'whose figures of drift (default: drift.profiles)')
    .option(
      '--reference <name>',
      'compare with one that `freshet reference set` froze (default: those in force)',
    )
    .option(
      '--warmup <span>',
      "how much of the log before is read, e.g. 24h or 7d, or all (default: what the tables' rows depend on)",
    )
    .option('--open', 'also windows that live may still correct', false)
    .option(
      '--accept-gap',
      'go on where the log no longer has what rows depend on: exit code 3',
      false,
    )
    .option('--workers <n>', 'processes (default: 1)')
    .option('--dry-run', 'say what would be read and written, and stop', false)
    .action(action(backfill))
}

async function backfill(call: Call): Promise<number> {
  const asked = parseBackfill(call)
  const { values, flags } = call
  const url = tablesUrl(values)
  if (url === undefined)
    throw new FreshetError('CALL_INVALID', 'clickhouse.url is none: there are no tables to fill')
  const workers = wholeNumber('workers', flags.workers, 1, 1)
  const around = { values, log: createLogger(values['log.level']), metrics: noMetrics }
  const folder = new ReplayFolder(values['data.dir'], backfillName(asked))
  const { plan, references } = await planned(around, asked)
  const refusal = refusalOf(plan, flags)
  const isDry = flags.dryRun === true
  if (isDry || !folder.exists) {
    if (isDry || !call.json) say(call, asked, plan, isDry, refusal)
    if (isDry) return refusal === undefined ? EXIT.done : EXIT.wrongCall
    if (refusal !== undefined) throw new FreshetError('CALL_INVALID', refusal)
    await begin(folder, asked, plan, references)
  }
  const release = takeLock(folder.dir, 'backfill', 'the backfill')
  let published: PublishedTable[]
  try {
    if (!(await run(around, folder, workers)))
      return notDone(`stopped; the same call goes on (${folder.dir})`)
    await evaluate(around, folder)
    published = await bringOver(values, url, folder)
  } finally {
    release()
  }
  folder.remove()
  answer(call, { tables: published, missing: plan.missing, notFinal: plan.notFinal }, () =>
    report(published, plan),
  )
  return plan.missing.length > 0 ? EXIT.checkFailed : EXIT.done
}

interface Planned {
  readonly plan: BackfillPlan
  readonly references: readonly SetReference[]
}

async function planned(around: Surroundings, asked: BackfillAsked): Promise<Planned> {
  const { values } = around
  const { source, from: fromMs, to: toMs } = asked
  const tables = asked.tables.filter(name => name !== EVALUATION)
  if (tables.length === 0) {
    const plan = planWithoutLog({ ...asked, fromMs, toMs, references: [] })
    return { plan, references: [] }
  }
  const hasLog = !isEmbedded(values) || existsSync(join(values['data.dir'], 'log'))
  const isArchive = source.kind === 'archive'
  const transport = hasLog || !isArchive ? await openTransport(around, REACH_MS, true) : undefined
  const registry = await openRegistry(around)
  try {
    const reader = isArchive ? ArchiveReader.open(source.dir) : undefined
    const look = reader
      ? lookAtArchive(reader)
      : lookAtTopics(transport as Transport, namesOf(values))
    const schemas: SchemaSource = reader ? reader.schemas(registry) : registry
    await needEvents(look)
    const references = tables.includes('drift') ? await referencesOf(around, asked, transport) : []
    const plan = await planBackfill(
      { ...asked, tables, fromMs, toMs, references },
      timesOf(replayValues(values, specOf('plan', asked))),
      look,
      schemas,
    )
    await look.source.close()
    const backfill = { ...plan.backfill, tables: asked.tables }
    return { plan: { ...plan, backfill }, references }
  } finally {
    registry.close()
    await transport?.close()
  }
}

async function needEvents(look: LogLook): Promise<void> {
  if ((await look.partitions('events')) > 0) return
  throw new FreshetError('TOPIC_MISSING', `${look.name} has no events: what is there to read?`)
}

async function referencesOf(
  { values, log }: { values: Values; log: Logger },
  { reference }: BackfillAsked,
  transport: Transport | undefined,
): Promise<SetReference[]> {
  if (transport === undefined) {
    if (reference === undefined) return []
    throw new FreshetError(
      'CALL_INVALID',
      `--reference ${reference} stands on the topic of references, and there is no log: set kafka.brokers`,
    )
  }
  const { names: ofState } = await stateInForce(values, transport)
  const inForce = await liveReferences(transport, ofState)
  if (reference === undefined) return inForce
  const book = await readReferences({ transport, names: namesOf(values), log })
  return chosen(inForce, book, reference)
}

function timesOf(values: Values): BackfillTimes {
  const labels = labelTimes(values)
  return {
    driftDelay: values['drift.delay'],
    driftGrace: values['drift.grace'],
    labelsLongest: labels.longestMs,
    labelsJoinWithin: labels.joinWithinMs,
    labelsSlack: values['labels.slack'],
    labelsReturn: labels.returnWithinMs,
    experimentsInterval: values['experiments.interval'],
  }
}

function refusalOf(plan: BackfillPlan, flags: Call['flags']): string | undefined {
  if (plan.missing.length > 0 && flags.acceptGap !== true)
    return `${plan.missing.join('; ')}. An archive may have it (--source DIR), --warmup asks for less, --accept-gap goes on without`
  if (plan.notFinal.length > 0 && flags.open !== true)
    return `${plan.notFinal.join('; ')}. --open takes them as they are: what live corrects later stands above`
  return undefined
}

function specOf(name: string, asked: BackfillAsked, plan?: BackfillPlan): ReplaySpec {
  const { tables, profiles, source, set } = asked
  return {
    format: 1,
    name,
    created: systemClock.wall(),
    source,
    topologies: plan?.topologies ?? 'sessions',
    set: {
      ...set,
      'drift.profiles': tables.includes('drift') ? profiles.join(',') : '',
      'labels.examples': String(tables.includes('examples')),
    },
    state: 'empty',
    ranges: plan?.ranges ?? {},
    generation: 1,
    stepMs: STEP_MS,
    backfill: plan?.backfill ?? null,
  }
}

async function begin(
  folder: ReplayFolder,
  asked: BackfillAsked,
  plan: BackfillPlan,
  references: readonly SetReference[],
): Promise<void> {
  mkdirSync(folder.dir, { recursive: true })
  await putReferences(folder, references)
  await folder.create(specOf(folder.name, asked, plan))
}

/** False where it was stopped. */
async function run(around: Surroundings, folder: ReplayFolder, workers: number): Promise<boolean> {
  const { values } = around
  if (folder.spec().ranges.events === undefined) return true
  const stop = new AbortController()
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(EXIT.failed)
    stop.abort()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  const progress = new Progress('backfill')
  // a backfill reads beside the live system, and waits while that lags
  const transport = isEmbedded(values) ? undefined : await openTransport(around, REACH_MS, true)
  const lag = transport && liveLag(around, folder.spec(), transport)
  try {
    const state = await runReplay(around, folder, {
      workers,
      pacer: lag ?? unpaced,
      onStatus: ({ records, total }) => progress.update(records, total),
      signal: stop.signal,
    })
    progress.end(folder.checkpoint()?.counts.records ?? 0)
    return state === 'done'
  } finally {
    await lag?.close()
    await transport?.close()
    process.off('SIGTERM', onSignal)
    process.off('SIGINT', onSignal)
  }
}

/** The table that is made of other tables. */
async function evaluate(around: Surroundings, folder: ReplayFolder): Promise<void> {
  const { backfill } = folder.spec()
  if (!backfill?.tables.includes(EVALUATION)) return
  const values = replayValues(around.values, folder.spec())
  const store = await openTables(around, folder.name)
  if (store === null) return
  try {
    await store.migrate(REACH_MS)
    const rules = new Map(surfacePolicies(values).map(each => [each.name, each.rules]))
    for await (const rows of evaluatedHours({
      query: sql => store.query(sql),
      database: values['clickhouse.database'],
      factors: values['evaluation.temperatures'],
      rulesOf: surface => rules.get(surface),
      watchCapMs: values['quality.watchCap'],
      ...backfill,
    }))
      await store.insert(EVALUATION, rows)
  } finally {
    await store.close()
  }
}

function liveLag({ values, log }: Surroundings, spec: ReplaySpec, transport: Transport): LiveLag {
  const topic = namesOf(values).outside('events')
  return new LiveLag({
    transport,
    groupId: values['application.id'],
    inputs: (spec.ranges.events ?? []).map((_, partition) => ({ topic, partition })),
    bound: undefined,
    clock: systemClock,
    log,
  })
}

async function bringOver(
  values: Values,
  url: string,
  folder: ReplayFolder,
): Promise<PublishedTable[]> {
  const { backfill } = folder.spec()
  if (backfill === null) throw new FreshetError('BUG', `${folder.name} is no backfill`)
  const sql = await connect(url)
  try {
    const database = values['clickhouse.database']
    const settings = { sql, database, run: folder.name, backfill }
    const published = await publish(settings)
    await dropRows(settings)
    return published
  } finally {
    await sql.close()
  }
}

function say(
  call: Call,
  asked: BackfillAsked,
  plan: BackfillPlan,
  isDry: boolean,
  refusal: string | undefined,
): void {
  const { ranges, ...rest } = plan
  const text = (): string =>
    [
      `${asked.tables.join(', ')}: rows of ${iso(asked.from)} to ${iso(asked.to)}, computed by ${plan.topologies}`,
      `reads ${plural(plan.records, 'record')} ${plan.readFromMs === null ? 'from the beginning of the log' : `from ${iso(plan.readFromMs)} on`}`,
      ...plan.notes,
      ...[...plan.missing, ...plan.notFinal].map(sentence => paint('yellow', sentence)),
      ...(isDry
        ? [refusal === undefined ? 'nothing was done' : paint('red', `refused: ${refusal}`)]
        : []),
    ].join('\n')
  if (isDry) answer(call, { ...rest, ranges, refusal: refusal ?? null }, text)
  else process.stderr.write(`${text()}\n`)
}

const emptyReason = (name: string): string =>
  name === 'drift'
    ? "no window in that time has `drift.minRows` rows, or, for the tools' profiles, none is behind a reference that is whole and has raw values (docs/drift.md)"
    : 'there is nothing in that time that it could be of'

function report(published: readonly PublishedTable[], plan: BackfillPlan): string {
  return [
    table([
      ['table', 'new', 'changed', 'the same', "live's without a counterpart"],
      ...published.map(one => [one.table, one.added, one.changed, one.same, one.stay]),
    ]),
    `${count(published.reduce((sum, one) => sum + one.added + one.changed, 0))} rows took their place`,
    ...published
      .filter(one => one.added + one.changed + one.same === 0)
      .map(one =>
        paint('yellow', `nothing was computed of ${one.table}: ${emptyReason(one.table)}`),
      ),
    ...plan.missing.map(sentence => paint('yellow', sentence)),
  ].join('\n')
}

/** From the call of `replay start` to what the replay is and a plan that a person reads. Writes nothing. */
import { existsSync, statfsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ArchiveReader } from '../../replay/archive/reader.ts'
import { archivedLog, liveLog, type PlannedLog } from '../../replay/plan/log.ts'
import { makePlan, type Plan, rangesOf, refuseLoss } from '../../replay/plan/plan.ts'
import { type Bound, planRanges } from '../../replay/plan/ranges.ts'
import { ReplayFolder } from '../../replay/shadow/folder.ts'
import { isReplayName, type ReplaySource, type ReplaySpec } from '../../replay/shadow/spec.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { Application } from '../../streams/topology/stage.ts'
import type { Transport } from '../../streams/transport/port.ts'
import { parseTopologies } from '../../topologies/main.ts'
import { type Call, momentOf, type Values, wholeNumber } from '../call.ts'
import { isEmbedded, namesOf, openTransport, REACH_MS } from '../compose.ts'
import { nameOnly } from '../doctor/examine.ts'
import { createLogger } from '../logger.ts'
import { bytes } from '../terminal.ts'
import { earlierRuns } from './folder-files.ts'
import { keptOptions, refuseLivePlaces, valuesToRun } from './kept-options.ts'
import { type ReusedState, reusedState } from './reused-state.ts'
import { replayValues, shadowPrefix } from './values.ts'

const STEP_MS = 1_000

export interface Beginning {
  readonly spec: ReplaySpec
  readonly plan: Plan
  readonly folder: ReplayFolder
  /** Options in effect, but for the replay's own places. */
  readonly values: Values
  /** What its state is copied from, before it begins. */
  readonly reused: ReusedState | undefined
}

/** Errors: CALL_INVALID. */
export function checkedName(name: string): string {
  if (isReplayName(name)) return name
  throw new FreshetError(
    'CALL_INVALID',
    `${JSON.stringify(name)} can't be the name of a replay; it takes letters, digits, dots, dashes and underscores, at most 64, and not live or empty`,
  )
}

/** Errors: CALL_INVALID and OPTION_INVALID for what the call asks, in a sentence; what can't be reached or read. */
export async function planOfCall(call: Call, name: string, wall: () => number): Promise<Beginning> {
  checkedName(name)
  refuseLivePlaces(call, name)
  const { flags } = call
  const given = typeof flags.topology === 'string' ? flags.topology : call.values.topologies
  const topologies = [...parseTopologies(given)].join(',')
  const source = sourceOf(flags.source)
  const state = typeof flags.state === 'string' ? flags.state : 'empty'
  if (state !== 'empty' && flags.from !== undefined)
    throw new FreshetError(
      'CALL_INVALID',
      `--from can't be given with --state ${state}: the state says where it goes on; leave --from out, or begin with --state empty`,
    )
  const folder = new ReplayFolder(call.values['data.dir'], name)
  const set = keptOptions(call)
  const sketch = { name, set, topologies }
  const values = valuesToRun(call, sketch)
  const application = await nameOnly(replayValues(values, sketch as ReplaySpec))
  const opened = await openLog(values, source)
  try {
    const { log } = opened
    const inputs = [...new Set(application.kinds.flatMap(kind => kind.inputs))]
    await checkPartitions(application, log, opened.live)
    const reused = await reusedState({ call, state, set, topologies, application, values })
    for (const topic of reused ? inputs : []) {
      const [here, before] = [(await log.extents(topic))?.length, reused?.partitions(topic)]
      if (here !== undefined && before !== undefined && here !== before)
        throw new FreshetError(
          'PARTITION_COUNT',
          `${log.what} has ${topic} in ${here} partitions, the state of ${state} is of ${before}: rows would be in other tasks than their records; begin with --state empty`,
        )
    }
    const { topics, gone, erasures } = await planRanges({
      log,
      inputs,
      from: boundOf('from', flags.from, 'earliest'),
      to: boundOf('to', flags.to, 'end'),
      position: reused?.position,
    })
    refuseLoss(gone, flags.acceptLoss === true, log.what)
    const workers = wholeNumber('workers', flags.workers, 1, 1)
    const plan = makePlan({
      name,
      source,
      state,
      topologies,
      set,
      topics,
      gone,
      erasures,
      workers,
      speed: typeof flags.speed === 'string' ? flags.speed : 'max',
      throttle: throttleText(call),
      writes: writesOf(values, folder),
      notes: opened.notes,
      earlier: earlierRuns(values['data.dir']),
    })
    const spec: ReplaySpec = {
      format: 1,
      name,
      created: wall(),
      source,
      topologies,
      set,
      state,
      ranges: rangesOf(topics),
      generation: 1,
      stepMs: STEP_MS,
      backfill: null,
    }
    const free = freeBytes(folder.dir)
    const writes = [
      ...plan.writes,
      `${folder.dir}: the state, about ${bytes(plan.stateBytes)}${state === 'empty' ? '' : ` and a copy of that of ${state}`}${free === undefined ? '' : `; ${bytes(free)} are free there`}`,
    ]
    return { spec, plan: { ...plan, writes }, folder, values, reused }
  } finally {
    await opened.close()
  }
}

function sourceOf(given: unknown): ReplaySource {
  const text = typeof given === 'string' ? given : 'kafka'
  return text === 'kafka' ? { kind: 'kafka' } : { kind: 'archive', dir: resolve(text) }
}

function boundOf(flag: 'from' | 'to', given: unknown, edge: 'earliest' | 'end'): Bound {
  if (given === undefined || given === edge) return { kind: 'edge' }
  const text = String(given)
  if (/^\d+$/.test(text)) return { kind: 'offset', offset: Number(text) }
  const ms = momentOf(text)
  if (ms !== undefined) return { kind: 'time', ms }
  throw new FreshetError(
    'CALL_INVALID',
    `--${flag} got ${JSON.stringify(text)}; it takes a time such as 2026-11-01 or 2026-11-01T12:00Z, an offset of every partition, or ${edge}`,
  )
}

interface PlanLog {
  readonly log: PlannedLog
  /** The live topics, where they can be asked. */
  readonly live: PlannedLog | undefined
  readonly notes: readonly string[]
  close(): Promise<void>
}

async function openLog(values: Values, source: ReplaySource): Promise<PlanLog> {
  const around = { values, log: createLogger(values['log.level']), metrics: noMetrics }
  const names = namesOf(values)
  if (source.kind === 'kafka') {
    const transport = await openTransport(around, REACH_MS, true)
    const log = liveLog(transport, names)
    return { log, live: log, notes: [], close: () => transport.close() }
  }
  const reader = ArchiveReader.open(source.dir)
  const log = archivedLog(reader, source.dir)
  const notes = reader.manifest.topics
    .filter(({ name, topic }) => names.outside(name) !== topic)
    .map(
      ({ name, topic }) =>
        `the archive's ${name} is of ${topic}, not of ${names.outside(name)}: it can't be cut over to`,
    )
  let transport: Transport | undefined
  if (!isEmbedded(values) || existsSync(join(values['data.dir'], 'log')))
    try {
      transport = await openTransport(around, REACH_MS, true)
    } catch (error) {
      notes.push(`the live topics can't be compared with the archive: ${messageOf(error)}`)
    }
  return {
    log,
    live: transport && liveLog(transport, names),
    notes,
    async close() {
      await transport?.close()
    },
  }
}

/** Errors: PARTITION_COUNT for inputs of one kind of task that differ, or an archive that differs from the live topics. */
async function checkPartitions(
  { kinds }: Application,
  log: PlannedLog,
  live: PlannedLog | undefined,
): Promise<void> {
  for (const { inputs } of kinds) {
    const counts: { topic: string; count: number }[] = []
    for (const topic of inputs) {
      const here = (await log.extents(topic))?.length
      if (here !== undefined) counts.push({ topic, count: here })
      const there = live === log ? undefined : (await live?.extents(topic))?.length
      if (here !== undefined && there !== undefined && here !== there)
        throw new FreshetError(
          'PARTITION_COUNT',
          `${log.what} has ${topic} in ${here} partitions, the live topic has ${there}: users' records would meet other tasks than live's; replay from an archive of the topic as it is now, or from kafka`,
        )
    }
    const odd = counts.find(({ count }) => count !== counts[0].count)
    if (odd)
      throw new FreshetError(
        'PARTITION_COUNT',
        `${log.what} has ${counts[0].topic} in ${counts[0].count} partitions and ${odd.topic} in ${odd.count}: they must have the same number`,
      )
  }
}

/** `--live-lag`: undefined where the live rate decides. */
export function liveLagOf({ flags }: Call): number | undefined {
  return flags.liveLag === undefined ? undefined : wholeNumber('live-lag', flags.liveLag, 0)
}

function throttleText(call: Call): string {
  const bound = liveLagOf(call)
  if (isEmbedded(call.values)) return 'none: no Kafka is named'
  if (bound === 0) return 'off (--live-lag 0)'
  const group = call.values['application.id']
  return bound === undefined
    ? `waits while the live group ${group} lags by more than comes in 2 s (at least 1,000 records)`
    : `waits while the live group ${group} lags by more than ${bound} records`
}

function writesOf(values: Values, folder: ReplayFolder): string[] {
  const redis = values['redis.url']
  const lists =
    redis === 'none'
      ? 'no lists: redis.url is none'
      : redis === ''
        ? `${join(folder.dir, 'views')}: lists, sessions and popularity (no Redis is named)`
        : `Redis: keys that begin with ${shadowPrefix(values['redis.prefix'], folder.name)}`
  const tables = values['clickhouse.url']
  const rows =
    tables === 'none'
      ? 'no statistics: clickhouse.url is none'
      : `ClickHouse: rows with run = '${folder.name}' in ${values['clickhouse.database']}${tables === '' ? ` (embedded in ${values['data.dir']})` : ''}`
  return [lists, rows]
}

/** Of the disk that the folder is, or would be, on. */
function freeBytes(dir: string): number | undefined {
  let at = resolve(dir)
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  try {
    const { bavail, bsize } = statfsSync(at)
    return bavail * bsize
  } catch {
    return undefined
  }
}

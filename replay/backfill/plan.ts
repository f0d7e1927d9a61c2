/**
 * What a backfill reads and what of its rows would be right: computed before anything runs.
 *
 *  - W1 Of each table it is said how much of the log before and after the time asked for its rows depend on. Where the log no
 *       longer has that, it is said what is missing.
 *  - W2 A window that live may still correct is not final: it is refused, unless asked for.
 */
import { Decoder, type SchemaSource } from '../../schemas/index.ts'
import type { SetReference } from '../../topologies/drift/reference-book.ts'
import type { Range } from '../archive/ranges.ts'
import type { SourceRecord } from '../shadow/source.ts'
import type { Backfill } from '../shadow/spec.ts'
import { firstOf, type LogLook, lastOf } from './log-look.ts'
import { backfillTableSpecs, dayMs, hourMs, minuteMs } from './tables.ts'

/** A play, a request, a session that began before the time asked for: none that matters is longer. */
const commonWarmUpMs = dayMs
/** `repeat_rate` asks whether an item was shown within so long. */
const repeatsMs = 7 * dayMs
/** Records whose events are this much older were sent late as a whole: an imported log. */
const importedMs = 2 * dayMs
const sessionLength = 'feature:session_length'

/** Options that say how long rows go on being corrected, ms. */
export interface BackfillTimes {
  readonly driftDelay: number
  readonly driftGrace: number
  readonly labelsLongest: number
  readonly labelsJoinWithin: number
  readonly labelsSlack: number
  /** 0 where no return is waited for. */
  readonly labelsReturn: number
  readonly experimentsInterval: number
}

export interface BackfillAsked {
  readonly tables: readonly string[]
  /** Of drift; those beside `freshet` and `river` compare raw values. */
  readonly profiles: readonly string[]
  readonly fromMs: number
  readonly toMs: number
  /** In place of what the tables need; undefined: that. */
  readonly warmUpMs: number | undefined
  /** What windows are compared with; []: the first windows of the log, as live collected them. */
  readonly references: readonly SetReference[]
}

export interface BackfillPlan {
  readonly backfill: Backfill
  readonly topologies: string
  readonly ranges: Readonly<Record<string, readonly Range[]>>
  /** Records to be read, about. */
  readonly records: number
  /** Event time that is read from on, ms; null: from the log's beginning. */
  readonly readFromMs: number | null
  /** Newest event time on the log, ms. */
  readonly logEndMs: number
  /** The log was imported: its records' times are not those of their events, and all of it is read. */
  readonly isImported: boolean
  /** Sentences: what the rows depend on and the log has no more. */
  readonly missing: readonly string[]
  /** Sentences: which tables' rows may still be corrected by live, and from when on they are final. */
  readonly notFinal: readonly string[]
  /** What a reader should know. */
  readonly notes: readonly string[]
}

/** Event time before and after a window that its rows depend on, ms. `before` Infinity: all. */
function needsOf(table: string, times: BackfillTimes): { before: number; after: number } {
  const labels = Math.max(times.labelsLongest, times.labelsJoinWithin) + times.labelsSlack
  const delay = times.driftDelay + minuteMs
  switch (table) {
    case 'quality':
      // returns within 7 days, then a day for what came late
      return { before: repeatsMs, after: 8 * dayMs + times.labelsSlack + delay }
    case 'calibration':
      return { before: commonWarmUpMs, after: dayMs + labels + delay }
    case 'experiments':
      return { before: Number.POSITIVE_INFINITY, after: 2 * times.experimentsInterval + labels }
    case 'examples':
      return { before: commonWarmUpMs, after: labels + times.labelsReturn + minuteMs }
    default:
      return { before: commonWarmUpMs, after: times.driftGrace + delay }
  }
}

export async function planBackfill(
  asked: BackfillAsked,
  times: BackfillTimes,
  look: LogLook,
  schemas: SchemaSource,
): Promise<BackfillPlan> {
  const { tables, fromMs, toMs } = asked
  const ends = await endsOf(look, schemas)
  const readFrom = readFromOf(asked, times)
  const after = Math.max(...tables.map(table => needsOf(table, times).after))
  const events: Range[] = []
  for (let partition = 0; partition < ends.partitions.length; partition++) {
    const { start, end } = ends.partitions[partition].bounds
    const [from, to] = ends.isImported
      ? [start, end]
      : await look.span('events', partition, Math.max(0, readFrom), toMs + after)
    events.push([Math.max(from, start), Math.max(to, start)])
  }
  const isWhole = ends.partitions.every(
    ({ bounds }, p) => bounds.isBeginning && events[p][0] === bounds.start,
  )
  const ofDrift = tables.some(table => table === 'drift' || table === 'histograms')
  const leaves = ofDrift && !isWhole ? [sessionLength] : []
  const ranges: Record<string, readonly Range[]> = { events }
  for (const topic of ['items', 'erasures']) ranges[topic] = await wholeOf(look, topic)
  return {
    backfill: { tables, fromMs, toMs, leaves },
    topologies: topologiesOf(tables),
    ranges,
    records: Object.values(ranges)
      .flat()
      .reduce((sum, [from, to]) => sum + to - from, 0),
    readFromMs: Number.isFinite(readFrom) && !isWhole ? readFrom : null,
    logEndMs: ends.newest,
    isImported: ends.isImported,
    missing: missingOf(look.name, ends, readFrom),
    notFinal: tables.flatMap(table => notFinalOf(table, asked, times, ends.newest)),
    notes: notesOf(asked, leaves, ends.isImported),
  }
}

/** Of tables that are made of other tables. */
export function planWithoutLog({ tables, fromMs, toMs }: BackfillAsked): BackfillPlan {
  return {
    backfill: { tables, fromMs, toMs, leaves: [] },
    topologies: 'sessions',
    ranges: {},
    records: 0,
    readFromMs: null,
    logEndMs: 0,
    isImported: false,
    missing: [],
    notFinal: [],
    notes: [ofStoredLists],
  }
}

const ofStoredLists =
  "evaluation is made of the lists that stand in slates and of examples, not of the log; live's rows of dr stay"

const topologiesOf = (tables: readonly string[]): string =>
  [...new Set(['sessions', ...tables.flatMap(table => backfillTableSpecs[table].topologies)])].join(
    ',',
  )

/** Event time, ms; -Infinity: the log's beginning. */
function readFromOf(
  { tables, profiles, fromMs, warmUpMs, references }: BackfillAsked,
  times: BackfillTimes,
): number {
  const before = Math.max(...tables.map(table => needsOf(table, times).before))
  let from = fromMs - (warmUpMs ?? before)
  if (!tables.includes('drift')) return from
  // the first windows make the reference; a detector has seen all windows
  if (references.length === 0 || profiles.includes('river')) return Number.NEGATIVE_INFINITY
  if (profiles.some(isTool))
    for (const reference of references)
      from = Math.min(from, reference.from - (warmUpMs ?? commonWarmUpMs))
  return from
}

const isTool = (profile: string): boolean => profile !== 'freshet' && profile !== 'river'

interface LogEnds {
  readonly partitions: readonly {
    readonly bounds: Awaited<ReturnType<LogLook['bounds']>>
    /** Event time of the first record, ms; undefined: it holds none that can be read. */
    readonly first: number | undefined
  }[]
  readonly newest: number
  readonly isImported: boolean
}

async function endsOf(look: LogLook, schemas: SchemaSource): Promise<LogEnds> {
  const decoder = new Decoder('events', schemas)
  const eventTime = async (record: SourceRecord | undefined): Promise<number | undefined> => {
    if (record === undefined) return undefined
    let decoded = decoder.decode(record.value)
    if ('needs' in decoded) {
      await decoder.resolve(decoded.needs)
      decoded = decoder.decode(record.value)
    }
    return 'record' in decoded ? decoded.record.ts : record.timestamp
  }
  const partitions: LogEnds['partitions'][number][] = []
  let [newest, isImported] = [0, false]
  const count = await look.partitions('events')
  for (let partition = 0; partition < count; partition++) {
    const bounds = await look.bounds('events', partition)
    const first = await firstOf(look, 'events', partition, bounds.start, bounds.end)
    const last = await lastOf(look, 'events', partition, bounds)
    const firstTime = await eventTime(first)
    const lastTime = await eventTime(last)
    partitions.push({ bounds, first: firstTime })
    newest = Math.max(newest, lastTime ?? 0)
    for (const [record, time] of [
      [first, firstTime],
      [last, lastTime],
    ] as const)
      if (record && time !== undefined) isImported ||= record.timestamp - time > importedMs
  }
  return { partitions, newest, isImported }
}

async function wholeOf(look: LogLook, topic: string): Promise<Range[]> {
  const ranges: Range[] = []
  const count = await look.partitions(topic)
  for (let partition = 0; partition < count; partition++) {
    const { start, end } = await look.bounds(topic, partition)
    ranges.push([start, end])
  }
  return ranges
}

export const iso = (ms: number): string => new Date(ms).toISOString()

function missingOf(name: string, { partitions }: LogEnds, readFrom: number): string[] {
  return partitions.flatMap(({ bounds, first }, partition) => {
    if (bounds.isBeginning) return []
    if (first !== undefined && first <= readFrom) return []
    const begins = first === undefined ? '' : `, ${iso(first)}`
    const wanted = Number.isFinite(readFrom) ? iso(readFrom) : 'its beginning'
    return [
      `${name} has events-${partition} from offset ${bounds.start}${begins} on; it is needed from ${wanted}`,
    ]
  })
}

function notFinalOf(
  table: string,
  { fromMs, toMs }: BackfillAsked,
  times: BackfillTimes,
  newest: number,
): string[] {
  const { after } = needsOf(table, times)
  if (toMs + after <= newest) return []
  const final = newest - after
  return [
    `${table}: rows of the last ${spanOf(after)} may still be corrected; the log's newest event is of ${iso(newest)}, so what is before ${iso(final)} is final${final <= fromMs ? '' : ` (--to ${iso(final)})`}`,
  ]
}

const spanOf = (ms: number): string =>
  ms >= 2 * dayMs ? `${Math.ceil(ms / dayMs)} days` : `${Math.ceil(ms / hourMs)} hours`

function notesOf(
  { tables, profiles, references }: BackfillAsked,
  leaves: readonly string[],
  isImported: boolean,
): string[] {
  const left = [...leaves, ...tables.flatMap(table => backfillTableSpecs[table].leaves)]
  const notes: string[] = []
  if (isImported)
    notes.push(
      "the records were sent long after their events: all of the log is read, as its times don't tell events'",
    )
  if (leaves.includes(sessionLength))
    notes.push(
      `${sessionLength} counts a session when the user's next one begins, however much later: it needs the log from its beginning (--warmup all), so live's rows stay`,
    )
  if (left.length > 0) notes.push(`live's rows stay of ${[...new Set(left)].join(', ')}`)
  if (tables.includes('drift') && references.length === 0)
    notes.push('there are no references: the first windows of the log make them, as they do live')
  if (profiles.some(isTool) && references.length > 0)
    notes.push(
      'the raw values that tools compare with are read anew from the time of each reference',
    )
  return notes
}

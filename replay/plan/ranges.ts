/**
 * Which offsets a replay reads of each input, and what of that is gone.
 *
 *  - N1 `items` and `erasures` are read from their start: what is true, and who is to be forgotten, counts from the beginning. They end
 *       when the rest does: who goes on from there must meet what comes later in its order. (What is shown and written heeds all
 *       erasures from the first record on: they are also read ahead, to the end of the log.)
 *  - N2 All else is read from the call's `--from`, or from where the state that is reused stands.
 *  - N3 What is asked for and no longer held is named, with offsets and times; nothing is passed over without a yes.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { Range } from '../archive/ranges.ts'
import type { Extent, Measured, PlannedLog } from './log.ts'

/** `edge`: the log's start for a from, its end for a to. */
export type Bound =
  | { readonly kind: 'edge' }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'offset'; readonly offset: number }

export interface PlannedPartition extends Measured {
  readonly range: Range
}

export interface PlannedTopic {
  /** Without prefix. */
  readonly topic: string
  readonly partitions: readonly PlannedPartition[]
}

/** Offsets that were asked for and are not held. */
export interface Gone {
  readonly topic: string
  readonly partition: number
  readonly range: Range
  readonly why: string
}

export interface RangeSettings {
  readonly log: PlannedLog
  /** Topics (short names) that the tasks read. */
  readonly inputs: readonly string[]
  readonly from: Bound
  readonly to: Bound
  /** Where the reused state goes on, undefined for what it has taken nothing of; undefined itself where it is empty. */
  readonly position: ((topic: string, partition: number) => number | undefined) | undefined
}

/** Errors: TOPIC_MISSING; CALL_INVALID for bounds that the log does not have. */
export async function planRanges(
  settings: RangeSettings,
): Promise<{ topics: PlannedTopic[]; gone: Gone[]; erasures: number }> {
  const { log } = settings
  const topics: PlannedTopic[] = []
  const gone: Gone[] = []
  let erasures = 0
  // an offset says nothing of other topics: they end at the time of the last event
  const isLast = (topic: string): number => Number(topic !== 'events')
  const inputs = settings.inputs.toSorted((a, b) => isLast(a) - isLast(b))
  let asked = settings
  for (const topic of inputs) {
    const extents = await log.extents(topic)
    if (extents === undefined)
      throw new FreshetError(
        'TOPIC_MISSING',
        `${log.what} has no topic ${topic}, which the replay's topologies read`,
      )
    const partitions: PlannedPartition[] = []
    for (const [partition, extent] of extents.entries()) {
      const found = await rangeOf(asked, topic, partition, extent)
      gone.push(...found.gone)
      const { range } = found
      if (topic === 'erasures') erasures += extent.end - range[0]
      partitions.push({ range, ...(await log.measure(topic, partition, range)) })
    }
    topics.push({ topic, partitions })
    if (topic === 'events' && settings.to.kind === 'offset')
      asked = { ...settings, to: { kind: 'time', ms: lastOf(partitions) + 1 } }
  }
  return { topics, gone, erasures }
}

const lastOf = (partitions: readonly PlannedPartition[]): number =>
  Math.max(-1, ...partitions.map(({ lastMs }) => lastMs ?? -1))

async function rangeOf(
  settings: RangeSettings,
  topic: string,
  partition: number,
  extent: Extent,
): Promise<{ range: Range; gone: Gone[] }> {
  const { log, position } = settings
  const { start, end, lost } = extent
  const to = await endOf(settings, topic, partition, extent)
  const missing = (from: number, next: number, why: string): Gone => ({
    topic,
    partition,
    range: [from, next],
    why,
  })
  const gone: Gone[] = []
  let from = start
  if (position !== undefined) {
    const goesOn = position(topic, partition) ?? start
    if (goesOn > end)
      throw new FreshetError(
        'CALL_INVALID',
        `${topic}-${partition}: the state has taken in up to ${goesOn - 1}, and ${log.what} ends at ${end}: bring it up to date first (\`freshet archive\`), or begin with --state empty`,
      )
    from = Math.max(goesOn, start)
    if (goesOn < start) gone.push(missing(goesOn, start, 'the state goes on there'))
  } else if (topic !== 'items' && topic !== 'erasures') {
    from = await beginOf(settings, topic, partition, extent)
    const before = await goneBefore(settings, topic, partition, extent)
    if (before !== undefined) gone.push(missing(...before))
  }
  if (to < from && settings.to.kind !== 'edge')
    throw new FreshetError(
      'CALL_INVALID',
      `--to lies before --from: of ${topic}-${partition} it would read ${from} to ${to - 1}`,
    )
  for (const [at, next] of lost)
    if (next > from && at < to)
      gone.push(
        missing(
          Math.max(at, from),
          Math.min(next, to),
          'they had left the log before they were archived',
        ),
      )
  return { range: [from, Math.max(from, to)], gone }
}

async function beginOf(
  { log, from }: RangeSettings,
  topic: string,
  partition: number,
  { start, end }: Extent,
): Promise<number> {
  if (from.kind === 'edge') return start
  if (from.kind === 'time') return Math.max(start, await log.offsetAt(topic, partition, from.ms))
  if (from.offset <= end) return Math.max(start, from.offset)
  throw new FreshetError(
    'CALL_INVALID',
    `--from ${from.offset}: ${log.what} holds of ${topic}-${partition} the offsets ${start} to ${end - 1}; take an offset that all partitions have, or a time`,
  )
}

async function endOf(
  { log, to }: RangeSettings,
  topic: string,
  partition: number,
  { start, end }: Extent,
): Promise<number> {
  if (to.kind === 'edge') return end
  if (to.kind === 'time')
    return Math.min(end, Math.max(start, await log.offsetAt(topic, partition, to.ms)))
  if (to.offset <= end) return to.offset
  throw new FreshetError(
    'CALL_INVALID',
    `--to ${to.offset}: ${log.what} holds of ${topic}-${partition} the offsets ${start} to ${end - 1}; take an offset that all partitions have, a time, or end`,
  )
}

/** What lies between `--from` and the first that is held. */
async function goneBefore(
  { log, from }: RangeSettings,
  topic: string,
  partition: number,
  { start, end, wholeFromMs }: Extent,
): Promise<[from: number, next: number, why: string] | undefined> {
  if (start === 0 || from.kind === 'edge') return undefined
  if (from.kind === 'offset')
    return from.offset < start ? [from.offset, start, `${log.what} begins at ${start}`] : undefined
  if (wholeFromMs !== undefined && from.ms >= wholeFromMs) return undefined
  if ((await log.offsetAt(topic, partition, from.ms)) > start) return undefined
  const { firstMs } = await log.measure(topic, partition, [start, end])
  if (firstMs !== null && firstMs <= from.ms) return undefined
  return [
    0,
    start,
    `${log.what} begins at ${start}${firstMs === null ? '' : `, ${new Date(firstMs).toISOString()}`}; which of them are of --from or later is not known`,
  ]
}

/**
 * How well each run's options rank what was watched next: the log's first positive plays, each predicted by what was learnt
 * from those before it and learnt afterwards (replay/prequential), once with either options. What was shown in the log is the
 * same for both, so nothing else in a replay can tell which lists would have been better.
 */
import type { Decoder, WatchDraft } from '../../schemas/index.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import { isPositive } from '../../topologies/sessions/outcome.ts'
import type { Range } from '../archive/ranges.ts'
import type { ImportedLog } from '../import/import.ts'
import { evaluatePrequential } from '../prequential/evaluate.ts'
import { type Metric, metrics } from '../prequential/metrics.ts'
import { compareRuns, report } from '../prequential/report.ts'
import type { RecordSource } from '../shadow/source.ts'

/** Predictions cost some ms each. */
const mostPredictions = 4_000
/** Records of a partition may stand so far out of order, ms. */
const disorderMs = 3_600_000

export interface PrequentialFigures {
  readonly plays: number
  readonly predicted: number
  /** Event times of the first and last play, ms. */
  readonly from: number
  readonly to: number
  /** Of the later half of the plays, by metric: the blend under each run's options. */
  readonly metrics: readonly {
    readonly metric: Metric
    readonly replay: number
    readonly with: number
    readonly difference: number
    /** 95%, users as units. */
    readonly interval: readonly [number, number] | null
  }[]
}

export interface PositivePlay {
  readonly userId: string
  readonly itemId: string
  readonly ts: number
}

/** The first `most` positive plays of a log's events, in order of time. Consent `full` alone. */
export async function firstPlays(
  source: RecordSource,
  ranges: readonly Range[],
  decoder: Decoder<'events'>,
  most: number,
): Promise<PositivePlay[]> {
  let plays: PositivePlay[] = []
  let until = Number.POSITIVE_INFINITY
  const byTime = (): void => {
    plays.sort((a, b) => a.ts - b.ts)
    if (plays.length >= most) until = plays[most - 1].ts
    plays = plays.slice(0, most)
  }
  for (const [partition, [from, to]] of ranges.entries()) {
    const known = new Set<number>()
    reading: for await (const run of source.read('events', partition, from, to))
      for (const { value, timestamp } of run) {
        if (timestamp > until + disorderMs) break reading
        const watch = await watchOf(decoder, value)
        if (watch === undefined || watch.ts > until) continue
        const play = hash53(`${watch.userId} ${watch.playId}`)
        if (known.has(play)) continue
        known.add(play)
        plays.push({ userId: watch.userId, itemId: watch.itemId, ts: watch.ts })
        if (plays.length >= 2 * most) byTime()
      }
    byTime()
  }
  return plays
}

async function watchOf(decoder: Decoder<'events'>, value: Buffer | null) {
  let found = decoder.decode(value)
  if ('needs' in found) {
    await decoder.resolve(found.needs)
    found = decoder.decode(value)
  }
  if (!('kind' in found) || found.kind !== 'watch') return undefined
  const { record } = found
  const counts =
    record.consent === 'full' && isPositive(record.watchedMs, record.durationMs, record.endReason)
  return counts ? record : undefined
}

/** null where there are no plays to predict. */
export async function comparePrequential(
  plays: readonly PositivePlay[],
  options: { readonly replay: TopologyOptions; readonly with: TopologyOptions },
  progress?: (done: number, total: number) => void,
): Promise<PrequentialFigures | null> {
  if (plays.length === 0) return null
  const log = logOf(plays)
  const scoreEvery = Math.max(1, Math.ceil(plays.length / mostPredictions))
  const run = async (of: TopologyOptions, before: number) =>
    report(
      await evaluatePrequential({
        log,
        options: of,
        partitions: 1,
        scoreEvery,
        progress: (done, total) => progress?.(before + done, 2 * total),
      }),
    )
  const after = await run(options.replay, 0)
  const before = await run(options.with, plays.length)
  const difference = compareRuns(after, before)
  return {
    plays: plays.length,
    predicted: after.scorers.blend.all.n,
    from: log.from,
    to: log.to,
    metrics: metrics.map(metric => ({
      metric,
      replay: after.scorers.blend.secondHalf[metric],
      with: before.scorers.blend.secondHalf[metric],
      difference: difference.secondHalf[metric].difference,
      interval: difference.secondHalf[metric].interval,
    })),
  }
}

function logOf(plays: readonly PositivePlay[]): ImportedLog {
  return {
    events: plays.length,
    items: 0,
    bad: [],
    times: 'milliseconds',
    positive: 'positive plays',
    from: plays[0].ts,
    to: plays[plays.length - 1].ts,
    *records() {},
    *positives(): Generator<WatchDraft> {
      for (const play of plays)
        yield {
          ...play,
          eventId: '',
          playId: '',
          consent: 'full',
          watchedMs: 100_000,
          durationMs: 100_000,
          endReason: 'finished',
        }
    },
  }
}

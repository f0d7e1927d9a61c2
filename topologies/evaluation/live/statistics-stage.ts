/**
 * In the statistic task, behind drift: sums judged lists up by hour and bucket of users, and writes the table `evaluation`: each
 * hour, and the 24 hours that end with it (so also each day).
 *
 *  - S1 The sums of a window are those of all lists that were told for it, in whatever order they came: exact sums.
 *  - S2 A window is first written `delayMs` after its end, when most of its lists are judged, and again, as a newer revision and
 *       every 10 min at most, while lists of it come in, for a day.
 */
import type { Outbox } from '../../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../../streams/topology/stage.ts'
import type { Watermark } from '../../drift/watermark.ts'
import { evaluationChannel, type Judged, readJudged } from './packets.ts'
import { evaluationRows } from './rows.ts'
import { EvaluationSums, type HourRow } from './sums.ts'

const hourMs = 3_600_000
const rewriteMs = 600_000
/** Where nothing was told for so long, what changed is written, processing time, ms. */
const quietMs = 10_000
/** Hours for which corrections are taken, beside the 23 that days ending later need. */
const graceHours = 24
/** Surfaces and cohorts that are segments of their own; later ones count in the whole only. */
const mostSegments = 48
const windowsPerCommit = 4

export interface EvaluationStatisticsDeps {
  readonly factors: readonly number[]
  /** Event time after an hour's end at which its first rows are written, ms. */
  readonly delayMs: number
  readonly watermark: Pick<Watermark, 'value' | 'horizon' | 'passed'>
}

export function createEvaluationStatisticsStage(
  ctx: Pick<TaskContext, 'now' | 'metrics'>,
  { factors, delayMs, watermark }: EvaluationStatisticsDeps,
): Stage<never> {
  const sums = new EvaluationSums(factors.length)
  const segments = new Set<string>()
  const late = ctx.metrics.counter('freshet_late_total', { topology: 'evaluation' })
  let heardAt = Number.NEGATIVE_INFINITY
  let rewrittenAt = Number.NEGATIVE_INFINITY
  let sweptHour = 0
  let openedTo = Number.NEGATIVE_INFINITY

  const segmentsOf = ({ surface, cohort }: Judged): string[] =>
    ['', `surface=${surface}`, ...(cohort === '' ? [] : [`cohort=${cohort}`])].filter(segment => {
      if (segment === '' || segments.has(segment)) return true
      if (segments.size >= mostSegments) return false
      segments.add(segment)
      return true
    })

  const take = (one: Judged): void => {
    const oldest = Math.floor(watermark.horizon / hourMs) - graceHours
    // what another number of targets was computed for can't be added
    if (one.hour < oldest || one.largest.length !== factors.length) {
      late.add()
      return
    }
    sums.add(one, segmentsOf(one))
  }

  const write = (row: HourRow, hours: number, revision: number, out: Outbox): void => {
    const window = {
      start: (row.hour + 1 - hours) * hourMs,
      end: (row.hour + 1) * hourMs,
      revision,
    }
    for (const { series, buckets } of sums.merged(row.hour + 1 - hours, row.hour).values())
      for (const each of evaluationRows(window, series, buckets, factors))
        out.row('evaluation', each)
  }

  const isEnded = ({ hour }: HourRow): boolean => watermark.passed((hour + 1) * hourMs, delayMs)

  /** Of those that are due, a few: an old log, imported at once, ends many hours together. */
  const writeDue = (now: number, out: Outbox): void => {
    const mayRewrite = now - rewrittenAt >= rewriteMs || now - heardAt >= quietMs
    const due = [...sums.hours.values()]
      .filter(row => isEnded(row) && (row.changed || row.dayChanged))
      .filter(row => mayRewrite || row.revision === 0)
      .sort((a, b) => a.hour - b.hour)
    for (const row of due.slice(0, windowsPerCommit)) {
      if (row.changed || row.revision === 0) write(row, 1, ++row.revision, out)
      write(row, 24, ++row.dayRevision, out)
      row.changed = false
      row.dayChanged = false
      sums.touch(row)
    }
    if (mayRewrite && due.length <= windowsPerCommit) rewrittenAt = now
  }

  /** An hour without a list still ends a day that has some. */
  const openHours = (): void => {
    const last = Math.floor((watermark.value - delayMs) / hourMs) - 1
    if (last <= openedTo) return
    openedTo = last
    let newest = Number.NEGATIVE_INFINITY
    for (const { hour, revision } of sums.hours.values())
      if (revision > 0 || hour <= last) newest = Math.max(newest, hour)
    if (newest === Number.NEGATIVE_INFINITY) return
    for (let hour = newest + 1; hour <= Math.min(last, newest + 24); hour++) {
      if (!sums.hasLists(hour - 23, hour)) return
      const row = sums.hourOf(hour)
      row.dayChanged = true
      sums.touch(row)
    }
  }

  const forget = (): void => {
    const hour = Math.floor(watermark.horizon / hourMs) - graceHours - 24
    if (hour <= sweptHour) return
    sweptHour = hour
    sums.forgetBefore(hour)
  }

  return {
    name: 'evaluation',
    stores: sums.stores,
    receives: [evaluationChannel],
    receive(_channel, payload) {
      heardAt = ctx.now()
      readJudged(payload, take)
    },
    flush(out) {
      openHours()
      writeDue(ctx.now(), out)
      forget()
    },
    restored() {
      for (const segment of sums.segments()) segments.add(segment)
    },
  }
}

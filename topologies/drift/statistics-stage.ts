/**
 * In the statistic task: merges histograms of all user tasks by subject, segment and window; closes a window `drift.delay`
 * after the watermark passed its end, compares it with the reference, and writes what it found. A change after that is
 * written as a newer revision, until the grace is over.
 *
 *  - D1 A window's counts are the sum of what was sent for it, in whatever order it came.
 *  - D2 Windows close in order of their end.
 *  - D3 A window that made the reference is not compared with it, and a frozen reference does not change, until another is
 *       set by hand: from the commit that takes it over on, windows are compared with that.
 */
import type { OptionValues } from '../../streams/options.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { Store } from '../../streams/topology/store.ts'
import { type BlockHead, driftChannel, readDeltas, statisticsKind } from './deltas.ts'
import { StreamDetectors } from './detectors/streams.ts'
import { type FigureLimits, figures } from './figures.ts'
import type { Histogram } from './histogram.ts'
import { type driftOptions, profilesOf } from './options.ts'
import { emptyFor, Pending } from './pending.ts'
import {
  collect,
  firstReference,
  newReference,
  type ReferenceRow,
  referenceWindows,
  replaceBy,
} from './reference.ts'
import { ReferenceBook, type SetReference } from './reference-book.ts'
import { driftRows, histogramRows, referenceRows } from './rows.ts'
import { samplesChannel } from './samples/deltas.ts'
import { WindowSamples } from './samples/window-samples.ts'
import { dimensionsOf, SegmentValues } from './segments.ts'
import { statisticsState } from './state.ts'
import { levelOfEach } from './statistics/threshold.ts'
import { numberSubject, shardCount, sizes } from './subjects.ts'
import type { Watermark } from './watermark.ts'
import type { WindowRow } from './windows.ts'

/** Corrections of closed windows are gathered for so long, processing time. */
const correctionMs = 10_000
/** Windows closed or corrected in one commit: an old log, imported at once, makes many thousands due together (C1). */
const windowsPerCommit = 200
/** Rows that are summed into windows in one commit, each into some fifteen. */
const foldsPerCommit = 100
/** The same where they have samples: one that joins its reference writes some 80 KB. */
const sampledPerCommit = 16
/** References set by hand that are taken over in one commit. */
const referencesPerCommit = 200
/** Windows that may wait to be closed before input waits for them (C7). */
const maxDue = 20_000
/** Windows that are held for source partitions that are silent, some 350 B each; more are forgotten by the others' time. */
const maxHeld = 200_000
export type StatisticsOptions = Pick<
  OptionValues<typeof driftOptions>,
  | 'drift.delay'
  | 'drift.grace'
  | 'drift.minRows'
  | 'drift.reference.windows'
  | 'drift.reference.warmUp'
  | 'drift.alpha'
  | 'drift.segments'
  | 'drift.profiles'
  | 'drift.sampleSize'
>

export function createDriftStatisticsStage(
  options: StatisticsOptions,
  ctx: Pick<TaskContext, 'partition' | 'partitionsOf' | 'now' | 'metrics'>,
  watermark: Watermark,
  book: ReferenceBook = new ReferenceBook(),
): Stage<never> {
  const delayMs = options['drift.delay']
  const graceMs = options['drift.grace']
  const state = statisticsState(
    watermark,
    new SegmentValues(dimensionsOf(options['drift.segments'])),
  )
  const { windows, references, progress } = state
  const { freshet, tools, river } = profilesOf(options['drift.profiles'])
  const detectors = new StreamDetectors(options['drift.minRows'])
  const samples = new WindowSamples({
    profiles: tools,
    limit: options['drift.sampleSize'],
    minRows: options['drift.minRows'],
    segments: progress.segments,
    isOpen(id) {
      const known = windows.get(id)
      return known ? known.revision === 0 : !watermark.passed(id.start + sizes[id.size].ms, delayMs)
    },
  })
  const pending = new Pending()
  let moreToFold = false
  const open = new Set<WindowRow>()
  const corrected = new Set<WindowRow>()
  /** In order, to be closed or corrected with the next commits. */
  let due: WindowRow[] = []
  const late = ctx.metrics.counter('freshet_late_total', { topology: 'drift' })
  const closedCounter = ctx.metrics.counter('freshet_drift_windows_total')
  const watermarkGauge = ctx.metrics.gauge('freshet_drift_watermark_seconds')
  let correctedAt = Number.NEGATIVE_INFINITY
  let sweptHour = 0
  /** Windows past their grace were not yet written when the others were forgotten. */
  let heldBack = false

  /** The window's row, made at first sight. */
  const windowFor = (subject: string, segment: string, size: number, at: number): WindowRow => {
    const { ms } = sizes[size]
    const id = { subject, segment, size, start: Math.floor(at / ms) * ms }
    let row = windows.get(id)
    if (!row) {
      row = windows.make(id, emptyFor(subject))
      open.add(row)
    }
    state.windowStore.touch(row)
    if (row.revision > 0) {
      row.changed = true
      corrected.add(row)
    }
    return row
  }

  /** The windows that a block's changes are for, as blocks: itself, or of what is past its grace the hour and the day alone. */
  const inGrace = (block: BlockHead): readonly BlockHead[] => {
    const isIn = ({ size, start }: BlockHead): boolean =>
      start + sizes[size].ms + graceMs >= watermark.horizon
    if (isIn(block)) return [block]
    late.add()
    if (block.size > 0) return []
    return [1, 2]
      .map(size => ({
        ...block,
        size,
        start: Math.floor(block.start / sizes[size].ms) * sizes[size].ms,
      }))
      .filter(isIn)
  }

  const cell = (
    block: BlockHead,
    subject: string,
    missing: number,
  ): ((name: string | null, slot: number, change: number) => void) => {
    if (block.size === 0 && (progress.startedAt === 0 || block.start < progress.startedAt))
      progress.startedAt = block.start
    const histograms: Histogram[] = inGrace(block).map(each => {
      const row = pending.row(each, subject)
      pending.store.touch(row)
      row.histogram.missing += missing
      return row.histogram
    })
    return (name, slot, change) => {
      for (const histogram of histograms)
        if (name === null) histogram.addAt(slot, change)
        else histogram.add(histogram.binOfName(name), slot % shardCount, change)
    }
  }

  /** Sums what waited for windows that are over into those (D1); true where some is left. */
  const foldEnded = (): boolean => {
    const ended = pending.takeEnded(end => watermark.passed(end, delayMs), foldsPerCommit)
    for (const { subject, block, histogram } of ended) {
      const at = block.size === 0 ? sizes.map((_, size) => size) : [block.size]
      for (const segment of progress.segments.of(block.place))
        for (const size of at)
          windowFor(subject, segment, size, block.start).unpacked().merge(histogram)
    }
    return ended.length >= foldsPerCommit
  }

  const limitsOf = (row: WindowRow): FigureLimits => ({
    alpha: levelOfEach(options['drift.alpha'], references.compared(row)),
    minRows: options['drift.minRows'],
    wantedWindows: referenceWindows(options['drift.reference.windows'], row.size),
  })

  const referenceOf = (row: WindowRow): ReferenceRow => {
    const known = references.get(row)
    if (known) return known
    const made = newReference(row.subject, row.segment, row.size, emptyFor(row.subject))
    references.set(row, made)
    return made
  }

  /** References that were set by hand and are not yet this task's. */
  let toAdopt: SetReference[] = []
  let bookSeen = -1

  const lookInBook = (): void => {
    if (book.version === bookSeen) return
    bookSeen = book.version
    const isOurs = (set: SetReference): boolean =>
      partitionOfText(set.subject, ctx.partitionsOf(statisticsKind)) === ctx.partition
    toAdopt = book
      .newest()
      .filter(set => isOurs(set) && set.setAt > (references.get(set)?.setAt ?? 0))
  }

  const adopt = (out: Outbox): void => {
    lookInBook()
    for (const set of toAdopt.splice(0, referencesPerCommit)) {
      const { subject, segment, size } = set
      const reference =
        references.get(set) ?? newReference(subject, segment, size, emptyFor(subject))
      replaceBy(reference, set)
      references.set(set, reference)
      state.referenceStore.touch(reference)
      samples.replaceReference(set, [])
      for (const each of referenceRows(reference)) out.row('histograms', each)
    }
  }

  const emit = (row: WindowRow, out: Outbox): void => {
    const { revision } = row
    const first = revision === 1
    const histogram = row.unpacked()
    const n = histogram.n
    const reference = referenceOf(row)
    const limits = limitsOf(row)
    const known = numberSubject(row.subject)
    // the window in which the stream began is not whole
    const begins = progress.startedAt + options['drift.reference.warmUp'] * (known?.warmUps ?? 1)
    const found = figures(reference, histogram, known?.edges ?? null, limits)
    for (const each of histogramRows(row, histogram, reference, revision))
      out.row('histograms', each)
    if (freshet && (n > 0 || reference.windows > 0))
      for (const each of driftRows(row, found, reference, n, revision)) out.row('drift', each)
    const isEnough = n >= limits.minRows
    const joins =
      first && !book.isWhole && reference.groups === null && row.start > begins && isEnough
    const isRead = book.isWhole && isWithin(row, reference)
    const fills = isRead && (isEnough || reference.name !== firstReference)
    if (first)
      for (const each of samples.closed(row, reference, joins || fills)) out.row('drift', each)
    if (first && river) for (const each of detectors.closed(row, histogram)) out.row('drift', each)
    if (joins) {
      if (collect(reference, row.start, histogram, limits.wantedWindows)) {
        references.froze(row)
        for (const each of referenceRows(reference)) out.row('histograms', each)
      }
      state.referenceStore.touch(reference)
    }
  }

  const closeDue = (now: number, out: Outbox): void => {
    if (due.length === 0) due = gather(now)
    for (const row of due.splice(0, tools.length > 0 ? sampledPerCommit : windowsPerCommit)) {
      if (open.delete(row)) closedCounter.add()
      corrected.delete(row)
      row.revision++
      row.changed = false
      emit(row, out)
      row.pack()
      state.windowStore.touch(row)
    }
  }

  const gather = (now: number): WindowRow[] => {
    const ended = [...open].filter(row => watermark.passed(row.end, delayMs)).sort(inOrder)
    if (now - correctedAt < correctionMs || corrected.size === 0) return ended
    correctedAt = now
    return [...ended, ...[...corrected].sort(inOrder)]
  }

  const sweep = (): void => {
    const hour = Math.floor((watermark.horizon - graceMs) / sizes[1].ms)
    if (hour === sweptHour && (due.length > 0 || !heldBack)) return
    sweptHour = hour
    heldBack = false
    const held = (row: WindowRow): boolean => {
      const holds = open.has(row) || corrected.has(row)
      heldBack ||= holds
      return holds
    }
    for (const row of windows.takeEndedBefore(watermark.horizon - graceMs, held))
      state.windowStore.remove(row)
  }

  return {
    name: 'drift',
    stores: [
      ...state.stores,
      ...([pending.store, detectors.store] as unknown as readonly Store<never>[]),
      ...samples.stores,
    ],
    receives: [driftChannel, samplesChannel],
    receive(channel, payload) {
      if (channel === samplesChannel) {
        if (tools.length > 0) samples.receive(payload)
        return
      }
      readDeltas(payload, (source, mark) => watermark.hear(source, mark), cell)
      state.progressStore.touch(progress)
    },
    urgent: () => due.length > 0 || toAdopt.length > 0 || moreToFold,
    full: () => due.length > maxDue || (moreToFold && pending.size > maxDue),
    flush(out) {
      const now = ctx.now()
      if (watermark.advance(now, windows.size + pending.size < maxHeld)) {
        state.progressStore.touch(progress)
        watermarkGauge.set(watermark.value / 1000)
      }
      adopt(out)
      moreToFold = foldEnded()
      // windows close, and are forgotten, once all that came for them is in them
      if (!moreToFold) {
        closeDue(now, out)
        sweep()
      }
      samples.flush()
    },
    restored() {
      for (const row of windows.values()) {
        if (row.revision === 0) open.add(row)
        else if (row.changed) corrected.add(row)
        else row.pack()
      }
      samples.restored()
    },
  }
}

function isWithin({ start, end }: WindowRow, { groups, from, to }: ReferenceRow): boolean {
  return groups !== null && start >= from && end <= to
}

/** D2: by end, then by name, so that a replay writes in the same order. */
function inOrder(a: WindowRow, b: WindowRow): number {
  return (
    a.end - b.end ||
    a.size - b.size ||
    compare(a.subject, b.subject) ||
    compare(a.segment, b.segment)
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

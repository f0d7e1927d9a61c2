/**
 * In the statistic task, behind drift: sums up what user tasks tell, and writes the tables `quality` and `calibration`.
 *
 *  - L1 The sums of a window are those of all that was told for it, in whatever order it came, over restarts too.
 *  - L2 A window is written when its labels are final (not at its end: until then only what was watched is known, and every
 *       rate would be 1), again when its sessions, lists and returns are known, and in between when it changed, so that
 *       rows a day do not depend on the rate of events.
 *  - L3 A window is held for corrections until the returns that it tells of are known (1 h: minutes, 1 d: hours, 7 d: days)
 *       and some time more. What comes later counts in the larger windows that are still held.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { calibrationRows, type ScoresOption } from '../calibration/rows.ts'
import { termsOf } from '../calibration/sums.ts'
import { sizes } from '../drift/subjects.ts'
import type { Watermark } from '../drift/watermark.ts'
import { known } from '../quality/metrics.ts'
import { exposureRows, qualityRows } from '../quality/rows.ts'
import type { Base } from './bases.ts'
import {
  type Labelled,
  ledgerChannel,
  type PacketTaker,
  readPacketDims,
  readRecords,
} from './packets.ts'
import type { Part } from './parts.ts'
import type { Slot } from './slots.ts'
import { type LedgerState, ledgerState } from './state.ts'
import { addLabel, returns, sum } from './sums.ts'

const minuteMs = sizes[0].ms
/** How long after the watermark labels may still be told: they are looked for once a minute. */
const sweepMs = 60_000
/** Rows written in one commit, but for what one window more has. */
const rowsACommit = 2000
/** Windows that may wait to be written or forgotten before input waits for them (C7). */
const mostDue = 5000
/** Packets of one commit, each a row of it. */
const packetBytesACommit = 1 << 20
/** What windows that are forgotten add to larger ones in one commit: an old log ends many at once (C1). */
const foldedBytesACommit = 512 * 1024
/** Of a row that is taken out. */
const tombstoneBytes = 40
/** How long a window is held beyond the last return that it tells of, by size, ms. */
const heldOnMs = [5 * minuteMs, 60 * minuteMs, 24 * 60 * minuteMs] as const
/** Which returns those are, by size: a place in `returns`. */
const lastReturn = [0, 2, 3] as const
/** A window that changed is written again after so long, by size, processing time, ms. */
const rewriteMs = [30 * minuteMs, 10 * minuteMs, 10 * minuteMs] as const
/** Where nothing was told for so long, all that changed is written, processing time, ms. */
const quietMs = 10_000

export interface LedgerTimes {
  /** From when labels (labels.startWithin and slack), then sessions and requests, are whole after a window's end, ms. */
  readonly labelsMs: number
  readonly endedMs: number
  /** The same for returns: beyond what each is asked within, ms. */
  readonly slackMs: number
  /** After which no label can come any more, ms. */
  readonly settledMs: number
}

export interface LedgerStatisticsDeps {
  readonly times: LedgerTimes
  readonly scores: ScoresOption
  readonly watermark: Readonly<Watermark>
  /** The journal is let grow so far before sums are written; 1 MiB. */
  readonly journalBytes?: number
}

export function createLedgerStatisticsStage(
  ctx: Pick<TaskContext, 'now' | 'metrics'>,
  deps: LedgerStatisticsDeps,
): Stage<never> {
  return new LedgerStage(ctx, deps)
}

class LedgerStage implements Stage<never>, PacketTaker {
  readonly name = 'ledger'
  readonly receives = [ledgerChannel]
  readonly stores: NonNullable<Stage['stores']>
  private readonly ctx: Pick<TaskContext, 'now'>
  private readonly deps: LedgerStatisticsDeps
  private readonly state: LedgerState
  /** After a window's end, ms: when each level of quality/metrics.ts is reached. */
  private readonly levelsMs: readonly number[]
  /** After a window's end, ms: how long it is held, by size. */
  private readonly heldMs: readonly number[]
  private readonly late
  private readonly written
  private readonly held
  /** The packet that is applied. */
  private bases: readonly Base[] = []
  private packet = 0
  private isReplay = false
  private minute = -1
  private readonly around: Slot[] = []
  private due: Slot[] = []
  private heardAt = Number.NEGATIVE_INFINITY
  private sweptAt = 0
  private moreToSweep = false

  constructor(ctx: Pick<TaskContext, 'now' | 'metrics'>, deps: LedgerStatisticsDeps) {
    this.ctx = ctx
    this.deps = deps
    this.state = ledgerState(deps.journalBytes ?? 1 << 20)
    this.stores = this.state.stores
    const { labelsMs, endedMs, slackMs } = deps.times
    this.levelsMs = [
      labelsMs + sweepMs,
      endedMs + sweepMs,
      ...returns.map(({ withinMs }) => Math.max(endedMs, withinMs + slackMs) + sweepMs),
    ]
    this.heldMs = sizes.map(
      (_, size) => this.levelsMs[known.returns - 1 + lastReturn[size]] + heldOnMs[size],
    )
    this.late = ctx.metrics.counter('freshet_late_total', { topology: 'quality' })
    this.written = ctx.metrics.counter('freshet_ledger_windows_written_total')
    this.held = ctx.metrics.gauge('freshet_ledger_windows')
  }

  // ---- what is told

  receive(_channel: unknown, payload: ByteReader): void {
    const bytes = Buffer.from(payload.raw(payload.left))
    const { bases, baseStore, journal } = this.state
    const r = new ByteReader(bytes)
    this.bases = readPacketDims(r).map(dims => bases.of(dims, base => baseStore.touch(base)))
    this.packet = journal.append(
      this.bases.map(base => base.number),
      bytes,
    )
    this.heardAt = this.ctx.now()
    readRecords(r, this)
  }

  label(dims: number, minute: number, bucket: number, one: Labelled): void {
    const base = this.bases[dims]
    const isScored = !Number.isNaN(one.score)
    const terms = isScored ? termsOf(one.score, one.positive) : undefined
    const item = this.state.items.of(one.item, one.creator)
    const slots = this.slotsAt(minute)
    if (slots.length === 0) return
    const [slot] = slots
    const cell = slot.cell(base)
    if (this.packet > cell.upTo) {
      this.state.journal.change(cell)
      addLabel(cell.sums(bucket), one)
      if (one.badScore) cell.scores().bad++
      else if (terms) cell.scores().take(terms)
    }
    if (isScored && !slot.isSettled) this.sample(slot, base, one)
    const shownIn = slot.size > 0 ? slot : slots[1]
    if (shownIn && !shownIn.isSettled) this.show(shownIn, base, item, one.item)
  }

  session(
    dims: number,
    minute: number,
    bucket: number,
    lengthMs: number,
    impressions: number,
    plays: number,
    watchedMs: number,
  ): void {
    const sums = this.sumsAt(dims, minute, bucket)
    if (!sums) return
    sums[sum.sessions]++
    sums[sum.sessionMs] += lengthMs
    sums[sum.sessionImpressions] += impressions
    sums[sum.sessionPlays] += plays
    sums[sum.sessionWatchedMs] += watchedMs
  }

  returned(dims: number, minute: number, bucket: number, bits: number): void {
    const sums = this.sumsAt(dims, minute, bucket)
    if (sums) for (let k = 0; k < returns.length; k++) if (bits & (1 << k)) sums[returns[k].sum]++
  }

  request(dims: number, minute: number, bucket: number, ndcg: number, mrr: number): void {
    const sums = this.sumsAt(dims, minute, bucket)
    if (!sums) return
    sums[sum.requests]++
    sums[sum.ndcg] += ndcg
    sums[sum.mrr] += mrr
  }

  /** Undefined: too late for all windows, or (applied again) already held. */
  private sumsAt(dims: number, minute: number, bucket: number): Float64Array | undefined {
    const slots = this.slotsAt(minute)
    if (slots.length === 0) return undefined
    const cell = slots[0].cell(this.bases[dims])
    if (this.packet <= cell.upTo) return undefined
    this.state.journal.change(cell)
    return cell.sums(bucket)
  }

  private sample(slot: Slot, base: Base, one: Labelled): void {
    const sample = slot.sample(base.model)
    if (!sample || this.packet <= sample.upTo) return
    if (sample.rows.offer(one.hash, one.score, base.number * 2 + (one.positive ? 1 : 0)))
      this.state.journal.change(sample)
  }

  private show(slot: Slot, base: Base, item: number, hash: number): void {
    const exposure = slot.exposure(base, hash)
    if (this.packet <= exposure.upTo) return
    this.state.journal.change(exposure)
    const { isCrowded } = slot
    slot.show(exposure, item)
    if (slot.isCrowded !== isCrowded) this.state.slotStore.touch(slot)
  }

  /** The windows around a minute that are still held, smallest first; each is marked as changed. Hot: nearly always that of the last record. */
  private slotsAt(minute: number): readonly Slot[] {
    const { around } = this
    if (minute === this.minute) return around
    this.minute = minute
    around.length = 0
    const at = minute * minuteMs
    for (let size = 0; size < sizes.length; size++) {
      const slot = this.slotFor(size, Math.floor(at / sizes[size].ms))
      if (slot) around.push(slot)
    }
    if (!this.isReplay && around.length === 0) this.late.add()
    return around
  }

  private slotFor(size: number, number: number): Slot | undefined {
    const { slots, slotStore } = this.state
    let slot = slots.get(size, number)
    // a window that is applied again and is not there was forgotten since
    if (this.isReplay) return slot
    if (!slot) {
      const end = (number + 1) * sizes[size].ms
      if (end + this.heldMs[size] < this.deps.watermark.horizon) return undefined
      slot = slots.make(size, number)
    } else if (slot.changed) return slot
    slot.changed = true
    slotStore.touch(slot)
    return slot
  }

  // ---- what is written

  urgent(): boolean {
    return this.due.length > 0 || this.moreToSweep
  }

  full(): boolean {
    return (
      this.due.length > mostDue ||
      (this.moreToSweep && this.state.slots.count > mostDue) ||
      this.state.journal.newBytes >= packetBytesACommit
    )
  }

  flush(out: Outbox): void {
    // a window that is written is packed: the slots at hand are looked up anew, and marked as changed again
    this.minute = -1
    if (this.due.length === 0) this.due = this.gather()
    for (let rows = 0; rows < rowsACommit; ) {
      const slot = this.due.shift()
      if (!slot) break
      rows += this.write(slot, out)
    }
    if (this.due.length === 0) this.sweep()
    this.state.journal.committed()
    // one of both with a commit: each writes as much as one may hold
    if (!this.moreToSweep) this.state.journal.flush()
    this.held.set(this.state.slots.count)
  }

  private levelOf(slot: Slot): number {
    const passed = this.deps.watermark.value - slot.end
    const held = this.heldMs[slot.size]
    let level = 0
    while (level < this.levelsMs.length && this.levelsMs[level] <= Math.min(passed, held)) level++
    return level
  }

  private gather(): Slot[] {
    const now = this.ctx.now()
    const isQuiet = now - this.heardAt >= quietMs
    const due: Slot[] = []
    for (const slot of this.state.slots.values()) {
      const level = this.levelOf(slot)
      if (level === 0) continue
      const again = isQuiet || now - slot.writtenAt >= rewriteMs[slot.size]
      if (level > slot.level || (slot.changed && again)) due.push(slot)
    }
    return due.sort(inOrder)
  }

  /** Gives the number of rows. */
  private write(slot: Slot, out: Outbox): number {
    const { bases, items, slots, slotStore } = this.state
    slot.revision++
    slot.level = Math.max(slot.level, this.levelOf(slot))
    slot.changed = false
    slot.writtenAt = this.ctx.now()
    slotStore.touch(slot)
    this.written.add()
    const { revision } = slot
    const within = slots.within(slot)
    const quality = qualityRows(slot, within, slot.level, revision)
    if (!slot.isSettled && slot.size > 0)
      quality.push(...exposureRows(slot, within, items, revision))
    const calibration = slot.isSettled
      ? []
      : calibrationRows(slot, within, this.deps.scores, n => bases.at(n), revision)
    for (const row of quality) out.row('quality', row)
    for (const row of calibration) out.row('calibration', row)
    for (const cell of slot.cells.values()) cell.pack()
    return quality.length + calibration.length
  }

  /** Forgets what is past its time and was written: once a minute of event time, a part of it with each commit. */
  private sweep(): void {
    const { watermark, times } = this.deps
    const { horizon } = watermark
    const minute = Math.floor(horizon / minuteMs)
    if (minute === this.sweptAt && !this.moreToSweep) return
    this.sweptAt = minute
    this.moreToSweep = false
    const { slots, bases, baseStore, slotStore, journal } = this.state
    let left = foldedBytesACommit
    const write = (part: Part): void => {
      if (!part.dirty) left -= part.bytes
      journal.write(part)
    }
    // what they held makes a larger row grow, which may have been counted when it was small
    const remove = (parts: readonly Part[]): void => {
      for (const { bytes } of parts) left -= tombstoneBytes + bytes
      this.state.remove(parts)
    }
    // a day with all that is in it, then the next: sums that go on at once to where they are forgotten are not written
    for (const slot of [...slots.values()].sort(inOrder)) {
      if (slot.changed || slot.level < this.levelOf(slot)) continue
      const isPast = slot.end + this.heldMs[slot.size] < horizon
      const settles = slot.size > 0 && !slot.isSettled && slot.end + times.settledMs < horizon
      // what is held within it is added to it first
      if (!(isPast || settles) || slots.within(slot).length > 1) continue
      if (left <= 0) {
        this.moreToSweep = true
        return
      }
      const larger = slots.larger(slot)
      if (isPast) {
        remove(slot.foldInto(larger, write))
        slots.delete(slot)
        slotStore.remove(slot)
      } else {
        remove(slot.settle(larger, write))
        slotStore.touch(slot)
      }
      if (larger) slotStore.touch(larger)
    }
    for (const base of [...bases.unused()]) {
      bases.delete(base)
      baseStore.remove(base)
    }
  }

  restored(): void {
    this.isReplay = true
    for (const { number, bases, payload } of this.state.restored()) {
      const r = new ByteReader(payload)
      readPacketDims(r)
      // a base that is gone had no window left: nothing is applied to it
      this.bases = bases.map(each => this.state.bases.at(each)) as Base[]
      this.packet = number
      readRecords(r, this)
    }
    this.isReplay = false
    this.minute = -1
  }
}

const inOrder = (a: Slot, b: Slot): number => a.end - b.end || a.size - b.size

/**
 * What a user task counts between two commits, and the packets made of it: totals by item, and positives also by cohort and
 * minute, which is all that windows are made of.
 *
 * Hot: `add` is called for most events. Totals stand side by side in slots of the items counted since the last commit; the
 * cells of an item hang in a chain, newest first; all in typed arrays that are used again. The chain is looked through for at most `MAX_STEPS` cells: a doubled cell is only a
 * few bytes more, since the receiver adds.
 *
 * Packet: layout u8, base = newest event time (uint), then per item {itemId, base - its newest event time, a mask u8 of what
 * is not 0, impressions, watches, watchedMs, number of cells, cells}. A cell: cohort (number in order of first sight, 0 is
 * ''; a new one is followed by its name), minute (int, from the base's minute), positives.
 */

import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { Names } from '../items/names.ts'

const MAX_STEPS = 64
const MAX_COHORT_NAMES = 10_000
const layout = 1

const IMPRESSIONS = 1
const WATCHES = 2
const POSITIVES = 4
const WATCHED_MS = 8

export class CellCounts {
  /** By item: its slot + 1. Slots keep what is counted side by side, however many items there are. */
  private slotOf = new Int32Array(1024)
  private slots = 0
  /** By slot. */
  private items = new Int32Array(1024)
  private newest = new Float64Array(1024)
  private impressions = new Uint32Array(1024)
  private watches = new Uint32Array(1024)
  private watchedMs = new Float64Array(1024)
  /** By slot: its newest cell + 1. */
  private heads = new Int32Array(1024)
  private cohorts = new Names()
  private count = 0
  /** By cell. */
  private next = new Int32Array(1024)
  private cohort = new Int32Array(1024)
  private minute = new Int32Array(1024)
  private positives = new Uint32Array(1024)

  constructor() {
    this.cohorts.index('')
  }

  /** Rough number of entries of the packets to come. */
  get size(): number {
    return this.slots + this.count
  }

  /** `ts` in ms, from 0. */
  add(
    item: number,
    cohort: string,
    ts: number,
    impressions: number,
    watches: number,
    positives: number,
    watchedMs: number,
  ): void {
    const slot = this.slot(item)
    if (ts > this.newest[slot]) this.newest[slot] = ts
    this.impressions[slot] += impressions
    this.watches[slot] += watches
    this.watchedMs[slot] += watchedMs
    if (positives === 0) return
    const cell = this.find(slot, cohort === '' ? 0 : this.cohorts.index(cohort), minuteOf(ts))
    this.positives[cell] += positives
  }

  /** The slot of an item, made if it has none. */
  private slot(item: number): number {
    if (item >= this.slotOf.length) this.slotOf = copyInto(new Int32Array(item * 2), this.slotOf)
    const known = this.slotOf[item]
    if (known !== 0) return known - 1
    if (this.slots === this.items.length) this.growSlots(this.slots * 2)
    const slot = this.slots++
    this.slotOf[item] = this.slots
    this.items[slot] = item
    this.newest[slot] = 0
    this.impressions[slot] = 0
    this.watches[slot] = 0
    this.watchedMs[slot] = 0
    this.heads[slot] = 0
    return slot
  }

  private find(slot: number, cohort: number, minute: number): number {
    const head = this.heads[slot]
    let cell = head - 1
    for (let steps = 0; cell >= 0 && steps < MAX_STEPS; steps++) {
      if (this.minute[cell] === minute && this.cohort[cell] === cohort) return cell
      cell = this.next[cell] - 1
    }
    if (this.count === this.next.length) this.growCells(this.count * 2)
    const fresh = this.count++
    this.next[fresh] = head
    this.cohort[fresh] = cohort
    this.minute[fresh] = minute
    this.positives[fresh] = 0
    this.heads[slot] = fresh + 1
    return fresh
  }

  /**
   * Writes one payload a partition and empties the counts. `partitionOf` routes an item; `to` gives the writer for a
   * partition and is called once for each that has items.
   */
  drain(
    partitionOf: (item: number) => number,
    idOf: (item: number) => string,
    to: (partition: number) => ByteWriter,
  ): void {
    const byPartition = new Map<number, number[]>()
    for (let slot = 0; slot < this.slots; slot++) {
      const partition = partitionOf(this.items[slot])
      const slots = byPartition.get(partition)
      if (slots) slots.push(slot)
      else byPartition.set(partition, [slot])
    }
    const known = new Int32Array(this.cohorts.size)
    for (const [partition, slots] of byPartition) {
      known.fill(0)
      this.write(slots, known, idOf, to(partition))
    }
    for (let slot = 0; slot < this.slots; slot++) this.slotOf[this.items[slot]] = 0
    this.slots = 0
    this.count = 0
    if (this.cohorts.size <= MAX_COHORT_NAMES) return
    this.cohorts = new Names()
    this.cohorts.index('')
  }

  private write(
    slots: readonly number[],
    known: Int32Array,
    idOf: (item: number) => string,
    w: ByteWriter,
  ): void {
    let cohorts = 0
    let newestAt = 0
    for (const slot of slots) newestAt = Math.max(newestAt, this.newest[slot])
    const base = minuteOf(newestAt)
    w.u8(layout).uint(newestAt)
    for (const slot of slots) {
      w.string(idOf(this.items[slot])).uint(newestAt - this.newest[slot])
      this.writeTotals(slot, w)
      if (this.heads[slot] === 0) continue
      let cells = 0
      for (let at = this.heads[slot]; at !== 0; at = this.next[at - 1]) cells++
      w.uint(cells)
      for (let at = this.heads[slot]; at !== 0; at = this.next[at - 1]) {
        const cell = at - 1
        const cohort = this.cohort[cell]
        if (cohort === 0) w.uint(0)
        else if (known[cohort] !== 0) w.uint(known[cohort])
        else {
          known[cohort] = ++cohorts
          w.uint(cohorts).string(this.cohorts.nameOf(cohort))
        }
        w.int(this.minute[cell] - base).uint(this.positives[cell])
      }
    }
  }

  private writeTotals(slot: number, w: ByteWriter): void {
    const impressions = this.impressions[slot]
    const watches = this.watches[slot]
    const watchedMs = this.watchedMs[slot]
    w.u8(
      (impressions && IMPRESSIONS) |
        (watches && WATCHES) |
        (watchedMs && WATCHED_MS) |
        (this.heads[slot] && POSITIVES),
    )
    if (impressions) w.uint(impressions)
    if (watches) w.uint(watches)
    if (watchedMs) w.uint(watchedMs)
  }

  private growSlots(size: number): void {
    this.items = copyInto(new Int32Array(size), this.items)
    this.newest = copyInto(new Float64Array(size), this.newest)
    this.impressions = copyInto(new Uint32Array(size), this.impressions)
    this.watches = copyInto(new Uint32Array(size), this.watches)
    this.watchedMs = copyInto(new Float64Array(size), this.watchedMs)
    this.heads = copyInto(new Int32Array(size), this.heads)
  }

  private growCells(size: number): void {
    this.next = copyInto(new Int32Array(size), this.next)
    this.cohort = copyInto(new Int32Array(size), this.cohort)
    this.minute = copyInto(new Int32Array(size), this.minute)
    this.positives = copyInto(new Uint32Array(size), this.positives)
  }
}

/** Takes in a packet: `item` once for each item, with its totals, then `positives` for each of its cells. */
export interface CellTaker {
  /** `newestAt` is the newest event time that this packet counts for the item, ms. */
  item(
    item: number,
    newestAt: number,
    impressions: number,
    watches: number,
    watchedMs: number,
  ): void
  /** `minute` since 1970. */
  positives(cohort: string, minute: number, count: number): void
}

/**
 * Reads a payload; `indexFrom` takes an id of `size` bytes off the reader and gives its index. Returns the newest event time
 * counted in it. Errors: CHANGELOG_NEWER for another layout; RangeError for a payload that is cut.
 */
export function readCells(
  r: ByteReader,
  indexFrom: (r: ByteReader, size: number) => number,
  to: CellTaker,
): number {
  const found = r.u8()
  if (found !== layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a packet of counts has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
    )
  const newestAt = r.uint()
  const base = minuteOf(newestAt)
  const cohorts = ['']
  while (r.left > 0) {
    const item = indexFrom(r, r.uint())
    const itemNewestAt = newestAt - r.uint()
    const mask = r.u8()
    const impressions = mask & IMPRESSIONS ? r.uint() : 0
    const watches = mask & WATCHES ? r.uint() : 0
    const watchedMs = mask & WATCHED_MS ? r.uint() : 0
    to.item(item, itemNewestAt, impressions, watches, watchedMs)
    for (let cells = mask & POSITIVES ? r.uint() : 0; cells > 0; cells--) {
      const cohort = r.uint()
      if (cohort === cohorts.length) cohorts.push(r.string())
      const minute = base + r.int()
      to.positives(cohorts[cohort], minute, r.uint())
    }
  }
  return newestAt
}

export function minuteOf(ts: number): number {
  return Math.floor(ts / 60_000)
}

function copyInto<T extends { set(from: T): void }>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

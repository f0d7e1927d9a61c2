/**
 * What a user task counts between two commits, and the packets made of it: totals by item, and positives also by cohort and
 * minute, which is all that windows are made of.
 *
 * Hot: `add` is called for most events. Totals stand in arrays by item; the cells of an item hang in a chain, newest first,
 * in typed arrays that are used again. The chain is looked through for at most `MAX_STEPS` cells: a doubled cell is only a
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
  /** By item. `newest` is -1 where the item was not touched since the last drain. */
  private newest = new Float64Array(1024).fill(-1)
  private impressions = new Uint32Array(1024)
  private watches = new Uint32Array(1024)
  private watchedMs = new Float64Array(1024)
  /** By item: its newest cell + 1. */
  private heads = new Int32Array(1024)
  private touched: number[] = []
  private cohorts = new Names()
  private count = 0
  private capacity = 0
  /** By cell. */
  private next = new Int32Array(0)
  private cohort = new Int32Array(0)
  private minute = new Int32Array(0)
  private positives = new Uint32Array(0)

  constructor() {
    this.cohorts.index('')
    this.grow(1024)
  }

  /** Rough number of entries of the packets to come. */
  get size(): number {
    return this.touched.length + this.count
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
    if (item >= this.newest.length) this.growItems(item * 2)
    const newest = this.newest[item]
    if (newest < 0) this.touched.push(item)
    if (ts > newest) this.newest[item] = ts
    this.impressions[item] += impressions
    this.watches[item] += watches
    this.watchedMs[item] += watchedMs
    if (positives === 0) return
    const cell = this.find(item, cohort === '' ? 0 : this.cohorts.index(cohort), minuteOf(ts))
    this.positives[cell] += positives
  }

  private find(item: number, cohort: number, minute: number): number {
    const head = this.heads[item]
    let cell = head - 1
    for (let steps = 0; cell >= 0 && steps < MAX_STEPS; steps++) {
      if (this.minute[cell] === minute && this.cohort[cell] === cohort) return cell
      cell = this.next[cell] - 1
    }
    if (this.count === this.capacity) this.grow(this.capacity * 2)
    const fresh = this.count++
    this.next[fresh] = head
    this.cohort[fresh] = cohort
    this.minute[fresh] = minute
    this.positives[fresh] = 0
    this.heads[item] = fresh + 1
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
    for (const item of this.touched) {
      const partition = partitionOf(item)
      const items = byPartition.get(partition)
      if (items) items.push(item)
      else byPartition.set(partition, [item])
    }
    const known = new Int32Array(this.cohorts.size)
    for (const [partition, items] of byPartition) {
      known.fill(0)
      this.write(items, known, idOf, to(partition))
    }
    for (const item of this.touched) {
      this.newest[item] = -1
      this.impressions[item] = 0
      this.watches[item] = 0
      this.watchedMs[item] = 0
      this.heads[item] = 0
    }
    this.touched = []
    this.count = 0
    if (this.cohorts.size <= MAX_COHORT_NAMES) return
    this.cohorts = new Names()
    this.cohorts.index('')
  }

  private write(
    items: readonly number[],
    known: Int32Array,
    idOf: (item: number) => string,
    w: ByteWriter,
  ): void {
    let cohorts = 0
    let newestAt = 0
    for (const item of items) newestAt = Math.max(newestAt, this.newest[item])
    const base = minuteOf(newestAt)
    w.u8(layout).uint(newestAt)
    for (const item of items) {
      w.string(idOf(item)).uint(newestAt - this.newest[item])
      this.writeTotals(item, w)
      if (this.heads[item] === 0) continue
      let cells = 0
      for (let at = this.heads[item]; at !== 0; at = this.next[at - 1]) cells++
      w.uint(cells)
      for (let at = this.heads[item]; at !== 0; at = this.next[at - 1]) {
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

  private writeTotals(item: number, w: ByteWriter): void {
    const impressions = this.impressions[item]
    const watches = this.watches[item]
    const watchedMs = this.watchedMs[item]
    w.u8(
      (impressions && IMPRESSIONS) |
        (watches && WATCHES) |
        (watchedMs && WATCHED_MS) |
        (this.heads[item] && POSITIVES),
    )
    if (impressions) w.uint(impressions)
    if (watches) w.uint(watches)
    if (watchedMs) w.uint(watchedMs)
  }

  private growItems(size: number): void {
    this.newest = copyInto(new Float64Array(size).fill(-1), this.newest)
    this.impressions = copyInto(new Uint32Array(size), this.impressions)
    this.watches = copyInto(new Uint32Array(size), this.watches)
    this.watchedMs = copyInto(new Float64Array(size), this.watchedMs)
    this.heads = copyInto(new Int32Array(size), this.heads)
  }

  private grow(capacity: number): void {
    this.capacity = capacity
    this.next = copyInto(new Int32Array(capacity), this.next)
    this.cohort = copyInto(new Int32Array(capacity), this.cohort)
    this.minute = copyInto(new Int32Array(capacity), this.minute)
    this.positives = copyInto(new Uint32Array(capacity), this.positives)
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

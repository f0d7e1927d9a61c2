/**
 * What a user task counts between two commits: one cell per (item, cohort, minute), and the packets made of them.
 *
 * Hot: `add` is called for most events. Cells of an item hang in a chain, newest first, in typed arrays that are used
 * again; the chain is looked through for at most `MAX_STEPS` cells: a doubled cell is only a few bytes more, since the
 * receiver adds.
 *
 * Packet: layout u8, base = newest event time (uint), then per item {itemId, base - its newest event time, number of cells,
 * cells}. A cell: cohort (number in order of first sight, 0 is ''; a new one is followed by its name), minute (int, from
 * the base's minute), a mask u8 of the counts that are not 0, and these.
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
  /** By item: its newest cell + 1. */
  private heads = new Int32Array(1024)
  /** By item: the newest event time since the last drain. */
  private newest = new Float64Array(1024)
  private touched: number[] = []
  private cohorts = new Names()
  private count = 0
  private capacity = 0
  private next = new Int32Array(0)
  private cohort = new Int32Array(0)
  private minute = new Int32Array(0)
  private impressions = new Uint32Array(0)
  private watches = new Uint32Array(0)
  private positives = new Uint32Array(0)
  private watchedMs = new Float64Array(0)

  constructor() {
    this.cohorts.index('')
    this.grow(1024)
  }

  get cells(): number {
    return this.count
  }

  add(
    item: number,
    cohort: string,
    ts: number,
    impressions: number,
    watches: number,
    positives: number,
    watchedMs: number,
  ): void {
    const cell = this.find(item, cohort === '' ? 0 : this.cohorts.index(cohort), minuteOf(ts))
    this.impressions[cell] += impressions
    this.watches[cell] += watches
    this.positives[cell] += positives
    this.watchedMs[cell] += watchedMs
    if (ts > this.newest[item]) this.newest[item] = ts
  }

  private find(item: number, cohort: number, minute: number): number {
    if (item >= this.heads.length) {
      this.heads = copyInto(new Int32Array(item * 2), this.heads)
      this.newest = copyInto(new Float64Array(item * 2), this.newest)
    }
    const head = this.heads[item]
    let cell = head - 1
    for (let steps = 0; cell >= 0 && steps < MAX_STEPS; steps++) {
      if (this.minute[cell] === minute && this.cohort[cell] === cohort) return cell
      cell = this.next[cell] - 1
    }
    if (head === 0) this.touched.push(item)
    if (this.count === this.capacity) this.grow(this.capacity * 2)
    const fresh = this.count++
    this.next[fresh] = head
    this.cohort[fresh] = cohort
    this.minute[fresh] = minute
    this.impressions[fresh] = 0
    this.watches[fresh] = 0
    this.positives[fresh] = 0
    this.watchedMs[fresh] = 0
    this.heads[item] = fresh + 1
    return fresh
  }

  /**
   * Writes one payload a partition and empties the cells. `partitionOf` routes an item; `to` gives the writer for a
   * partition and is called once for each that has cells.
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
      this.heads[item] = 0
      this.newest[item] = 0
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
      let cells = 0
      for (let at = this.heads[item]; at !== 0; at = this.next[at - 1]) cells++
      w.string(idOf(item))
        .uint(newestAt - this.newest[item])
        .uint(cells)
      for (let at = this.heads[item]; at !== 0; at = this.next[at - 1]) {
        const cell = at - 1
        const cohort = this.cohort[cell]
        if (cohort === 0) w.uint(0)
        else if (known[cohort] !== 0) w.uint(known[cohort])
        else {
          known[cohort] = ++cohorts
          w.uint(cohorts).string(this.cohorts.nameOf(cohort))
        }
        w.int(this.minute[cell] - base)
        this.writeCell(cell, w)
      }
    }
  }

  private writeCell(cell: number, w: ByteWriter): void {
    const impressions = this.impressions[cell]
    const watches = this.watches[cell]
    const positives = this.positives[cell]
    const watchedMs = this.watchedMs[cell]
    w.u8(
      (impressions && IMPRESSIONS) |
        (watches && WATCHES) |
        (positives && POSITIVES) |
        (watchedMs && WATCHED_MS),
    )
    if (impressions) w.uint(impressions)
    if (watches) w.uint(watches)
    if (positives) w.uint(positives)
    if (watchedMs) w.uint(watchedMs)
  }

  private grow(capacity: number): void {
    this.capacity = capacity
    this.next = copyInto(new Int32Array(capacity), this.next)
    this.cohort = copyInto(new Int32Array(capacity), this.cohort)
    this.minute = copyInto(new Int32Array(capacity), this.minute)
    this.impressions = copyInto(new Uint32Array(capacity), this.impressions)
    this.watches = copyInto(new Uint32Array(capacity), this.watches)
    this.positives = copyInto(new Uint32Array(capacity), this.positives)
    this.watchedMs = copyInto(new Float64Array(capacity), this.watchedMs)
  }
}

/** A cell as it arrives; one object is used for all. */
export interface Cell {
  itemId: string
  /** Newest event time that any cell of the item in this packet counts, ms. */
  itemNewestAt: number
  cohort: string
  /** Minutes since 1970. */
  minute: number
  impressions: number
  watches: number
  positives: number
  watchedMs: number
}

/**
 * Gives each cell of a payload to `take`, those of one item together. Returns the newest event time counted in it.
 * Errors: CHANGELOG_NEWER for another layout; RangeError for a payload that is cut.
 */
export function readCells(r: ByteReader, take: (cell: Cell, firstOfItem: boolean) => void): number {
  const found = r.u8()
  if (found !== layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a packet of counts has layout ${found}, this version reads ${layout}: run the version that wrote it or newer`,
    )
  const newestAt = r.uint()
  const base = minuteOf(newestAt)
  const cohorts = ['']
  const cell: Cell = {
    itemId: '',
    itemNewestAt: 0,
    cohort: '',
    minute: 0,
    impressions: 0,
    watches: 0,
    positives: 0,
    watchedMs: 0,
  }
  while (r.left > 0) {
    cell.itemId = r.string()
    cell.itemNewestAt = newestAt - r.uint()
    const cells = r.uint()
    for (let i = 0; i < cells; i++) {
      const cohort = r.uint()
      if (cohort === cohorts.length) cohorts.push(r.string())
      cell.cohort = cohorts[cohort]
      cell.minute = base + r.int()
      const mask = r.u8()
      cell.impressions = mask & IMPRESSIONS ? r.uint() : 0
      cell.watches = mask & WATCHES ? r.uint() : 0
      cell.positives = mask & POSITIVES ? r.uint() : 0
      cell.watchedMs = mask & WATCHED_MS ? r.uint() : 0
      take(cell, i === 0)
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

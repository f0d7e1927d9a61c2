/**
 * Sliding windows over positives in minute buckets, for many series (an item in a cohort), kept as sums.
 *
 *  - W1 At time `at`, the sum of window w is the count of all minutes m with m > floor(at / 60000) - w and
 *    m <= floor(at / 60000): equal to a recount, whatever the order rows came in.
 *  - W2 `put` gives an hour's whole counts; only the difference to what was known is added. `advance` subtracts the minutes
 *    that leave. So a minute is touched as often as it changes and once a window, never by a rescan.
 *  - W3 The trend is the decayed sum over the longest window: each positive weighs 2^(-age / half-life), age in whole
 *    minutes. It is kept scaled by 2^(now / half-life), so that time passing changes no value.
 *  - W4 A board (a window of a cohort) is `changed` only if a series at or above its last place moved.
 *  - W5 Rows of all cohorts, '' among them, make up the series of the cohort ''; it stands for all.
 *  - W6 A series without a row is forgotten, and its place given to another of its cohort: items come and go all day.
 */
import { BestOf } from '../items/best-of.ts'
import { Names } from '../items/names.ts'
import { NameOrder } from './name-order.ts'
import type { HourMinutes } from './rows.ts'

export const windowsMinutes: readonly { readonly name: string; readonly minutes: number }[] = [
  { name: '5m', minutes: 5 },
  { name: '1h', minutes: 60 },
  { name: '24h', minutes: 24 * 60 },
  { name: '7d', minutes: 7 * 24 * 60 },
]
export const longestWindowMinutes = 7 * 24 * 60

const WINDOWS = windowsMinutes.length
/** Boards of a cohort: its windows, then its trend. */
export const BOARDS = WINDOWS + 1
const LONGEST = WINDOWS - 1
/** Doublings after which the trend's scale is moved; float64 has 1,023. */
const MAX_DOUBLINGS = 500
/** So many series of a cohort stand side by side: a board is read a cache line at a time. */
const BLOCK = 64

interface Board {
  changed: boolean
  /** Score of the last place when the board was last read and full; else 0. */
  threshold: number
  /** Series of the last reading, best first: as good a guess as there is of who is read next. */
  last: readonly number[]
}

export interface Best {
  /** Item numbers, best first; equal scores by item id. */
  readonly items: readonly number[]
  readonly scores: readonly number[]
}

export class PositiveWindows {
  readonly items = new Names()
  readonly cohorts = new Names()
  private readonly halfLifeMinutes: number
  /** Newest minute; windows end with it. */
  private now = 0
  private reference = 0
  /** By cohort: item -> series, and the cohort's series. */
  private readonly seriesOf: Map<number, number>[] = []
  private readonly members: number[][] = []
  private readonly boards: Board[][] = []
  /** By cohort: its next series; at the end of a block, none yet. Before it come those that were forgotten. */
  private readonly nextSeries: number[] = []
  private readonly free: number[][] = []
  /** By cohort: positives in the longest window. */
  private readonly liked: number[] = []
  /** Number of series in blocks given to cohorts. */
  private allocated = 0
  private itemOf = new Int32Array(0)
  private cohortOf = new Int32Array(0)
  /** By series: that of its item among all; its own for the cohort ''. */
  private allOf = new Int32Array(0)
  /** By series: its rows, and for one of '' also the series of its item; and its place among `members`. */
  private users = new Int32Array(0)
  private memberAt = new Int32Array(0)
  /** By hour: series -> the minutes of its rows; of '' those that came for '' alone. */
  private readonly hours = new Map<number, Map<number, HourMinutes>>()
  private capacity = 0
  private readonly sums: Int32Array[] = []
  private trend = new Float64Array(0)
  private readonly bestOf = new BestOf()
  private readonly order = new NameOrder(this.items)

  constructor(trendHalfLifeMs: number) {
    this.halfLifeMinutes = trendHalfLifeMs / 60_000
    for (let w = 0; w < WINDOWS; w++) this.sums.push(new Int32Array(0))
    this.grow(1024)
    this.cohort('')
  }

  /** The positives of an item and cohort in an hour are now `minutes`; [] for none. */
  put(itemId: string, cohortName: string, hour: number, minutes: HourMinutes): void {
    this.putRow(this.items.index(itemId), this.cohort(cohortName), hour, minutes)
  }

  /** As `put`, by number of item (of `items`) and cohort. Keeps `minutes`. */
  putRow(item: number, cohort: number, hour: number, minutes: HourMinutes): void {
    let ofHour = this.hours.get(hour)
    if (!ofHour) {
      if (minutes.length === 0) return
      ofHour = new Map()
      this.hours.set(hour, ofHour)
    }
    if (minutes.length === 0 && !this.seriesOf[cohort].has(item)) return
    const series = this.series(item, cohort)
    const before = ofHour.get(series) ?? nothing
    if (minutes.length > 0) {
      if (before.length === 0) this.users[series]++
      ofHour.set(series, minutes)
    } else ofHour.delete(series)
    if (ofHour.size === 0) this.hours.delete(hour)
    for (let i = 0; i < minutes.length; i++) {
      const minute = minutes[i] & 63
      const gained = (minutes[i] >> 6) - countAt(before, minute, i)
      if (gained !== 0) this.gain(series, hour * 60 + minute, gained)
    }
    for (let i = 0; i < before.length; i++) {
      const minute = before[i] & 63
      if (countAt(minutes, minute, i) === 0)
        this.gain(series, hour * 60 + minute, -(before[i] >> 6))
    }
    if (minutes.length === 0 && before.length > 0) this.leaveSeries(series)
  }

  /** W6: one row or series less that is part of it. */
  private leaveSeries(series: number): void {
    if (--this.users[series] > 0) return
    const cohort = this.cohortOf[series]
    this.seriesOf[cohort].delete(this.itemOf[series])
    const members = this.members[cohort]
    const last = members.pop() as number
    if (last !== series) {
      members[this.memberAt[series]] = last
      this.memberAt[last] = this.memberAt[series]
    }
    this.free[cohort].push(series)
    if (this.allOf[series] !== series) this.leaveSeries(this.allOf[series])
  }

  /** Positives of a cohort in the longest window. */
  positives(cohort: number): number {
    return this.liked[cohort]
  }

  /** Time passes to `minute` (since 1970): minutes leave the windows. An earlier one changes nothing. */
  advance(minute: number): void {
    const { now } = this
    if (minute <= now) return
    this.now = minute
    for (let w = 0; w < WINDOWS; w++) {
      const from = now - windowsMinutes[w].minutes + 1
      const to = minute - windowsMinutes[w].minutes
      for (const [hour, ofHour] of this.hours)
        if (hour * 60 + 59 >= from && hour * 60 <= to) this.leave(w, hour, ofHour, from, to)
    }
    for (const boards of this.boards) boards[WINDOWS].changed = true
  }

  /** Places for series: what memory and the reading of boards grow with. */
  get size(): number {
    return this.allocated
  }

  /** Number of cohorts, '' included as number 0. */
  get cohortCount(): number {
    return this.cohorts.size
  }

  changed(cohort: number, board: number): boolean {
    return this.boards[cohort][board].changed
  }

  /** An item's right to be listed changed: the boards that it may stand on are to be read again. */
  touchItem(itemId: string): void {
    const item = this.items.index(itemId)
    for (let cohort = 0; cohort < this.boards.length; cohort++)
      if (this.seriesOf[cohort].has(item))
        for (const board of this.boards[cohort]) board.changed = true
  }

  /** As `best`; the board counts as unchanged from here on (W4). For the one who writes it; always with the same `n`. */
  take(cohort: number, board: number, n: number, excluded: (item: number) => boolean): Best {
    const best = this.best(cohort, board, n, excluded)
    const state = this.boards[cohort][board]
    state.changed = false
    // scaled back: a hair lower, so that rounding hides no tie
    state.threshold =
      best.scores.length === n && n > 0
        ? (best.scores[n - 1] / this.unscale(board)) * (1 - 1e-12)
        : 0
    return best
  }

  /** The best `n` of a board, without those that `excluded` names. Changes nothing that can be seen. */
  best(cohort: number, board: number, n: number, excluded: (item: number) => boolean): Best {
    const scores: ArrayLike<number> = board === WINDOWS ? this.trend : this.sums[board]
    const state = this.boards[cohort][board]
    const { bestOf, itemOf } = this
    const ranks = this.order.rankOf()
    // n series of the last reading are at least this good, so the n-th best is
    let floor = Number.POSITIVE_INFINITY
    let left = n
    for (const series of state.last) {
      if (excluded(itemOf[series])) continue
      if (scores[series] < floor) floor = scores[series]
      left--
    }
    if (left > 0) floor = 0
    bestOf.reset(n)
    for (const series of this.members[cohort]) {
      const score = scores[series]
      if (score > 0 && score >= floor && !excluded(itemOf[series]))
        bestOf.offer(ranks[itemOf[series]], score)
    }
    const indexAt = this.order.indexAt()
    const items = bestOf.take().map(rank => indexAt[rank])
    const last = items.map(item => this.seriesOf[cohort].get(item) as number)
    state.last = last
    const unscale = this.unscale(board)
    return { items, scores: last.map(series => scores[series] * unscale) }
  }

  /** Turns a score as it is kept into one as of now. */
  private unscale(board: number): number {
    return board === WINDOWS ? 2 ** ((this.reference - this.now) / this.halfLifeMinutes) : 1
  }

  /** As `add`, for the cohort and for all (W5). */
  private gain(series: number, minute: number, gained: number): void {
    this.add(series, minute, gained)
    if (this.allOf[series] !== series) this.add(this.allOf[series], minute, gained)
  }

  private add(series: number, minute: number, gained: number): void {
    const boards = this.boards[this.cohortOf[series]]
    for (let w = WINDOWS - 1; w >= 0; w--) {
      if (minute <= this.now - windowsMinutes[w].minutes) break
      this.sums[w][series] += gained
      mark(boards[w], this.sums[w][series] - gained, this.sums[w][series])
      if (w === LONGEST) {
        this.liked[this.cohortOf[series]] += gained
        this.addTrend(series, minute, gained, boards[WINDOWS])
      }
    }
  }

  private addTrend(series: number, minute: number, gained: number, board: Board): void {
    if (this.reference === 0) this.reference = minute
    if ((minute - this.reference) / this.halfLifeMinutes > MAX_DOUBLINGS) this.rescale(minute)
    const before = this.trend[series]
    const weight = gained * 2 ** ((minute - this.reference) / this.halfLifeMinutes)
    // an empty window is exactly 0: nothing of rounding may be left over
    const after = this.sums[LONGEST][series] === 0 ? 0 : Math.max(0, before + weight)
    this.trend[series] = after
    mark(board, before, after)
  }

  private rescale(reference: number): void {
    const factor = 2 ** ((this.reference - reference) / this.halfLifeMinutes)
    for (let series = 0; series < this.allocated; series++) this.trend[series] *= factor
    this.reference = reference
    for (const boards of this.boards) boards[WINDOWS].changed = true
  }

  private leave(
    w: number,
    hour: number,
    ofHour: ReadonlyMap<number, HourMinutes>,
    from: number,
    to: number,
  ): void {
    for (const [series, minutes] of ofHour)
      for (let i = 0; i < minutes.length; i++) {
        const minute = hour * 60 + (minutes[i] & 63)
        if (minute < from || minute > to) continue
        const all = this.allOf[series]
        this.lose(w, series, minute, minutes[i] >> 6)
        if (all !== series) this.lose(w, all, minute, minutes[i] >> 6)
      }
  }

  private lose(w: number, series: number, minute: number, count: number): void {
    const boards = this.boards[this.cohortOf[series]]
    const after = this.sums[w][series] - count
    this.sums[w][series] = after
    mark(boards[w], after + count, after)
    if (w !== LONGEST) return
    this.liked[this.cohortOf[series]] -= count
    this.addTrend(series, minute, -count, boards[WINDOWS])
  }

  /** The number of a cohort, made at first sight. */
  cohort(name: string): number {
    const cohort = this.cohorts.index(name)
    if (cohort === this.boards.length) {
      this.seriesOf.push(new Map())
      this.members.push([])
      this.nextSeries.push(0)
      this.free.push([])
      this.liked.push(0)
      this.boards.push(
        Array.from({ length: BOARDS }, () => ({ changed: true, threshold: 0, last: [] })),
      )
    }
    return cohort
  }

  private series(item: number, cohort: number): number {
    const known = this.seriesOf[cohort].get(item)
    if (known !== undefined) return known
    const series = this.free[cohort].pop() ?? this.newSeries(cohort)
    this.seriesOf[cohort].set(item, series)
    this.memberAt[series] = this.members[cohort].push(series) - 1
    this.itemOf[series] = item
    this.cohortOf[series] = cohort
    this.users[series] = 0
    // apart: it may replace the arrays
    const all = cohort === 0 ? series : this.series(item, 0)
    this.allOf[series] = all
    if (all !== series) this.users[all]++
    return series
  }

  private newSeries(cohort: number): number {
    let series = this.nextSeries[cohort]
    if (series % BLOCK === 0) {
      series = this.allocated
      this.allocated += BLOCK
      if (this.allocated > this.capacity) this.grow(this.allocated)
    }
    this.nextSeries[cohort] = series + 1
    return series
  }

  private grow(size: number): void {
    this.capacity = Math.max(size, this.capacity * 2)
    const { capacity } = this
    for (let w = 0; w < WINDOWS; w++)
      this.sums[w] = copyInto(new Int32Array(capacity), this.sums[w])
    this.trend = copyInto(new Float64Array(capacity), this.trend)
    this.itemOf = copyInto(new Int32Array(capacity), this.itemOf)
    this.cohortOf = copyInto(new Int32Array(capacity), this.cohortOf)
    this.allOf = copyInto(new Int32Array(capacity), this.allOf)
    this.users = copyInto(new Int32Array(capacity), this.users)
    this.memberAt = copyInto(new Int32Array(capacity), this.memberAt)
  }
}

function copyInto<T extends { set(from: T): void }>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

const nothing: HourMinutes = []

function mark(board: Board, before: number, after: number): void {
  if (before >= board.threshold || after >= board.threshold) board.changed = true
}

/** The count of a minute; `guess` is where it stands as long as rows only grow at their end. */
function countAt(minutes: Readonly<HourMinutes>, minute: number, guess: number): number {
  if (guess < minutes.length && (minutes[guess] & 63) === minute) return minutes[guess] >> 6
  for (const cell of minutes) if ((cell & 63) === minute) return cell >> 6
  return 0
}

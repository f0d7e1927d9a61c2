/** The sums of judged lists by hour, series and bucket of users, and how they stand on the changelog. */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'
import { type Row, Store } from '../../../streams/topology/store.ts'
import { addAt, limbs, mergeAt, readAt, valueAt, writeAt } from '../../ledger/exact-sum.ts'
import { columnCount } from './columns.ts'
import type { Judged } from './packets.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const stores = { sums: 55, hours: 56 } as const

/** Lists of one policy, all or those of a segment. */
export interface Series {
  readonly policy: string
  /** '', `surface=home`, `cohort=de`. */
  readonly segment: string
}

/** The lists of one bucket of users. */
export class BucketRow implements Row {
  dirty = false
  removed = false
  readonly hour: number
  readonly series: Series
  readonly bucket: number
  /** Largest weight of each target: the same in any order. */
  readonly largest: number[]
  private readonly slots: Float64Array

  constructor(hour: number, series: Series, bucket: number, targets: number) {
    this.hour = hour
    this.series = series
    this.bucket = bucket
    this.largest = Array.from({ length: targets }, () => 0)
    this.slots = new Float64Array(columnCount(targets) * limbs)
  }

  add({ columns, largest }: Judged): void {
    for (let c = 0; c < columns.length; c++) addAt(this.slots, c * limbs, columns[c])
    largest.forEach((weight, t) => {
      this.largest[t] = Math.max(this.largest[t], weight)
    })
  }

  merge(other: BucketRow): void {
    for (let at = 0; at < this.slots.length; at += limbs) mergeAt(this.slots, at, other.slots, at)
    other.largest.forEach((weight, t) => {
      this.largest[t] = Math.max(this.largest[t], weight)
    })
  }

  /** The columns as doubles. */
  values(): Float64Array {
    return Float64Array.from({ length: this.slots.length / limbs }, (_, c) =>
      valueAt(this.slots, c * limbs),
    )
  }

  write(w: ByteWriter): void {
    w.u8(this.largest.length)
    for (const weight of this.largest) w.f64(weight)
    for (let at = 0; at < this.slots.length; at += limbs) writeAt(this.slots, at, w)
  }

  read(r: ByteReader): void {
    for (let t = 0; t < this.largest.length; t++) this.largest[t] = r.f64()
    this.slots.fill(0)
    for (let at = 0; at < this.slots.length; at += limbs) readAt(this.slots, at, r)
  }
}

/** An hour's place in what was written. */
export interface HourRow extends Row {
  readonly hour: number
  /** Newest revisions of the rows of the hour, and of the day that ends with it; 0: none was written. */
  revision: number
  dayRevision: number
  /** Changed since they were written. */
  changed: boolean
  dayChanged: boolean
}

export class EvaluationSums {
  readonly hours = new Map<number, HourRow>()
  readonly stores: readonly Store<never>[]
  private readonly sumStore: Store<BucketRow>
  private readonly hourStore: Store<HourRow>
  /** By hour, then series and bucket. */
  private readonly rows = new Map<number, Map<string, BucketRow>>()
  /** Rows of another number of targets are of before the option changed, and are let go. */
  private readonly targets: number

  constructor(targets: number) {
    this.targets = targets
    this.sumStore = new Store<BucketRow>({
      id: stores.sums,
      name: 'evaluation-sums',
      write: 'exact',
      writeKey: ({ hour, series, bucket }, w) =>
        w.uint(hour).string(series.policy).string(series.segment).u8(bucket),
      writeValue: (row, w) => row.write(w),
      restore: (key, value) => this.restore(key, value),
    })
    this.hourStore = new Store<HourRow>({
      id: stores.hours,
      name: 'evaluation-hours',
      write: 'exact',
      writeKey: ({ hour }, w) => w.uint(hour),
      writeValue: (row, w) =>
        w
          .uint(row.revision)
          .uint(row.dayRevision)
          .u8((row.changed ? 1 : 0) | (row.dayChanged ? 2 : 0)),
      restore: (key, value) => {
        const hour = key.uint()
        if (value === null) this.hours.delete(hour)
        else {
          const row = { ...newHour(hour), revision: value.uint(), dayRevision: value.uint() }
          const flags = value.u8()
          this.hours.set(hour, { ...row, changed: (flags & 1) > 0, dayChanged: (flags & 2) > 0 })
        }
      },
    })
    this.stores = [this.sumStore, this.hourStore] as unknown as readonly Store<never>[]
  }

  add(one: Judged, segments: readonly string[]): void {
    for (const segment of segments) {
      const row = this.rowOf(one.hour, { policy: one.policy, segment }, one.bucket)
      row.add(one)
      this.sumStore.touch(row)
    }
    this.hourOf(one.hour).changed = true
    // the days that the hour is in end with it and the 23 after it
    for (let hour = one.hour; hour < one.hour + 24; hour++) {
      const known = hour === one.hour ? this.hourOf(hour) : this.hours.get(hour)
      if (known === undefined) continue
      known.dayChanged = true
      this.touch(known)
    }
  }

  hourOf(hour: number): HourRow {
    let row = this.hours.get(hour)
    if (row === undefined) {
      row = newHour(hour)
      this.hours.set(hour, row)
    }
    return row
  }

  touch(row: HourRow): void {
    this.hourStore.touch(row)
  }

  /** Buckets by series, of the hours from `from` to `to`, both included, merged. */
  merged(from: number, to: number): Map<string, { series: Series; buckets: BucketRow[] }> {
    const found = new Map<string, { series: Series; byBucket: Map<number, BucketRow> }>()
    for (let hour = from; hour <= to; hour++)
      for (const row of this.rows.get(hour)?.values() ?? []) {
        const key = seriesKey(row.series)
        let of = found.get(key)
        if (of === undefined) {
          of = { series: row.series, byBucket: new Map() }
          found.set(key, of)
        }
        let sum = of.byBucket.get(row.bucket)
        if (sum === undefined) {
          sum = new BucketRow(hour, row.series, row.bucket, this.targets)
          of.byBucket.set(row.bucket, sum)
        }
        sum.merge(row)
      }
    return new Map(
      [...found].map(([key, { series, byBucket }]) => [
        key,
        // in order, so that figures are the same in whatever order lists came
        { series, buckets: [...byBucket.values()].sort((a, b) => a.bucket - b.bucket) },
      ]),
    )
  }

  hasLists(from: number, to: number): boolean {
    for (let hour = from; hour <= to; hour++) if ((this.rows.get(hour)?.size ?? 0) > 0) return true
    return false
  }

  /** Those that were seen, but for the whole. */
  *segments(): IterableIterator<string> {
    for (const rows of this.rows.values())
      for (const { series } of rows.values()) if (series.segment !== '') yield series.segment
  }

  /** Lets go of hours before `hour`. */
  forgetBefore(hour: number): void {
    for (const [known, rows] of this.rows) {
      if (known >= hour) continue
      for (const row of rows.values()) this.sumStore.remove(row)
      this.rows.delete(known)
    }
    for (const row of this.hours.values()) {
      if (row.hour >= hour) continue
      this.hourStore.remove(row)
      this.hours.delete(row.hour)
    }
  }

  private rowOf(hour: number, series: Series, bucket: number): BucketRow {
    let rows = this.rows.get(hour)
    if (rows === undefined) {
      rows = new Map()
      this.rows.set(hour, rows)
    }
    const key = `${seriesKey(series)}\n${bucket}`
    let row = rows.get(key)
    if (row === undefined) {
      row = new BucketRow(hour, series, bucket, this.targets)
      rows.set(key, row)
    }
    return row
  }

  private restore(key: ByteReader, value: ByteReader | null): void {
    const hour = key.uint()
    const series = { policy: key.string(), segment: key.string() }
    const bucket = key.u8()
    if (value === null) {
      this.rows.get(hour)?.delete(`${seriesKey(series)}\n${bucket}`)
      return
    }
    if (value.u8() !== this.targets) return
    this.rowOf(hour, series, bucket).read(value)
  }
}

const seriesKey = ({ policy, segment }: Series): string => `${policy}\n${segment}`

function newHour(hour: number): HourRow {
  return {
    hour,
    revision: 0,
    dayRevision: 0,
    changed: false,
    dayChanged: false,
    dirty: false,
    removed: false,
  }
}

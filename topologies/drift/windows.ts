/**
 * The windows that a statistic task holds: by series (subject, segment, size) and number, and by the hour in which they end,
 * so that what is past its grace is found without looking at the others.
 */
import { ByteReader, type ByteWriter, ByteWriter as Writer } from '../../streams/serde/bytes.ts'
import type { Row } from '../../streams/topology/store.ts'
import { Histogram } from './histogram.ts'
import type { WindowId } from './rows.ts'
import { type SeriesId, seriesKey } from './series.ts'
import { sizes } from './subjects.ts'

const hourMs = 3_600_000

const scratch = new Writer(4096)

/** A window's histogram. Closed windows with many cells are kept packed: a day of minutes is held for corrections. */
export class WindowRow implements Row, WindowId {
  dirty = false
  removed = false
  private readonly series: SeriesId
  /** Start / size: a small integer, where the start would take a number of its own. */
  private readonly number: number
  /** 0: open; else the revision written last. */
  revision = 0
  /** Closed and changed since it was written. */
  changed = false
  private histogram: Histogram | null
  private packed: Buffer | null = null

  constructor(series: SeriesId, number: number, histogram: Histogram) {
    this.series = series
    this.number = number
    this.histogram = histogram
  }

  get subject(): string {
    return this.series.subject
  }

  get segment(): string {
    return this.series.segment
  }

  get size(): number {
    return this.series.size
  }

  get start(): number {
    return this.number * sizes[this.series.size].ms
  }

  get end(): number {
    return (this.number + 1) * sizes[this.series.size].ms
  }

  /** The histogram, to read or change. */
  unpacked(): Histogram {
    this.histogram ??= Histogram.read(new ByteReader(this.packed as Buffer))
    this.packed = null
    return this.histogram
  }

  pack(): void {
    if (!this.histogram?.isDense) return
    scratch.reset()
    this.histogram.write(scratch)
    this.packed = scratch.copy()
    this.histogram = null
  }

  write(w: ByteWriter): void {
    w.uint(this.revision).u8(this.changed ? 1 : 0)
    if (this.packed) w.raw(this.packed)
    else this.unpacked().write(w)
  }
}

interface Series {
  readonly id: SeriesId
  readonly byNumber: Map<number, WindowRow>
}

export class Windows {
  size = 0
  private readonly series = new Map<string, Series>()
  private readonly byEndHour = new Map<number, WindowRow[]>()

  get(id: WindowId): WindowRow | undefined {
    return this.series.get(seriesKey(id))?.byNumber.get(numberOf(id))
  }

  make({ subject, segment, size, start }: WindowId, histogram: Histogram): WindowRow {
    const key = seriesKey({ subject, segment, size })
    let series = this.series.get(key)
    if (!series) {
      series = { id: { subject, segment, size }, byNumber: new Map() }
      this.series.set(key, series)
    }
    const row = new WindowRow(series.id, numberOf({ size, start }), histogram)
    series.byNumber.set(numberOf({ size, start }), row)
    const hour = Math.floor(row.end / hourMs)
    const ending = this.byEndHour.get(hour)
    if (ending) ending.push(row)
    else this.byEndHour.set(hour, [row])
    this.size++
    return row
  }

  /** At restore: a row, or a newer one in its place. */
  delete(id: WindowId): void {
    const row = this.get(id)
    if (!row) return
    const ending = this.byEndHour.get(Math.floor(row.end / hourMs)) as WindowRow[]
    ending.splice(ending.indexOf(row), 1)
    this.drop(row)
  }

  /** Takes out the windows of whole hours that ended before `at`, but for those that `held` names. */
  takeEndedBefore(at: number, held: (row: WindowRow) => boolean): WindowRow[] {
    const taken: WindowRow[] = []
    const last = Math.floor(at / hourMs) - 1
    for (const [hour, rows] of this.byEndHour) {
      if (hour > last) continue
      const kept: WindowRow[] = []
      for (const row of rows) (held(row) ? kept : taken).push(row)
      if (kept.length > 0) this.byEndHour.set(hour, kept)
      else this.byEndHour.delete(hour)
    }
    for (const row of taken) this.drop(row)
    return taken
  }

  *values(): IterableIterator<WindowRow> {
    for (const { byNumber } of this.series.values()) yield* byNumber.values()
  }

  private drop(row: WindowRow): void {
    this.series.get(seriesKey(row))?.byNumber.delete(numberOf(row))
    this.size--
  }
}

function numberOf({ size, start }: { readonly size: number; readonly start: number }): number {
  return Math.floor(start / sizes[size].ms)
}

/** State of the statistic task: windows, references, alarms, progress; all exact, all restored from the changelog. */
import { ByteReader, type ByteWriter, ByteWriter as Writer } from '../../streams/serde/bytes.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { Alarm } from './alarm.ts'
import { Histogram } from './histogram.ts'
import { type ReferenceRow, readReference, writeReference } from './reference.ts'
import type { WindowId } from './rows.ts'
import { sizes } from './subjects.ts'
import { Watermark } from './watermark.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const stores = { windows: 40, references: 41, alarms: 42, progress: 43 } as const

const scratch = new Writer(4096)

/** A window's histogram. Closed windows are kept packed: a day of minutes is held for corrections. */
export class WindowRow implements Row, WindowId {
  dirty = false
  removed = false
  readonly subject: string
  readonly segment: string
  readonly size: number
  readonly start: number
  /** 0: open; else the revision written last. */
  revision = 0
  /** Closed and changed since it was written. */
  changed = false
  private histogram: Histogram | null
  private packed: Buffer | null = null

  constructor(id: WindowId, histogram: Histogram) {
    this.subject = id.subject
    this.segment = id.segment
    this.size = id.size
    this.start = id.start
    this.histogram = histogram
  }

  get end(): number {
    return this.start + sizes[this.size].ms
  }

  /** The histogram, to read or change. */
  unpacked(): Histogram {
    this.histogram ??= Histogram.read(new ByteReader(this.packed as Buffer))
    this.packed = null
    return this.histogram
  }

  pack(): void {
    if (this.histogram === null) return
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

export interface AlarmRow extends Alarm, Row {
  readonly subject: string
  readonly segment: string
  readonly size: number
}

export interface Progress extends Row {
  /** Start of the first minute of the stream, ms; 0: nothing came yet. */
  startedAt: number
  /** Surfaces seen, in order of first sight. */
  readonly surfaces: string[]
}

export interface SeriesId {
  readonly subject: string
  readonly segment: string
  readonly size: number
}

const seriesKey = ({ subject, segment, size }: SeriesId): string =>
  `${subject}\n${segment}\n${size}`

/** Things by subject, segment and window size. */
class BySeries<T> {
  private readonly map = new Map<string, T>()

  get(id: SeriesId): T | undefined {
    return this.map.get(seriesKey(id))
  }

  set(id: SeriesId, value: T): void {
    this.map.set(seriesKey(id), value)
  }

  delete(id: SeriesId): void {
    this.map.delete(seriesKey(id))
  }
}

class Windows {
  private readonly map = new Map<string, WindowRow>()

  get(id: WindowId): WindowRow | undefined {
    return this.map.get(`${seriesKey(id)}\n${id.start}`)
  }

  make(id: WindowId, histogram: Histogram): WindowRow {
    const row = new WindowRow(id, histogram)
    this.map.set(`${seriesKey(id)}\n${id.start}`, row)
    return row
  }

  delete(id: WindowId): void {
    this.map.delete(`${seriesKey(id)}\n${id.start}`)
  }

  values(): IterableIterator<WindowRow> {
    return this.map.values()
  }
}

const writeSeries = (row: SeriesId, w: ByteWriter): ByteWriter =>
  w.string(row.subject).string(row.segment).u8(row.size)

const readSeries = (key: ByteReader): SeriesId => ({
  subject: key.string(),
  segment: key.string(),
  size: key.u8(),
})

export function statisticsState(idleMs: number, sourcesExpected: () => number) {
  const windows = new Windows()
  const references = new BySeries<ReferenceRow>()
  const alarms = new BySeries<AlarmRow>()
  const progress: Progress = { dirty: false, removed: false, startedAt: 0, surfaces: [] }
  const watermark = new Watermark(idleMs, sourcesExpected)

  const windowStore = new Store<WindowRow>({
    id: stores.windows,
    name: 'drift-windows',
    write: 'exact',
    writeKey: (row, w) => writeSeries(row, w).uint(row.start),
    writeValue: (row, w) => row.write(w),
    restore(key, value) {
      const id = { ...readSeries(key), start: key.uint() }
      if (value === null) {
        windows.delete(id)
        return
      }
      const revision = value.uint()
      const changed = value.u8() === 1
      const row = windows.make(id, Histogram.read(value))
      row.revision = revision
      row.changed = changed
    },
  })
  const referenceStore = new Store<ReferenceRow>({
    id: stores.references,
    name: 'drift-references',
    write: 'exact',
    writeKey: (row, w) => writeSeries(row, w),
    writeValue: writeReference,
    restore(key, value) {
      const id = readSeries(key)
      if (value === null) references.delete(id)
      else references.set(id, readReference(id.subject, id.segment, id.size, value))
    },
  })
  const alarmStore = new Store<AlarmRow>({
    id: stores.alarms,
    name: 'drift-alarms',
    write: 'exact',
    writeKey: (row, w) => writeSeries(row, w),
    writeValue: (row, w) =>
      w
        .int(row.run)
        .uint(row.since)
        .u8(row.raised ? 1 : 0)
        .int(row.newest),
    restore(key, value) {
      const id = readSeries(key)
      if (value === null) {
        alarms.delete(id)
        return
      }
      const run = value.int()
      const since = value.uint()
      const raised = value.u8() === 1
      const newest = value.int()
      alarms.set(id, { ...id, run, since, raised, newest, dirty: false, removed: false })
    },
  })
  const progressStore = new Store<Progress>({
    id: stores.progress,
    name: 'drift-progress',
    write: 'exact',
    writeKey: () => undefined,
    writeValue(row, w) {
      w.uint(row.startedAt).uint(watermark.value).uint(watermark.sources.size)
      for (const [partition, source] of watermark.sources) w.uint(partition).uint(source.watermark)
      w.uint(row.surfaces.length)
      for (const surface of row.surfaces) w.string(surface)
    },
    restore(_key, value) {
      if (value === null) return
      progress.startedAt = value.uint()
      watermark.value = value.uint()
      for (let left = value.uint(); left > 0; left--)
        watermark.sources.set(value.uint(), { watermark: value.uint(), heardAt: 0 })
      progress.surfaces.length = 0
      for (let left = value.uint(); left > 0; left--) progress.surfaces.push(value.string())
    },
  })
  return {
    windows,
    references,
    alarms,
    progress,
    watermark,
    windowStore,
    referenceStore,
    alarmStore,
    progressStore,
    stores: [
      windowStore,
      referenceStore,
      alarmStore,
      progressStore,
    ] as unknown as readonly Store<never>[],
  }
}

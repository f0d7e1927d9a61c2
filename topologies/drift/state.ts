/** State of the drift stage: windows, references, progress; all exact, all restored from the changelog. */
import { ByteReader, type ByteWriter } from '../../streams/serde/bytes.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { Histogram } from './histogram.ts'
import { type ReferenceRow, readReference, writeReference } from './reference.ts'
import { dimensions, type SegmentValues } from './segments.ts'
import { type SeriesId, seriesKey } from './series.ts'
import { numberSubject } from './subjects.ts'
import type { Watermark } from './watermark.ts'
import { type WindowRow, Windows } from './windows.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const stores = { windows: 40, references: 41, formerAlarms: 42, progress: 43 } as const

export interface Progress extends Row {
  /** Start of the first minute of the stream, ms; 0: nothing came yet. */
  startedAt: number
  readonly segments: SegmentValues
}

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

/**
 * The references, and how many series share the declared rate of false alarms of a window size: the subjects of the whole
 * are one family, and all subjects of all segments another. A rate for each segment would be one false alarm a day for each.
 */
class References extends BySeries<ReferenceRow> {
  private readonly families = new Map<string, Set<string>>()

  override set(id: SeriesId, row: ReferenceRow): void {
    super.set(id, row)
    if (row.groups !== null) this.froze(id)
  }

  override delete(id: SeriesId): void {
    super.delete(id)
    this.families.get(familyKey(id))?.delete(seriesKey(id))
  }

  froze(id: SeriesId): void {
    if (numberSubject(id.subject)?.noThreshold !== undefined) return
    const key = familyKey(id)
    const known = this.families.get(key)
    if (known) known.add(seriesKey(id))
    else this.families.set(key, new Set([seriesKey(id)]))
  }

  /** Series of the family that have a whole reference. */
  compared(id: Omit<SeriesId, 'subject'>): number {
    return this.families.get(familyKey(id))?.size ?? 0
  }
}

const familyKey = ({ segment, size }: Omit<SeriesId, 'subject'>): string =>
  `${segment === '' ? 'whole' : 'segments'} ${size}`

const writeSeries = (row: SeriesId, w: ByteWriter): ByteWriter =>
  w.string(row.subject).string(row.segment).u8(row.size)

/** A row of the changelog that is a reference, by its store and its key behind the store's number; undefined: it is none. */
export function referenceOfRow(
  store: number,
  key: Buffer,
  value: Buffer,
): ReferenceRow | undefined {
  if (store !== stores.references) return undefined
  const { subject, segment, size } = readSeries(new ByteReader(key))
  return readReference(subject, segment, size, new ByteReader(value))
}

const readSeries = (key: ByteReader): SeriesId => ({
  subject: key.string(),
  segment: key.string(),
  size: key.u8(),
})

/** The stores of the drift stage, which keep the task's watermark too. */
export function statisticsState(watermark: Watermark, segments: SegmentValues) {
  const windows = new Windows()
  const references = new References()
  const progress: Progress = { dirty: false, removed: false, startedAt: 0, segments }

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
      windows.delete(id)
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
  // alarms of before there were alert rules: what an older changelog has of them is passed over
  const formerAlarms = new Store({
    id: stores.formerAlarms,
    name: 'drift-alarms',
    write: 'exact',
    writeKey: () => undefined,
    writeValue: () => undefined,
    restore: () => undefined,
  })
  const progressStore = new Store<Progress>({
    id: stores.progress,
    name: 'drift-progress',
    write: 'exact',
    writeKey: () => undefined,
    writeValue(row, w) {
      w.uint(row.startedAt).uint(watermark.value).uint(watermark.horizon)
      w.uint(watermark.sources.size)
      for (const [partition, source] of watermark.sources) w.uint(partition).uint(source.watermark)
      for (const dimension of dimensions) {
        const seen = row.segments.seen[dimension]
        w.uint(seen.length)
        for (const value of seen) w.string(value)
      }
    },
    restore(_key, value) {
      if (value === null) return
      progress.startedAt = value.uint()
      watermark.value = value.uint()
      watermark.horizon = value.uint()
      for (let left = value.uint(); left > 0; left--) watermark.hear(value.uint(), value.uint())
      for (const dimension of dimensions) {
        const seen = progress.segments.seen[dimension]
        seen.length = 0
        // rows written while surfaces were the only segments end after those
        if (value.left === 0) continue
        for (let left = value.uint(); left > 0; left--) seen.push(value.string())
      }
    },
  })
  return {
    windows,
    references,
    progress,
    windowStore,
    referenceStore,
    progressStore,
    stores: [
      windowStore,
      referenceStore,
      formerAlarms,
      progressStore,
    ] as unknown as readonly Store<never>[],
  }
}

/**
 * In the statistic task: the samples of open windows and of references, and what the tools say when a window closes.
 *
 *  - S1 A window's sample is the bottom-k of all rows sent for it before it closed; then it is let go. What comes later
 *       corrects `freshet`'s figures, which are made of counts, and not the tools'.
 *  - S2 The reference's sample is the bottom-k of the windows that made the reference.
 *  - S3 A commit writes what rows came with it, not whole samples: in pieces, which are gathered into one now and then.
 */
import type { ByteReader } from '../../../streams/serde/bytes.ts'
import type { TableRow } from '../../../streams/topology/outbox.ts'
import { type Row, Store } from '../../../streams/topology/store.ts'
import type { Figure } from '../figures.ts'
import { type ProfileName, profileFigures } from '../profiles/index.ts'
import type { Sample } from '../profiles/sample.ts'
import type { ReferenceRow } from '../reference.ts'
import { driftRows, type WindowId } from '../rows.ts'
import type { SegmentValues } from '../segments.ts'
import { type SeriesId, seriesKey } from '../series.ts'
import { sizes } from '../subjects.ts'
import { allSizes, readSamples, type SampleBlock } from './deltas.ts'
import { type Entry, readEntries, ValueSample, writeEntries } from './value-sample.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const stores = { pieces: 44, references: 45 } as const
/** Pieces of a sample before they are gathered. */
const maxPieces = 64

interface Piece extends Row {
  readonly of: WindowId
  readonly number: number
  entries: readonly Entry[]
}

interface OpenSample {
  readonly id: WindowId
  readonly sample: ValueSample
  pieces: Piece[]
  next: number
  /** Taken in since the last commit. */
  news: Entry[]
}

interface ReferenceSample extends SeriesId, Row {
  sample: ValueSample
}

const windowKey = (id: WindowId): string => `${seriesKey(id)}\n${id.start}`

export interface WindowSamplesSettings {
  readonly profiles: readonly ProfileName[]
  readonly limit: number
  readonly minRows: number
  readonly segments: SegmentValues
  /** May rows of the window that ends at `end` still be taken in? */
  readonly isOpen: (id: WindowId) => boolean
}

export class WindowSamples {
  readonly stores: readonly Store<never>[]
  private readonly settings: WindowSamplesSettings
  private readonly open = new Map<string, OpenSample>()
  private readonly references = new Map<string, ReferenceSample>()
  private readonly changed = new Set<OpenSample>()
  private readonly pieceStore: Store<Piece>
  private readonly referenceStore: Store<ReferenceSample>

  constructor(settings: WindowSamplesSettings) {
    this.settings = settings
    this.pieceStore = this.makePieceStore()
    this.referenceStore = this.makeReferenceStore()
    this.stores = [this.pieceStore, this.referenceStore] as unknown as readonly Store<never>[]
  }

  receive(payload: ByteReader): void {
    readSamples(payload, block => this.take(block))
  }

  /** Before the rows of a commit are taken (S3). */
  flush(): void {
    for (const open of this.changed) {
      this.addPiece(open, open.news)
      open.news = []
      if (open.pieces.length <= maxPieces) continue
      const old = open.pieces
      open.pieces = []
      this.addPiece(open, open.sample.entries())
      for (const piece of old) this.pieceStore.remove(piece)
    }
    this.changed.clear()
  }

  /** A window is closed for the first time: the tools' rows. `joins`: it became a part of the reference and is not judged. */
  closed(window: WindowId, reference: ReferenceRow, joins: boolean): TableRow[] {
    const open = this.open.get(windowKey(window))
    if (!open) return []
    this.letGo(open)
    if (joins) {
      const known = this.referenceOf(window)
      known.sample.merge(open.sample)
      this.referenceStore.touch(known)
      return []
    }
    return this.settings.profiles.flatMap(profile =>
      this.rowsOf(profile, window, open.sample, reference),
    )
  }

  /** The reference was set by hand: with these rows, or none. */
  replaceReference(id: SeriesId, entries: readonly Entry[]): void {
    const known = this.referenceOf(id)
    known.sample = new ValueSample(this.settings.limit)
    for (const entry of entries) known.sample.offer(entry)
    this.referenceStore.touch(known)
  }

  /** All rows are restored: pieces in the order in which they were written. */
  restored(): void {
    for (const open of this.open.values()) {
      open.pieces.sort((a, b) => a.number - b.number)
      for (const piece of open.pieces) {
        for (const entry of piece.entries) open.sample.offer(entry)
        piece.entries = []
      }
      open.next = (open.pieces.at(-1)?.number ?? -1) + 1
    }
  }

  private take({ subject, place, size, start, rows }: SampleBlock): void {
    const at = size === allSizes ? sizes.map((_, each) => each) : [size]
    for (const segment of this.settings.segments.of(place))
      for (const each of at) {
        const { ms } = sizes[each]
        const id = { subject, segment, size: each, start: Math.floor(start / ms) * ms }
        if (!this.settings.isOpen(id)) continue
        const open = this.openOf(id)
        for (const row of rows) if (open.sample.offer(row)) open.news.push(row)
        if (open.news.length > 0) this.changed.add(open)
      }
  }

  private rowsOf(
    profile: ProfileName,
    window: WindowId,
    current: ValueSample,
    reference: ReferenceRow,
  ): TableRow[] {
    if (reference.groups === null || current.size < this.settings.minRows) return []
    const against = this.references.get(seriesKey(window))?.sample
    const values = current.values()
    const figures =
      against && against.size > 0
        ? profileFigures(profile, against.values(), values)
        : untold(profile, values, reference)
    return driftRows(window, figures, reference, current.size, 1).map(row => ({
      ...row,
      profile,
      n_reference: against?.size ?? 0,
    }))
  }

  private openOf(id: WindowId): OpenSample {
    const key = windowKey(id)
    let open = this.open.get(key)
    if (!open) {
      open = { id, sample: new ValueSample(this.settings.limit), pieces: [], next: 0, news: [] }
      this.open.set(key, open)
    }
    return open
  }

  private referenceOf({ subject, segment, size }: SeriesId): ReferenceSample {
    const key = seriesKey({ subject, segment, size })
    let known = this.references.get(key)
    if (!known) {
      const sample = new ValueSample(this.settings.limit)
      known = { subject, segment, size, sample, dirty: false, removed: false }
      this.references.set(key, known)
    }
    return known
  }

  private addPiece(open: OpenSample, entries: readonly Entry[]): void {
    // what older pieces held is written by now
    for (const piece of open.pieces) if (!piece.dirty) piece.entries = []
    const piece = { of: open.id, number: open.next++, entries, dirty: false, removed: false }
    open.pieces.push(piece)
    this.pieceStore.touch(piece)
  }

  private letGo(open: OpenSample): void {
    this.open.delete(windowKey(open.id))
    this.changed.delete(open)
    for (const piece of open.pieces) this.pieceStore.remove(piece)
  }

  private makePieceStore(): Store<Piece> {
    return new Store<Piece>({
      id: stores.pieces,
      name: 'drift-samples',
      write: 'exact',
      writeKey: ({ of, number }, w) =>
        w.string(of.subject).string(of.segment).u8(of.size).uint(of.start).uint(number),
      writeValue: (piece, w) => writeEntries(piece.entries, w),
      restore: (key, value) => {
        const id = {
          subject: key.string(),
          segment: key.string(),
          size: key.u8(),
          start: key.uint(),
        }
        const number = key.uint()
        const open = this.openOf(id)
        open.pieces = open.pieces.filter(piece => piece.number !== number)
        if (value !== null) {
          const entries = readEntries(value)
          open.pieces.push({ of: id, number, entries, dirty: false, removed: false })
        } else if (open.pieces.length === 0) this.open.delete(windowKey(id))
      },
    })
  }

  private makeReferenceStore(): Store<ReferenceSample> {
    return new Store<ReferenceSample>({
      id: stores.references,
      name: 'drift-reference-samples',
      write: 'exact',
      writeKey: ({ subject, segment, size }, w) => w.string(subject).string(segment).u8(size),
      writeValue: ({ sample }, w) => writeEntries(sample.entries(), w),
      restore: (key, value) => {
        const id = { subject: key.string(), segment: key.string(), size: key.u8() }
        this.references.delete(seriesKey(id))
        if (value === null) return
        const { sample } = this.referenceOf(id)
        for (const entry of readEntries(value)) sample.offer(entry)
      },
    })
  }
}

/** What a tool would tell of a window, were there raw values to compare it with. */
function untold(profile: ProfileName, values: Sample, { name, setAt }: ReferenceRow): Figure[] {
  const why =
    setAt > 0
      ? 'was set by hand and has no raw values; ClickHouse holds counts, of which freshet alone tells its figures'
      : 'has no raw values: it was whole before drift.profiles named a tool'
  const none: Sample =
    values.kind === 'numbers'
      ? { kind: 'numbers', values: new Float64Array(0) }
      : { kind: 'categories', values: [] }
  return profileFigures(profile, none, values).map(({ statistic }) => ({
    statistic,
    value: null,
    threshold: null,
    reason: `reference ${name} ${why}`,
  }))
}

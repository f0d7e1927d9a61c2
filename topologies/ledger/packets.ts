/**
 * What a user task sends to the ledger: one record for each label, session, return and list that became final. Records are
 * not summed up before: in the tenth of a second of a commit hardly two of them meet in one cell.
 *
 * Payload: layout (1 byte), combinations of dims (number, then each), items (number, then hash of the item and of its
 * creator, float64 each; 0: no creator known), then records to the end. A record: kind (1 byte), place of its dims,
 * minute as the difference to the record before (zigzag), bucket (1 byte), then by kind:
 *  label    flags (2 bytes), place of its item, then where the flag is set: watched ms, weighted ms, share watched, novelty,
 *           score and hash for the sample (float64 each)
 *  session  length ms, impressions, plays, watched ms
 *  returned bits of `returns`
 *  request  NDCG, MRR
 * Some 20 bytes a label, 36 with a score.
 */
import { FreshetError } from '../../streams/errors.ts'
import { type ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { DeltaChannel, Outbox } from '../../streams/topology/outbox.ts'
import { statisticsKind } from '../drift/deltas.ts'
import { type Dims, readDims, writeDims } from './dims.ts'

export const ledgerChannel: DeltaChannel = { id: 42, name: 'ledger', to: statisticsKind }

const layout = 1
/** A receiver takes in a packet without a break, at about 1 us a record, and holds it as one row until its sums are written. */
const packetBytes = 128 * 1024
/** A commit that holds as much is full: its packets stand in its commit record. */
const mostBytes = 1 << 20

const kind = { label: 0, session: 1, returned: 2, request: 3 } as const

const clicked = 1
const positive = 2
const completed = 4
const explored = 8
const repeated = 16
const reported = 32
const hidden = 64
const watched = 128
const catalogued = 256
const isNew = 512
const restricted = 1024
const graded = 2048
const gradedKnown = 4096
const surprising = 8192
const scored = 16384
const badScore = 32768

/** The dims of a sender, with their place in the packet under way. */
export interface SentDims extends Dims {
  packet: number
  place: number
}

export const sentDims = (dims: Dims): SentDims => ({ ...dims, packet: -1, place: 0 })

/** An impression with its final label, as sums need it. One object is reused. */
export interface Labelled {
  clicked: boolean
  positive: boolean
  completed: boolean
  explored: boolean
  repeated: boolean
  reported: boolean
  hidden: boolean
  catalogued: boolean
  isNew: boolean
  restricted: boolean
  watchedMs: number
  weightedMs: number
  /** In `fineUnit`; -1 unknown. */
  graded: number
  /** In `noveltyUnit`; -1 unknown. */
  novelty: number
  /** NaN: none, or not a finite number (`badScore`). */
  score: number
  badScore: boolean
  /** Of the impression, for samples. */
  hash: number
  /** Of the item and its creator; creator 0: not known. */
  item: number
  creator: number
}

export const emptyLabelled = (): Labelled => ({
  clicked: false,
  positive: false,
  completed: false,
  explored: false,
  repeated: false,
  reported: false,
  hidden: false,
  catalogued: false,
  isNew: false,
  restricted: false,
  watchedMs: 0,
  weightedMs: 0,
  graded: -1,
  novelty: -1,
  score: Number.NaN,
  badScore: false,
  hash: 0,
  item: 0,
  creator: 0,
})

export class PacketWriter {
  private packets: Buffer[] = []
  private bytes = 0
  private number = 0
  private minute = 0
  private readonly names = new ByteWriter(4096)
  private dimsCount = 0
  private readonly itemHashes = new ByteWriter(4096)
  private readonly items = new Map<number, number>()
  private readonly body = new ByteWriter(packetBytes)

  /** The next commit holds as much as it may. */
  get isFull(): boolean {
    return this.bytes + this.body.length >= mostBytes
  }

  label(dims: SentDims, minute: number, bucket: number, one: Labelled): void {
    const flags =
      (one.clicked ? clicked : 0) |
      (one.positive ? positive : 0) |
      (one.completed ? completed : 0) |
      (one.explored ? explored : 0) |
      (one.repeated ? repeated : 0) |
      (one.reported ? reported : 0) |
      (one.hidden ? hidden : 0) |
      (one.catalogued ? catalogued : 0) |
      (one.isNew ? isNew : 0) |
      (one.restricted ? restricted : 0) |
      (one.watchedMs > 0 ? watched : 0) |
      (one.graded >= 0 ? gradedKnown : 0) |
      (one.graded > 0 ? graded : 0) |
      (one.novelty >= 0 ? surprising : 0) |
      (one.badScore ? badScore : Number.isNaN(one.score) ? 0 : scored)
    const w = this.head(kind.label, dims, minute, bucket)
    w.u8(flags & 255).u8(flags >> 8)
    w.uint(this.placeOf(one.item, one.creator))
    if (flags & watched) w.uint(one.watchedMs).uint(one.weightedMs)
    if (flags & graded) w.uint(one.graded)
    if (flags & surprising) w.uint(one.novelty)
    if (flags & scored) w.f64(one.score).f64(one.hash)
    this.cut()
  }

  session(
    dims: SentDims,
    minute: number,
    bucket: number,
    lengthMs: number,
    impressions: number,
    plays: number,
    watchedMs: number,
  ): void {
    this.head(kind.session, dims, minute, bucket)
      .uint(lengthMs)
      .uint(impressions)
      .uint(plays)
      .uint(watchedMs)
    this.cut()
  }

  /** `bits`: of `returns`, lowest first. */
  returned(dims: SentDims, minute: number, bucket: number, bits: number): void {
    this.head(kind.returned, dims, minute, bucket).u8(bits)
    this.cut()
  }

  /** Both in `fineUnit`. */
  request(dims: SentDims, minute: number, bucket: number, ndcg: number, mrr: number): void {
    this.head(kind.request, dims, minute, bucket).uint(ndcg).uint(mrr)
    this.cut()
  }

  flush(out: Outbox, partition: number): void {
    this.close()
    this.packets.forEach((packet, part) => {
      out.delta(ledgerChannel, partition, part).raw(packet)
    })
    this.packets = []
    this.bytes = 0
  }

  private head(which: number, dims: SentDims, minute: number, bucket: number): ByteWriter {
    if (dims.packet !== this.number) {
      dims.packet = this.number
      dims.place = this.dimsCount++
      writeDims(dims, this.names)
    }
    const w = this.body
    w.u8(which)
      .uint(dims.place)
      .int(minute - this.minute)
      .u8(bucket)
    this.minute = minute
    return w
  }

  private placeOf(item: number, creator: number): number {
    const known = this.items.get(item)
    if (known !== undefined) return known
    const place = this.items.size
    this.items.set(item, place)
    this.itemHashes.f64(item).f64(creator)
    return place
  }

  private cut(): void {
    if (this.body.length + this.itemHashes.length + this.names.length >= packetBytes) this.close()
  }

  private close(): void {
    if (this.body.length === 0) return
    const w = new ByteWriter(this.body.length + this.names.length + this.itemHashes.length + 16)
    w.u8(layout).uint(this.dimsCount).raw(this.names.bytes())
    w.uint(this.items.size).raw(this.itemHashes.bytes()).raw(this.body.bytes())
    const packet = w.copy()
    this.packets.push(packet)
    this.bytes += packet.length
    this.number++
    this.minute = 0
    this.dimsCount = 0
    this.items.clear()
    this.names.reset()
    this.itemHashes.reset()
    this.body.reset()
  }
}

/** Who takes the records of a packet. `dims` are places in the list of dims that stands before them. */
export interface PacketTaker {
  label(dims: number, minute: number, bucket: number, one: Labelled): void
  session(
    dims: number,
    minute: number,
    bucket: number,
    lengthMs: number,
    impressions: number,
    plays: number,
    watchedMs: number,
  ): void
  returned(dims: number, minute: number, bucket: number, bits: number): void
  request(dims: number, minute: number, bucket: number, ndcg: number, mrr: number): void
}

/** The dims of a packet; the reader then stands at its items. Errors: DELTA_GENERATION for a layout not known here. */
export function readPacketDims(r: ByteReader): Dims[] {
  const found = r.u8()
  if (found !== layout)
    throw new FreshetError(
      'DELTA_GENERATION',
      `a packet of the ledger has layout ${found}; this version reads ${layout}: run one version of freshet in all workers`,
    )
  return Array.from({ length: r.uint() }, () => readDims(r))
}

const one = emptyLabelled()
const hashes: number[] = []

/** Reads the rest of a packet. */
export function readRecords(r: ByteReader, into: PacketTaker): void {
  hashes.length = 0
  for (let left = r.uint(); left > 0; left--) hashes.push(r.f64(), r.f64())
  let minute = 0
  while (r.left > 0) {
    const which = r.u8()
    const dims = r.uint()
    minute += r.int()
    const bucket = r.u8()
    if (which === kind.label) {
      readLabel(r, hashes)
      into.label(dims, minute, bucket, one)
    } else if (which === kind.session)
      into.session(dims, minute, bucket, r.uint(), r.uint(), r.uint(), r.uint())
    else if (which === kind.returned) into.returned(dims, minute, bucket, r.u8())
    else into.request(dims, minute, bucket, r.uint(), r.uint())
  }
}

function readLabel(r: ByteReader, items: readonly number[]): void {
  const flags = r.u8() | (r.u8() << 8)
  const place = r.uint()
  one.item = items[2 * place]
  one.creator = items[2 * place + 1]
  one.clicked = (flags & clicked) !== 0
  one.positive = (flags & positive) !== 0
  one.completed = (flags & completed) !== 0
  one.explored = (flags & explored) !== 0
  one.repeated = (flags & repeated) !== 0
  one.reported = (flags & reported) !== 0
  one.hidden = (flags & hidden) !== 0
  one.catalogued = (flags & catalogued) !== 0
  one.isNew = (flags & isNew) !== 0
  one.restricted = (flags & restricted) !== 0
  one.watchedMs = flags & watched ? r.uint() : 0
  one.weightedMs = flags & watched ? r.uint() : 0
  one.graded = flags & graded ? r.uint() : flags & gradedKnown ? 0 : -1
  one.novelty = flags & surprising ? r.uint() : -1
  one.badScore = (flags & badScore) !== 0
  one.score = flags & scored ? r.f64() : Number.NaN
  one.hash = flags & scored ? r.f64() : 0
}

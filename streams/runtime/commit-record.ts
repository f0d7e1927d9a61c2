/**
 * The commit record: the last record of every commit's batch (C1). It says up to where inputs are taken in, what was
 * received from whom, which numbers were given to packets, and holds the outbox (C3) but for table blocks, which are rows of
 * their own until the table store has acknowledged them, and for views, which are made again from rows; only removed views
 * may have no row, so their keys stand here.
 *
 * Its last four bytes are the CRC-32 of the others, in every version: a record that was cut or changed is told from one
 * that a newer program wrote.
 */
import { crc32 } from 'node:zlib'
import { FreshetError, messageOf } from '../errors.ts'
import { ByteReader, type ByteWriter } from '../serde/bytes.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import type { Applied } from './applied-packets.ts'
import type { TableBlock } from './table-blocks.ts'

export const COMMIT_KEY = Buffer.from([0, 2])

/** Raised when a changelog's layout changes such that older programs can't read it. */
const STATE_VERSION = 2
const CHECKSUM_BYTES = 4

export interface OutgoingPacket {
  readonly kind: string
  readonly partition: number
  readonly value: Buffer
}

export interface OutgoingRecord {
  readonly topic: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
}

export interface Published {
  readonly topic: string
  readonly key: string
  readonly value: Buffer | null
}

/** What is to leave once the batch is acknowledged (C3). */
export interface Effects {
  readonly packets: readonly OutgoingPacket[]
  readonly records: readonly OutgoingRecord[]
  readonly blocks: readonly TableBlock[]
  readonly views: readonly ViewWrite[]
  readonly published: readonly Published[]
}

export interface CommitRecord {
  readonly number: number
  /** When the state began (wall clock, ms): state that was removed and began anew is told by it. */
  readonly bornAt: number
  /** Next offset per topic (without prefix; deltas as `<deltas>`). */
  readonly positions: ReadonlyMap<string, number>
  /** Last packet taken in, per source task. */
  readonly applied: ReadonlyMap<string, Applied>
  /** Last packet number given out, per destination task. */
  readonly sent: ReadonlyMap<string, number>
  readonly packets: readonly OutgoingPacket[]
  /** Dead letters and alerts. */
  readonly records: readonly OutgoingRecord[]
  /** Keys of views that are removed. */
  readonly removedViews: readonly string[]
  /** The last commit by which all views were in the view store, by its mark (shown-mark.ts); 0: none yet. */
  readonly shown: number
  /** Lowest offset of the first input whose work (a list) is not yet out; undefined: none. */
  readonly unfinishedFrom: number | undefined
}

export function writeCommitRecord(c: CommitRecord, w: ByteWriter): void {
  const from = w.length
  w.uint(STATE_VERSION).uint(c.number).uint(c.bornAt)
  writeCounts(c.positions, w)
  w.uint(c.applied.size)
  for (const [source, { number, bornAt, token }] of c.applied)
    w.string(source).uint(number).uint(bornAt).uint(token)
  writeCounts(c.sent, w)
  w.uint(c.packets.length)
  for (const packet of c.packets) w.string(packet.kind).uint(packet.partition).blob(packet.value)
  w.uint(c.records.length)
  for (const record of c.records) {
    w.string(record.topic)
    writeOptional(record.key, w)
    writeOptional(record.value, w)
    const headers = Object.entries(record.headers)
    w.uint(headers.length)
    for (const [name, value] of headers) w.string(name).string(value)
  }
  w.uint(c.removedViews.length)
  for (const key of c.removedViews) w.string(key)
  w.uint(c.shown).uint(c.unfinishedFrom === undefined ? 0 : c.unfinishedFrom + 1)
  const checksum = Buffer.allocUnsafe(CHECKSUM_BYTES)
  checksum.writeUInt32LE(crc32(w.bytes().subarray(from)))
  w.raw(checksum)
}

/**
 * Errors: CHANGELOG_CORRUPT for a record that is not as it was written, or of an older state version; CHANGELOG_NEWER for a
 * state version that this program does not know. `where` is topic-partition@offset.
 */
export function readCommitRecord(value: Buffer, where: string): CommitRecord {
  const size = value.length - CHECKSUM_BYTES
  if (size < 1) throw damaged(where, `it has ${value.length} bytes`)
  const body = value.subarray(0, size)
  const [expected, found] = [value.readUInt32LE(size), crc32(body)]
  if (expected !== found)
    throw damaged(where, `it says checksum ${expected.toString(16)} and has ${found.toString(16)}`)
  const r = new ByteReader(body)
  const version = r.uint()
  if (version > STATE_VERSION)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `${where}: state of version ${version}, this program knows up to ${STATE_VERSION}; run the newer program`,
    )
  if (version < STATE_VERSION)
    throw new FreshetError(
      'CHANGELOG_OLDER',
      `${where}: state of version ${version}, this program reads ${STATE_VERSION}; run the program that wrote it, or begin anew with \`freshet reset\``,
    )
  try {
    const record = readBody(r)
    if (r.left > 0) throw new RangeError(`${r.left} bytes are left over`)
    return record
  } catch (error) {
    throw damaged(where, messageOf(error), error)
  }
}

function damaged(where: string, found: string, cause?: unknown): FreshetError {
  return new FreshetError(
    'CHANGELOG_CORRUPT',
    `${where}: the commit record is damaged: ${found}; restore the topic from its replicas, or begin anew with \`freshet reset\``,
    cause,
  )
}

function readBody(r: ByteReader): CommitRecord {
  const number = r.uint()
  const bornAt = r.uint()
  const positions = readCounts(r)
  const applied = new Map(
    readMany(r, () => [
      r.string(),
      { number: r.uint(), bornAt: r.uint(), token: r.uint() } satisfies Applied,
    ]),
  )
  const sent = readCounts(r)
  const packets = readMany(r, () => ({
    kind: r.string(),
    partition: r.uint(),
    value: Buffer.from(r.blob()),
  }))
  const records = readMany(r, () => ({
    topic: r.string(),
    key: readOptional(r),
    value: readOptional(r),
    headers: Object.fromEntries(readMany(r, () => [r.string(), r.string()] as const)),
  }))
  const removedViews = readMany(r, () => r.string())
  const shown = r.uint()
  const unfinished = r.uint()
  return {
    number,
    bornAt,
    positions,
    applied,
    sent,
    packets,
    records,
    removedViews,
    shown,
    unfinishedFrom: unfinished === 0 ? undefined : unfinished - 1,
  }
}

function writeCounts(counts: ReadonlyMap<string, number>, w: ByteWriter): void {
  w.uint(counts.size)
  for (const [name, count] of counts) w.string(name).uint(count)
}

function readCounts(r: ByteReader): Map<string, number> {
  return new Map(readMany(r, () => [r.string(), r.uint()] as const))
}

/** Each has a byte at least: a number above what is left is not one of this record's. */
function readMany<T>(r: ByteReader, read: () => T): T[] {
  const length = r.uint()
  if (length > r.left) throw new RangeError(`${length} entries are said to be in ${r.left} bytes`)
  return Array.from({ length }, read)
}

function writeOptional(bytes: Buffer | null, w: ByteWriter): void {
  if (bytes === null) w.u8(0)
  else w.u8(1).blob(bytes)
}

function readOptional(r: ByteReader): Buffer | null {
  return r.u8() === 0 ? null : Buffer.from(r.blob())
}

/**
 * The commit record: the last record of every commit's batch (C1). It says up to where inputs are taken in, what was
 * received from whom, which numbers were given to packets, and holds the outbox (C3) but for table blocks, which are rows of
 * their own until the table store has acknowledged them.
 */
import { FreshetError } from '../errors.ts'
import { ByteReader, type ByteWriter } from '../serde/bytes.ts'
import type { ViewWrite } from '../topology/outbox.ts'
import type { TableBlock } from './table-blocks.ts'

export const COMMIT_KEY = Buffer.from([0, 2])

/** Raised when a changelog's layout changes such that older programs can't read it. */
const STATE_VERSION = 1

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
  /** Next offset per topic (without prefix; deltas as `<deltas>`). */
  readonly positions: ReadonlyMap<string, number>
  /** Last packet number taken in, per source task. */
  readonly applied: ReadonlyMap<string, number>
  /** Last packet number given out, per destination task. */
  readonly sent: ReadonlyMap<string, number>
  readonly packets: readonly OutgoingPacket[]
  /** Dead letters and alerts. */
  readonly records: readonly OutgoingRecord[]
  /** Lowest offset of the first input whose work (a list) is not yet out; undefined: none. */
  readonly unfinishedFrom: number | undefined
}

export function writeCommitRecord(c: CommitRecord, w: ByteWriter): void {
  w.uint(STATE_VERSION).uint(c.number)
  writeCounts(c.positions, w)
  writeCounts(c.applied, w)
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
  w.uint(c.unfinishedFrom === undefined ? 0 : c.unfinishedFrom + 1)
}

/** Errors: CHANGELOG_NEWER for a state version that this program does not know. `where` is topic-partition@offset. */
export function readCommitRecord(value: Buffer, where: string): CommitRecord {
  const r = new ByteReader(value)
  const version = r.uint()
  if (version > STATE_VERSION)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `${where}: state of version ${version}, this program knows up to ${STATE_VERSION}; run the newer program`,
    )
  const number = r.uint()
  const positions = readCounts(r)
  const applied = readCounts(r)
  const sent = readCounts(r)
  const packets = Array.from({ length: r.uint() }, () => ({
    kind: r.string(),
    partition: r.uint(),
    value: Buffer.from(r.blob()),
  }))
  const records = Array.from({ length: r.uint() }, () => ({
    topic: r.string(),
    key: readOptional(r),
    value: readOptional(r),
    headers: Object.fromEntries(
      Array.from({ length: r.uint() }, () => [r.string(), r.string()] as const),
    ),
  }))
  const unfinished = r.uint()
  return {
    number,
    positions,
    applied,
    sent,
    packets,
    records,
    unfinishedFrom: unfinished === 0 ? undefined : unfinished - 1,
  }
}

function writeCounts(counts: ReadonlyMap<string, number>, w: ByteWriter): void {
  w.uint(counts.size)
  for (const [name, count] of counts) w.string(name).uint(count)
}

function readCounts(r: ByteReader): Map<string, number> {
  return new Map(Array.from({ length: r.uint() }, () => [r.string(), r.uint()] as const))
}

function writeOptional(bytes: Buffer | null, w: ByteWriter): void {
  if (bytes === null) w.u8(0)
  else w.u8(1).blob(bytes)
}

function readOptional(r: ByteReader): Buffer | null {
  return r.u8() === 0 ? null : Buffer.from(r.blob())
}

/**
 * Builds record batches. Hot: one `add` per changelog row and outside record, <= .6 us for 100 bytes. Records go
 * straight into one reused buffer: no object, closure or BigInt per record. Small keys and values are copied by a loop,
 * as `TypedArray.set` costs more than 24 stores.
 */
import { FreshetError } from '../../errors.ts'
import type { RecordHeader } from '../port.ts'
import { crc32c } from './crc32c.ts'
import {
  ATTRIBUTES,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  COUNT,
  CRC,
  HEADER_BYTES,
  LAST_OFFSET_DELTA,
  LEADER_EPOCH,
  LENGTH,
  LENGTH_OVERHEAD,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  writeInt64,
} from './layout.ts'
import type { UnstampedBatch } from './unstamped-batch.ts'

const SMALL = 24
/** Two varints of 5 bytes, a varlong of 8, attributes, the record's own length, two lengths, the headers' count. */
const RECORD_OVERHEAD = 40

export class RecordBatchBuilder {
  private buffer: Buffer
  private length = HEADER_BYTES
  private records = 0
  private firstTimestamp = -1
  private newestTimestamp = -1

  constructor(initialCapacity = 16 * 1024) {
    this.buffer = Buffer.allocUnsafe(Math.max(initialCapacity, 256))
  }

  get count(): number {
    return this.records
  }

  /** Of the whole batch as it would be finished now, header included. */
  get sizeBytes(): number {
    return this.length
  }

  /**
   * Appends a record. With `timestampMs` the record carries its own time, else that of `finish`; a batch has records of
   * one sort only. The bytes are copied: the caller may reuse its buffers at once.
   */
  add(
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers?: readonly RecordHeader[],
    timestampMs?: number,
  ): void {
    const timeDelta = this.timeDelta(timestampMs)
    const keyBytes = key === null ? 0 : key.length
    const valueBytes = value === null ? 0 : value.length
    const headerBytes =
      headers === undefined || headers.length === 0 ? 1 : sizeOfHeaders(headers) + 5
    this.reserve(RECORD_OVERHEAD + keyBytes + valueBytes + headerBytes)

    const index = this.records
    const bodyBytes =
      1 +
      sizeOfVarlong(timeDelta) +
      sizeOfVarint(index) +
      sizeOfVarint(keyBytes) +
      keyBytes +
      sizeOfVarint(valueBytes) +
      valueBytes +
      (headers === undefined || headers.length === 0
        ? 1
        : headerBytes - 5 + sizeOfVarint(headers.length))
    const buffer = this.buffer
    let at = putVarint(buffer, this.length, bodyBytes)
    buffer[at++] = 0
    if (timeDelta === 0) buffer[at++] = 0
    else at = putVarlong(buffer, at, timeDelta)
    at = putVarint(buffer, at, index)
    at = putBytes(buffer, at, key)
    at = putBytes(buffer, at, value)
    if (headers === undefined || headers.length === 0) buffer[at++] = 0
    else at = putHeaders(buffer, at, headers)
    this.length = at
    this.records = index + 1
  }

  /** Takes the records so far as one batch and starts anew. `timestampMs` dates the records that have no own time. */
  finish(timestampMs: number): UnstampedBatch {
    if (this.records === 0) throw new FreshetError('BUG', 'a record batch without records')
    const bytes = Buffer.allocUnsafe(this.length)
    this.buffer.copy(bytes, 0, 0, this.length)
    bytes.fill(0, 0, HEADER_BYTES)
    const own = this.firstTimestamp >= 0
    bytes.writeInt32BE(bytes.length - LENGTH_OVERHEAD, LENGTH)
    bytes.writeInt32BE(-1, LEADER_EPOCH)
    bytes[MAGIC] = 2
    bytes.writeInt32BE(this.records - 1, LAST_OFFSET_DELTA)
    writeInt64(bytes, own ? this.firstTimestamp : timestampMs, BASE_TIMESTAMP)
    writeInt64(bytes, own ? this.newestTimestamp : timestampMs, MAX_TIMESTAMP)
    bytes.writeInt32BE(this.records, COUNT)
    this.reset()
    return new FinishedBatch(bytes)
  }

  /** Drops the records so far. */
  reset(): void {
    this.length = HEADER_BYTES
    this.records = 0
    this.firstTimestamp = -1
    this.newestTimestamp = -1
  }

  private timeDelta(timestampMs: number | undefined): number {
    if (this.records > 0 && (timestampMs === undefined) !== this.firstTimestamp < 0)
      throw new FreshetError('BUG', 'a record batch mixes records with and without their own time')
    if (timestampMs === undefined) return 0
    if (!Number.isSafeInteger(timestampMs) || timestampMs < 0)
      throw new FreshetError('BUG', `a record's time is whole ms from 0, not ${timestampMs}`)
    if (this.records === 0) this.firstTimestamp = timestampMs
    if (timestampMs > this.newestTimestamp) this.newestTimestamp = timestampMs
    return timestampMs - this.firstTimestamp
  }

  private reserve(extra: number): void {
    const needed = this.length + extra
    if (needed <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }
}

class FinishedBatch implements UnstampedBatch {
  private readonly bytes: Buffer
  private stamped = false

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get count(): number {
    return this.bytes.readInt32BE(COUNT)
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  stamp(producerId: bigint, epoch: number, baseSequence: number): Buffer {
    const bytes = this.bytes
    if (
      this.stamped &&
      bytes.readBigInt64BE(PRODUCER_ID) === producerId &&
      bytes.readInt16BE(PRODUCER_EPOCH) === epoch &&
      bytes.readInt32BE(BASE_SEQUENCE) === baseSequence
    )
      return bytes
    bytes.writeBigInt64BE(producerId, PRODUCER_ID)
    bytes.writeInt16BE(epoch, PRODUCER_EPOCH)
    bytes.writeInt32BE(baseSequence, BASE_SEQUENCE)
    bytes.writeInt32BE(crc32c(bytes, ATTRIBUTES, bytes.length), CRC)
    this.stamped = true
    return bytes
  }
}

/** Bytes of a zigzag varint of a number from 0 to 2^30. */
function sizeOfVarint(value: number): number {
  return value < 64 ? 1 : value < 8192 ? 2 : value < 1048576 ? 3 : value < 134217728 ? 4 : 5
}

/** Zigzag varint of a number from 0 to 2^30. */
function putVarint(buffer: Buffer, start: number, value: number): number {
  let at = start
  let v = value << 1
  while (v > 127) {
    buffer[at++] = (v & 127) | 128
    v >>>= 7
  }
  buffer[at++] = v
  return at
}

const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1)

function sizeOfVarlong(value: number): number {
  if (value === 0) return 1
  let size = 1
  for (let v = zigzag(value); v >= 128; v = Math.floor(v / 128)) size++
  return size
}

/** Zigzag varlong, magnitude below 2^52. */
function putVarlong(buffer: Buffer, start: number, value: number): number {
  let at = start
  let v = zigzag(value)
  while (v >= 128) {
    buffer[at++] = (v % 128) | 128
    v = Math.floor(v / 128)
  }
  buffer[at++] = v
  return at
}

function putBytes(buffer: Buffer, start: number, bytes: Uint8Array | null): number {
  if (bytes === null) {
    buffer[start] = 1
    return start + 1
  }
  const n = bytes.length
  const at = putVarint(buffer, start, n)
  if (n <= SMALL) for (let i = 0; i < n; i++) buffer[at + i] = bytes[i]
  else buffer.set(bytes, at)
  return at + n
}

/** Bytes of the headers without their count. */
function sizeOfHeaders(headers: readonly RecordHeader[]): number {
  let size = 0
  for (const header of headers) {
    const keyBytes = Buffer.byteLength(header.key)
    size += sizeOfVarint(keyBytes) + keyBytes
    size += sizeOfVarint(header.value.length) + header.value.length
  }
  return size
}

function putHeaders(buffer: Buffer, start: number, headers: readonly RecordHeader[]): number {
  let at = putVarint(buffer, start, headers.length)
  for (const header of headers) {
    at = putVarint(buffer, at, Buffer.byteLength(header.key))
    at += buffer.write(header.key, at)
    at = putBytes(buffer, at, header.value)
  }
  return at
}

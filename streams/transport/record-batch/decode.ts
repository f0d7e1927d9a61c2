/**
 * Decodes what a fetch brings. Hot: one object and two views per record, no BigInt but the batch's producer id; a shared
 * cursor instead of a reader object, as the records of a batch are read strictly one after the other.
 *
 * Held here: a cut last batch is left for the next fetch; the position passes over offsets that compaction, control
 * batches and aborted transactions left empty; a producer is aborted from the first offset of its abort entry up to its
 * abort marker.
 */
import { FreshetError } from '../../errors.ts'
import type { FetchedBatch, LogRecord, RecordHeader } from '../port.ts'
import { decompress } from './codecs.ts'
import { crc32c } from './crc32c.ts'
import {
  ATTRIBUTES,
  BASE_OFFSET,
  BASE_TIMESTAMP,
  CODEC_MASK,
  CONTROL,
  COUNT,
  CRC,
  HEADER_BYTES,
  LAST_OFFSET_DELTA,
  LENGTH,
  LENGTH_OVERHEAD,
  LOG_APPEND_TIME,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  readInt64,
  TRANSACTIONAL,
} from './layout.ts'

export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

export interface DecodeOptions {
  /** The fetch response's aborted transactions, in any order. */
  readonly aborted?: readonly AbortedTransaction[]
  /** Leaves out the records of aborted transactions. Default true. */
  readonly readCommitted?: boolean
  /** Checks each batch's CRC32C: for our own topics, whose batches are state. Default false. */
  readonly verifyChecksum?: boolean
}

export interface DecodedSet {
  /** Whole batches at or above `fetchOffset`, also those that are empty. */
  readonly batches: FetchedBatch[]
  /** Where to fetch on; `fetchOffset` if no whole batch came. */
  readonly nextOffset: number
  /** Bytes of whole batches; 0 of a set that is not empty means that its first batch is cut. */
  readonly bytesUsed: number
}

const NO_HEADERS: readonly RecordHeader[] = Object.freeze([])
const NO_BYTES = Buffer.alloc(0)

let cursor = 0

/**
 * The batches of a record set. Records below `fetchOffset` are dropped.
 * Errors: DEPENDENCY_UNSUITABLE for a codec or format that is not read; CHANGELOG_CORRUPT for bytes that make no sense.
 */
export function decodeRecordSet(
  buffer: Buffer,
  topic: string,
  partition: number,
  fetchOffset: number,
  options: DecodeOptions = {},
): DecodedSet {
  const readCommitted = options.readCommitted ?? true
  const aborts =
    readCommitted && options.aborted !== undefined && options.aborted.length > 0
      ? [...options.aborted].sort((a, b) => a.firstOffset - b.firstOffset)
      : []
  let nextAbort = 0
  const aborted = new Set<bigint>()
  const batches: FetchedBatch[] = []
  let nextOffset = fetchOffset
  let at = 0
  while (at + MAGIC < buffer.length) {
    const size = buffer.readInt32BE(at + LENGTH) + LENGTH_OVERHEAD
    const baseOffset = readInt64(buffer, at + BASE_OFFSET)
    const magic = buffer[at + MAGIC]
    if (magic !== 2) throw oldFormat(topic, partition, baseOffset, magic)
    if (size < HEADER_BYTES)
      throw corrupt(topic, partition, baseOffset, `its length says ${size} bytes`)
    if (at + size > buffer.length) break
    const start = at
    at += size
    const batchNext = baseOffset + buffer.readInt32BE(start + LAST_OFFSET_DELTA) + 1
    if (batchNext <= fetchOffset) continue
    if (options.verifyChecksum) verify(buffer, start, at, topic, partition, baseOffset)
    while (nextAbort < aborts.length && aborts[nextAbort].firstOffset < batchNext)
      aborted.add(aborts[nextAbort++].producerId)
    nextOffset = batchNext

    const attributes = buffer.readInt16BE(start + ATTRIBUTES)
    const producerId = buffer.readBigInt64BE(start + PRODUCER_ID)
    const isControl = (attributes & CONTROL) !== 0
    if (isControl && aborted.size > 0 && isAbortMarker(buffer, start)) aborted.delete(producerId)
    const hidden =
      isControl || ((attributes & TRANSACTIONAL) !== 0 && aborted.has(producerId) && readCommitted)
    batches.push({
      topic,
      partition,
      baseOffset,
      nextOffset: batchNext,
      producerId,
      producerEpoch: buffer.readInt16BE(start + PRODUCER_EPOCH),
      records: hidden
        ? []
        : decodeRecords(buffer, start, at, attributes, topic, partition, baseOffset, fetchOffset),
    })
  }
  return { batches, nextOffset, bytesUsed: at }
}

function decodeRecords(
  buffer: Buffer,
  start: number,
  end: number,
  attributes: number,
  topic: string,
  partition: number,
  baseOffset: number,
  fetchOffset: number,
): LogRecord[] {
  const count = buffer.readInt32BE(start + COUNT)
  if (count === 0) return []
  const codec = attributes & CODEC_MASK
  let body = buffer
  let bodyEnd = end
  cursor = start + HEADER_BYTES
  if (codec !== 0) {
    const where = `the batch at ${topic}-${partition}@${baseOffset}`
    body = decompress(codec, buffer.subarray(cursor, end), where)
    bodyEnd = body.length
    cursor = 0
  }
  const logAppendTime = (attributes & LOG_APPEND_TIME) !== 0
  const baseTimestamp = readInt64(buffer, start + (logAppendTime ? MAX_TIMESTAMP : BASE_TIMESTAMP))
  const records: LogRecord[] = []
  for (let i = 0; i < count; i++) {
    const size = varint(body)
    const recordEnd = cursor + size
    if (!(size > 0 && recordEnd <= bodyEnd))
      throw corrupt(topic, partition, baseOffset, `record ${i} of ${count} runs past its end`)
    cursor++
    const timeDelta = varlong(body)
    const offset = baseOffset + varint(body)
    if (offset < fetchOffset) {
      cursor = recordEnd
      continue
    }
    const key = bytes(body)
    const value = bytes(body)
    const headers = body[cursor] === 0 ? NO_HEADERS : decodeHeaders(body)
    if (cursor > recordEnd)
      throw corrupt(topic, partition, baseOffset, `a field of record ${i} runs past its end`)
    cursor = recordEnd
    const timestamp = logAppendTime ? baseTimestamp : baseTimestamp + timeDelta
    records.push({ offset, timestamp, key, value, headers })
  }
  return records
}

/** A zigzag varint of 32 bits. */
function varint(b: Buffer): number {
  let byte = b[cursor++]
  let v = byte & 127
  for (let shift = 7; byte > 127; shift += 7) {
    byte = b[cursor++]
    v |= (byte & 127) << shift
  }
  return (v >>> 1) ^ -(v & 1)
}

/** A zigzag varint of 64 bits, exact up to a magnitude of 2^52. */
function varlong(b: Buffer): number {
  let byte = b[cursor++]
  if (byte < 128) return (byte >>> 1) ^ -(byte & 1)
  let v = byte & 127
  for (let scale = 128; byte > 127; scale *= 128) {
    byte = b[cursor++]
    v += (byte & 127) * scale
  }
  return v % 2 === 0 ? v / 2 : -(v + 1) / 2
}

function bytes(b: Buffer): Buffer | null {
  const size = varint(b)
  if (size < 0) return null
  const from = cursor
  cursor += size
  return b.subarray(from, cursor)
}

function decodeHeaders(b: Buffer): RecordHeader[] {
  const count = varint(b)
  const headers: RecordHeader[] = []
  for (let i = 0; i < count && cursor < b.length; i++) {
    const key = (bytes(b) ?? NO_BYTES).toString('utf8')
    headers.push({ key, value: bytes(b) ?? NO_BYTES })
  }
  return headers
}

/** A control record's key is two int16: version and type; type 0 is an abort, 1 a commit. */
function isAbortMarker(buffer: Buffer, start: number): boolean {
  if (buffer.readInt32BE(start + COUNT) === 0) return false
  cursor = start + HEADER_BYTES
  varint(buffer)
  cursor++
  varlong(buffer)
  varint(buffer)
  const key = bytes(buffer)
  return key !== null && key.length >= 4 && key.readInt16BE(2) === 0
}

function verify(
  buffer: Buffer,
  start: number,
  end: number,
  topic: string,
  partition: number,
  baseOffset: number,
): void {
  const expected = buffer.readInt32BE(start + CRC)
  const found = crc32c(buffer, start + ATTRIBUTES, end)
  if (found === expected) return
  throw corrupt(
    topic,
    partition,
    baseOffset,
    `its checksum is ${(found >>> 0).toString(16)}, its header says ${(expected >>> 0).toString(16)}`,
  )
}

function corrupt(topic: string, partition: number, offset: number, what: string): FreshetError {
  return new FreshetError(
    'CHANGELOG_CORRUPT',
    `the batch at ${topic}-${partition}@${offset} is damaged: ${what}; let another replica lead, or restore the topic from one`,
  )
}

function oldFormat(topic: string, partition: number, offset: number, magic: number): FreshetError {
  return new FreshetError(
    'DEPENDENCY_UNSUITABLE',
    `${topic}-${partition}@${offset} has message format ${magic}; freshet reads format 2 (Kafka 0.11 and newer): let the broker convert the topic or copy it with a newer producer`,
  )
}

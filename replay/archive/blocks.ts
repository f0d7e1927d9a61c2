/**
 * The blocks of an archive's file: records to bytes and back. Hot, hence by hand for the one schema of `format.ts`:
 * archive.bench.ts measures it. avsc's own `bytes` are copied, its numbers checked, its streams cost a callback per record;
 * here a record costs one object and two views. archive.test.ts holds it against avsc, archive.fastavro.test.ts against
 * fastavro.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { LogRecord, RecordHeader } from '../../streams/transport/port.ts'
import { type ArchivedRecord, type Codec, damaged, SYNC_BYTES } from './format.ts'

/** Records are gathered up to this much, uncompressed, before a block is written. Larger ones compress hardly better. */
export const BLOCK_BYTES = 64 << 10
/** What a block may unpack to: a record of Kafka's largest size and more. Above it, the block is damaged. */
const MOST_UNPACKED = 256 << 20
/** The most bytes of a long. */
const LONG = 10
const NO_HEADERS: readonly RecordHeader[] = Object.freeze([])

/** The schema id of a value in Confluent framing, or -1. */
export function schemaIdOf(value: Buffer | null): number {
  return value !== null && value.length >= 5 && value[0] === 0 ? value.readInt32BE(1) : -1
}

/** Gathers one block's records. */
export class BlockWriter {
  count = 0
  private bytes = Buffer.allocUnsafe(BLOCK_BYTES + (16 << 10))
  private end = 0

  /** Bytes so far, uncompressed. */
  get size(): number {
    return this.end
  }

  /** Takes a copy of the record. `schemaId`: -1 where it has none. */
  add(record: LogRecord, arrival: number, schemaId: number): void {
    const { key, value, headers } = record
    let need = 10 * LONG + (key?.length ?? 0) + (value?.length ?? 0)
    for (const header of headers) need += 2 * LONG + 3 * header.key.length + header.value.length
    if (this.end + need > this.bytes.length) this.grow(need)
    this.long(record.offset)
    this.long(record.timestamp)
    this.long(arrival)
    // 0 and 2: the branches null and the other, as zigzag writes 0 and 1
    if (schemaId < 0) this.bytes[this.end++] = 0
    else {
      this.bytes[this.end++] = 2
      this.long(schemaId)
    }
    this.blob(key)
    this.blob(value)
    if (headers.length > 0) {
      this.long(headers.length)
      for (const header of headers) {
        this.raw(Buffer.from(header.key))
        this.raw(header.value)
      }
    }
    this.bytes[this.end++] = 0
    this.count++
  }

  /** The block with its count, length and sync marker, and begins the next. */
  finish(codec: Codec, sync: Buffer): Buffer {
    const plain = this.bytes.subarray(0, this.end)
    const packed = codec === 'deflate' ? deflateRawSync(plain, { level: 1 }) : plain
    const block = Buffer.allocUnsafe(2 * LONG + packed.length + SYNC_BYTES)
    let at = writeLong(block, 0, this.count)
    at = writeLong(block, at, packed.length)
    at += packed.copy(block, at)
    at += sync.copy(block, at)
    this.count = 0
    this.end = 0
    return block.subarray(0, at)
  }

  private long(value: number): void {
    this.end = writeLong(this.bytes, this.end, value)
  }

  private blob(bytes: Buffer | null): void {
    if (bytes === null) this.bytes[this.end++] = 0
    else {
      this.bytes[this.end++] = 2
      this.raw(bytes)
    }
  }

  private raw(bytes: Buffer): void {
    this.end = writeLong(this.bytes, this.end, bytes.length)
    this.end += bytes.copy(this.bytes, this.end)
  }

  private grow(need: number): void {
    const grown = Buffer.allocUnsafe(2 * (this.end + need))
    this.bytes.copy(grown, 0, 0, this.end)
    this.bytes = grown
  }
}

/** Zigzag varint; exact for safe integers below 2^52 in magnitude. Returns the end. */
function writeLong(into: Buffer, at: number, value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  // bit operations see 32 bits: the low 28 by them, as often as there are more
  while (rest >= 0x10000000) {
    const low = rest % 0x10000000
    rest = (rest - low) / 0x10000000
    into[at] = (low & 127) | 128
    into[at + 1] = ((low >>> 7) & 127) | 128
    into[at + 2] = ((low >>> 14) & 127) | 128
    into[at + 3] = (low >>> 21) | 128
    at += 4
  }
  while (rest > 127) {
    into[at++] = (rest & 127) | 128
    rest >>>= 7
  }
  into[at++] = rest
  return at
}

/** Where a block begins and what it says: `data` is still packed. */
export interface RawBlock {
  readonly count: number
  readonly data: Buffer
  /** Of its first byte in the file, for errors. */
  readonly at: number
}

/** A block's head at `at` of `bytes`: undefined where more bytes are needed. Its data follows, then the sync marker. */
export function blockHead(
  bytes: Buffer,
  at: number,
  damage: (what: string) => Error,
): { readonly count: number; readonly from: number; readonly length: number } | undefined {
  position = at
  const count = readLong(bytes)
  const length = readLong(bytes)
  if (position > bytes.length) {
    if (bytes.length - at >= 2 * LONG) throw damage('the head of a block makes no sense')
    return undefined
  }
  if (!(count >= 0 && length >= 0 && length <= MOST_UNPACKED))
    throw damage(`a block says that it has ${count} records in ${length} bytes`)
  return { count, from: position, length }
}

let position = 0

function readLong(b: Buffer): number {
  let byte = b[position++]
  if (byte < 128) return (byte >>> 1) ^ -(byte & 1)
  let v = byte & 127
  let shift = 7
  while (shift < 28) {
    byte = b[position++]
    v |= (byte & 127) << shift
    // also where the bytes have ended: undefined
    if (!(byte > 127)) return (v >>> 1) ^ -(v & 1)
    shift += 7
  }
  for (let scale = 0x10000000; ; scale *= 128) {
    byte = b[position++]
    v += (byte & 127) * scale
    if (!(byte > 127)) break
  }
  return v % 2 === 0 ? v / 2 : -(v + 1) / 2
}

/**
 * The records of a block, as views into its unpacked bytes.
 * Errors: ARCHIVE_DAMAGED where it can't be unpacked, or holds more or less than it says.
 */
export function readBlock(
  block: RawBlock,
  codec: Codec,
  of: { readonly path: string; readonly topic: string; readonly partition: number },
): ArchivedRecord[] {
  const { count, data, at } = block
  let bytes = data
  if (codec === 'deflate') {
    try {
      bytes = inflateRawSync(data, { chunkSize: 2 * BLOCK_BYTES, maxOutputLength: MOST_UNPACKED })
    } catch (error) {
      throw damaged(of.path, at, "the block can't be unpacked", error)
    }
  }
  const { topic, partition } = of
  const end = bytes.length
  const records: ArchivedRecord[] = []
  position = 0
  for (let i = 0; i < count; i++) {
    const offset = readLong(bytes)
    const timestamp = readLong(bytes)
    const arrival = readLong(bytes)
    const schemaId = readLong(bytes) === 0 ? null : readLong(bytes)
    const key = readLong(bytes) === 0 ? null : readBytes(bytes)
    const value = readLong(bytes) === 0 ? null : readBytes(bytes)
    const headers = readHeaders(bytes)
    if (!(position <= end))
      throw damaged(of.path, at, `record ${i} of ${count} runs past its block`)
    records.push({ offset, timestamp, key, value, headers, topic, partition, arrival, schemaId })
  }
  if (position !== end)
    throw damaged(of.path, at, `${end - position} bytes are left over behind ${count} records`)
  return records
}

function readBytes(b: Buffer): Buffer {
  const from = position + 0
  const length = readLong(b)
  if (!(length >= 0)) {
    position = Number.NaN
    return b.subarray(from, from)
  }
  const start = position
  position += length
  return b.subarray(start, position)
}

/** Other writers may cut an array into several blocks, and tell the bytes of one by a negative count. */
function readHeaders(b: Buffer): readonly RecordHeader[] {
  if (b[position] === 0) {
    position++
    return NO_HEADERS
  }
  const headers: RecordHeader[] = []
  for (;;) {
    let count = readLong(b)
    if (count === 0 || !(position <= b.length)) return headers
    if (count < 0) {
      readLong(b)
      count = -count
    }
    for (let i = 0; i < count && position <= b.length; i++)
      headers.push({ key: readBytes(b).toString('utf8'), value: readBytes(b) })
  }
}

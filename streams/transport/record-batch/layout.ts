/**
 * Kafka's record batch, magic 2 (kafka.apache.org/documentation, "Record Batch"): byte positions of the header's fields.
 * The checksum covers everything from `ATTRIBUTES` on, so a log may set the base offset of a finished batch.
 */
export const BASE_OFFSET = 0
/** int32: bytes after this field, so the whole batch is `LENGTH_OVERHEAD` larger. */
export const LENGTH = 8
export const LENGTH_OVERHEAD = 12
export const LEADER_EPOCH = 12
export const MAGIC = 16
export const CRC = 17
/** Bits 0-2 codec, 3 log-append time, 4 transactional, 5 control. */
export const ATTRIBUTES = 21
export const LAST_OFFSET_DELTA = 23
export const BASE_TIMESTAMP = 27
export const MAX_TIMESTAMP = 35
export const PRODUCER_ID = 43
export const PRODUCER_EPOCH = 51
export const BASE_SEQUENCE = 53
export const COUNT = 57
/** Where the records begin. */
export const HEADER_BYTES = 61

export const CODEC_MASK = 7
export const LOG_APPEND_TIME = 8
export const TRANSACTIONAL = 16
export const CONTROL = 32

const TWO_32 = 4294967296

/** An int64 as a number; exact up to 2^53 in magnitude. */
export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4)
}

export function writeInt64(bytes: Buffer, value: number, at: number): void {
  const high = Math.floor(value / TWO_32)
  bytes.writeInt32BE(high, at)
  bytes.writeUInt32BE(value - high * TWO_32, at + 4)
}

/**
 * What Kafka's log cleaner does, for the embedded logs: `cleanup.policy=compact` keeps the newest value of each key at its
 * offset, `delete` drops what is older than retention.ms.
 *
 *  - K1 The last batch of a log is never touched (Kafka's active segment), so the end stays where it is.
 *  - K2 A batch keeps its base and last offset, its producer and the bytes of the records that stay; a batch that loses all
 *       of them is removed (producer state is kept elsewhere, E3).
 *  - K3 A tombstone stays for delete.retention.ms after the first pass that met it, so that a follower who has seen the value
 *       sees it go.
 * A pass works in slices and lets other work in between.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { crc32c } from '../record-batch/crc32c.ts'
import {
  ATTRIBUTES,
  COUNT,
  CRC,
  HEADER_BYTES,
  LEADER_EPOCH,
  LENGTH,
  LENGTH_OVERHEAD,
  MAX_TIMESTAMP,
  readInt64,
} from '../record-batch/layout.ts'
import { decodeRecordSet } from '../record-batch.ts'
import { nextOffsetOf, type PartitionLog } from './partition-log.ts'
import { baseOffsetOf, type Storage, type StoredBatch } from './storage.ts'

const SLICE_BYTES = 1 << 20
const DAY_MS = 86_400_000

/** One pass over a log: retention, and compaction if enough of it is new since the last pass. */
export async function clean(log: PartitionLog, storage: Storage, nowMs: number): Promise<void> {
  const policy = (log.config['cleanup.policy'] ?? 'delete').split(',')
  if (policy.includes('delete')) await expire(log, storage, nowMs)
  if (policy.includes('compact')) await compact(log, storage, nowMs)
}

async function expire(log: PartitionLog, storage: Storage, nowMs: number): Promise<void> {
  const retentionMs = Number(log.config['retention.ms'] ?? 7 * DAY_MS)
  if (retentionMs < 0) return
  let before = log.start
  for await (const slice of slices(log, storage)) {
    for (const batch of slice) {
      if (readInt64(batch, MAX_TIMESTAMP) >= nowMs - retentionMs) return log.trim(before)
      before = nextOffsetOf(batch)
    }
  }
  await log.trim(before)
}

async function compact(log: PartitionLog, storage: Storage, nowMs: number): Promise<void> {
  const dirtyRatio = Number(log.config['min.cleanable.dirty.ratio'] ?? 0.5)
  if (log.dirtyBytes === 0 || log.dirtyBytes < dirtyRatio * log.cleanBytes) return
  const dirtyBefore = log.dirtyBytes
  const newest = new Map<string, number>()
  const { topic, partition } = log.at
  let last = -1
  for await (const slice of slices(log, storage)) {
    for (const bytes of slice) {
      last = baseOffsetOf(bytes)
      for (const batch of decodeRecordSet(bytes, topic, partition, 0).batches)
        for (const record of batch.records)
          if (record.key !== null) newest.set(record.key.toString('latin1'), record.offset)
    }
  }
  const nowS = Math.floor(nowMs / 1000)
  const keepTombstonesS = Math.ceil(Number(log.config['delete.retention.ms'] ?? DAY_MS) / 1000)
  let size = 0
  for await (const slice of slices(log, storage)) {
    const changed: StoredBatch[] = []
    for (const bytes of slice) {
      const baseOffset = baseOffsetOf(bytes)
      const cleaned =
        baseOffset >= last ? bytes : thin(bytes, log, newest, nowS, nowS + keepTombstonesS)
      size += cleaned?.length ?? 0
      if (cleaned !== bytes && baseOffset >= log.start)
        changed.push({ log: log.id, baseOffset, bytes: cleaned })
    }
    if (changed.length > 0 && !log.removed) await storage.write(changed, [])
  }
  log.cleanBytes = size
  // what was appended meanwhile is dirty still
  log.dirtyBytes = Number.isFinite(dirtyBefore) ? log.dirtyBytes - dirtyBefore : 0
}

/**
 * The batch without records that a newer one replaces and without tombstones whose time is over; the batch itself if
 * nothing changes; null if nothing stays. The leader epoch, which has no other meaning here and is outside the checksum,
 * holds the second from which the batch's tombstones may go (-1: no pass has met them).
 */
function thin(
  bytes: Buffer,
  log: PartitionLog,
  newest: ReadonlyMap<string, number>,
  nowS: number,
  horizonS: number,
): Buffer | null {
  const { topic, partition } = log.at
  const horizon = bytes.readInt32BE(LEADER_EPOCH)
  const expired = horizon >= 0 && horizon <= nowS
  const [batch] = decodeRecordSet(bytes, topic, partition, 0).batches
  const kept: Buffer[] = []
  let tombstones = false
  let at = HEADER_BYTES
  for (const record of batch.records) {
    const end = recordEnd(bytes, at)
    const replaced =
      record.key !== null && (newest.get(record.key.toString('latin1')) ?? -1) > record.offset
    const goes = replaced || (record.value === null && expired)
    if (!goes) {
      kept.push(bytes.subarray(at, end))
      if (record.value === null) tombstones = true
    }
    at = end
  }
  if (kept.length === 0) return null
  const dated = tombstones && horizon < 0
  if (kept.length === batch.records.length && !dated) return bytes
  const cleaned = Buffer.concat([bytes.subarray(0, HEADER_BYTES), ...kept])
  cleaned.writeInt32BE(cleaned.length - LENGTH_OVERHEAD, LENGTH)
  cleaned.writeInt32BE(kept.length, COUNT)
  if (dated) cleaned.writeInt32BE(horizonS, LEADER_EPOCH)
  cleaned.writeInt32BE(crc32c(cleaned, ATTRIBUTES, cleaned.length), CRC)
  return cleaned
}

/** Where the record that begins at `at` ends: it opens with its length as a zigzag varint. */
function recordEnd(bytes: Buffer, start: number): number {
  let at = start
  let size = 0
  let scale = 1
  for (;;) {
    const byte = bytes[at++]
    size += (byte & 127) * scale
    if (byte < 128) return at + size / 2
    scale *= 128
  }
}

/** The log's committed batches in slices of about a megabyte, with other work let in between them. */
async function* slices(log: PartitionLog, storage: Storage): AsyncGenerator<Buffer[]> {
  const end = log.highWatermark
  let from = log.start
  while (from < end && !log.removed) {
    const slice: Buffer[] = []
    let bytes = 0
    for (const batch of storage.scan(log.id, from)) {
      if (baseOffsetOf(batch) >= end || bytes >= SLICE_BYTES) break
      if (nextOffsetOf(batch) <= from) continue
      slice.push(batch)
      bytes += batch.length
    }
    if (slice.length === 0) return
    yield slice
    from = nextOffsetOf(slice[slice.length - 1])
    await nextTurn()
  }
}

/** The oracle is kafkajs' own record-batch encoder and decoder, both ways; CRC32C by its published check value. */
import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { compressFrameSync } from 'lz4-napi'
import { compressSync } from 'snappy'
import { describe, expect, it } from 'vitest'
import type { RecordHeader } from '../port.ts'
import { decodeRecordSet, RecordBatchBuilder } from '../record-batch.ts'
import { crc32c } from './crc32c.ts'
import { ATTRIBUTES, COUNT, CRC, HEADER_BYTES, LENGTH, PRODUCER_ID, writeInt64 } from './layout.ts'

interface PlainRecord {
  key: Buffer | null
  value: Buffer | null
  headers: RecordHeader[]
}

interface OracleBatch {
  firstOffset: string
  producerId: string
  producerEpoch: number
  firstSequence: number
  records: {
    offset: string
    timestamp: string
    key: Buffer | null
    value: Buffer | null
    headers: Record<string, Buffer | Buffer[]>
  }[]
}

const require = createRequire(import.meta.url)
const kafkajs = 'kafkajs/src/protocol'
const OracleDecoder: new (bytes: Buffer) => unknown = require(`${kafkajs}/decoder`)
const oracleDecode: (decoder: unknown) => Promise<OracleBatch> = require(
  `${kafkajs}/recordBatch/v0/decoder`,
)
const oracleRecord: (fields: object) => unknown = require(`${kafkajs}/recordBatch/record/v0`)
const oracleBatch: { RecordBatch(fields: object): Promise<{ buffer: Buffer }> } = require(
  `${kafkajs}/recordBatch/v0`,
)

const bytes = fc.uint8Array({ maxLength: 300 }).map(b => Buffer.from(b))
// prefixed: kafkajs collects headers in an object, where "valueOf" exists already
const headerKey = fc.string({ maxLength: 80 }).map(text => `h-${text}`)
const plainRecord: fc.Arbitrary<PlainRecord> = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.uniqueArray(fc.record({ key: headerKey, value: bytes }), {
    maxLength: 3,
    selector: header => header.key,
  }),
})
const time = fc.integer({ min: 0, max: 2 ** 42 })

function build(records: PlainRecord[], timestampMs: number, times?: number[]): Buffer {
  const builder = new RecordBatchBuilder(256)
  records.forEach((r, i) => {
    builder.add(r.key, r.value, r.headers, times?.[i])
  })
  const size = builder.sizeBytes
  const batch = builder.finish(timestampMs)
  expect(batch.sizeBytes).toBe(size)
  return batch.stamp(7n, 3, 11)
}

/** A batch at an offset, with other attributes and body: what brokers and other producers write. */
function reshape(batch: Buffer, offset: number, attributes: number, body?: Buffer): Buffer {
  const head = Buffer.from(batch.subarray(0, HEADER_BYTES))
  const whole = Buffer.concat([head, body ?? batch.subarray(HEADER_BYTES)])
  writeInt64(whole, offset, 0)
  whole.writeInt32BE(whole.length - 12, LENGTH)
  whole.writeInt16BE(attributes, ATTRIBUTES)
  whole.writeInt32BE(crc32c(whole, ATTRIBUTES, whole.length), CRC)
  return whole
}

function simple(values: string[], offset = 0, attributes = 0, producerId = 7n): Buffer {
  const builder = new RecordBatchBuilder()
  for (const value of values) builder.add(Buffer.from('k'), Buffer.from(value))
  return reshape(builder.finish(1000).stamp(producerId, 0, 0), offset, attributes)
}

/** A control batch: key is version 0 and the marker's type (0 abort, 1 commit). */
function marker(offset: number, producerId: bigint, type: 0 | 1): Buffer {
  const builder = new RecordBatchBuilder()
  builder.add(Buffer.from([0, 0, 0, type]), Buffer.from([0, 0, 0, 0, 0, 0]))
  return reshape(builder.finish(1000).stamp(producerId, 0, -1), offset, 0x30)
}

const valuesOf = (set: Buffer, options = {}, from = 0) =>
  decodeRecordSet(set, 't', 0, from, options).batches.flatMap(b =>
    b.records.map(r => `${r.offset}:${r.value}`),
  )

describe('RecordBatchBuilder', () => {
  it('has the published checksum of "123456789"', () => {
    expect(crc32c(Buffer.from('123456789'), 0, 9) >>> 0).toBe(0xe3069283)
  })

  it('writes what kafkajs reads', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plainRecord, { minLength: 1, maxLength: 90 }),
        time,
        fc.boolean(),
        async (records, at, own) => {
          const times = own ? records.map((_, i) => Math.max(0, at - i * 977)) : undefined
          const read = await oracleDecode(new OracleDecoder(build(records, at, times)))
          expect([read.producerId, read.producerEpoch, read.firstSequence]).toEqual(['7', 3, 11])
          expect(
            read.records.map(r => ({
              key: r.key,
              value: r.value,
              time: Number(r.timestamp),
              headers: Object.entries(r.headers),
            })),
          ).toEqual(
            records.map((r, i) => ({
              key: r.key,
              value: r.value,
              time: times?.[i] ?? at,
              headers: Object.entries(Object.fromEntries(r.headers.map(h => [h.key, h.value]))),
            })),
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  it('writes byte for byte what kafkajs writes', async () => {
    const records = [
      { key: Buffer.from('u1'), value: Buffer.from('x'.repeat(200)), headers: [] },
      { key: null, value: null, headers: [{ key: 'topic', value: Buffer.from('events') }] },
    ]
    const theirs = await oracleBatch.RecordBatch({
      firstTimestamp: 1764000000000,
      maxTimestamp: 1764000000000,
      partitionLeaderEpoch: -1,
      lastOffsetDelta: 1,
      producerId: 7,
      producerEpoch: 3,
      firstSequence: 11,
      records: records.map((r, offsetDelta) =>
        oracleRecord({
          offsetDelta,
          key: r.key,
          value: r.value,
          headers: Object.fromEntries(r.headers.map(h => [h.key, h.value])),
        }),
      ),
    })
    expect(build(records, 1764000000000).toString('hex')).toBe(theirs.buffer.toString('hex'))
  })

  it('is reused at once without touching the batch it gave away', () => {
    const builder = new RecordBatchBuilder()
    builder.add(null, Buffer.from('first'))
    const first = builder.finish(1)
    builder.add(null, Buffer.from('other'))
    const second = builder.finish(1)
    expect(valuesOf(first.stamp(1n, 0, 0))).toEqual(['0:first'])
    expect(valuesOf(second.stamp(1n, 0, 1))).toEqual(['0:other'])
  })

  it('stamps the same bytes for a resend and other bytes for another sequence', () => {
    const builder = new RecordBatchBuilder()
    builder.add(null, Buffer.from('v'))
    const batch = builder.finish(1)
    const first = Buffer.from(batch.stamp(1n, 0, 5))
    expect(batch.stamp(1n, 0, 5).equals(first)).toBe(true)
    const again = batch.stamp(1n, 0, 6)
    expect(again.equals(first)).toBe(false)
    expect(() => decodeRecordSet(again, 't', 0, 0, { verifyChecksum: true })).not.toThrow()
  })

  it('refuses an empty batch and a mix of dated and undated records', () => {
    const builder = new RecordBatchBuilder()
    expect(() => builder.finish(1)).toThrow('without records')
    builder.add(null, null, undefined, 5)
    expect(() => builder.add(null, null)).toThrow('mixes')
  })
})

describe('decodeRecordSet', () => {
  it('reads back what was built, whatever the records', () => {
    fc.assert(
      fc.property(
        fc.array(plainRecord, { minLength: 1, maxLength: 90 }),
        fc.array(time, { minLength: 90, maxLength: 90 }),
        (records, times) => {
          const { batches } = decodeRecordSet(build(records, 0, times), 't', 4, 0, {
            verifyChecksum: true,
          })
          expect(batches[0]).toMatchObject({ partition: 4, producerId: 7n, producerEpoch: 3 })
          expect(batches[0].records).toEqual(
            records.map((r, i) => ({ offset: i, timestamp: times[i], ...r })),
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  it('leaves a batch that is cut anywhere', () => {
    const whole = simple(['a', 'b'])
    const next = simple(['c'], 2)
    for (let cut = 0; cut < next.length; cut++) {
      const read = decodeRecordSet(Buffer.concat([whole, next.subarray(0, cut)]), 't', 0, 0)
      expect([read.nextOffset, read.bytesUsed, read.batches.length]).toEqual([2, whole.length, 1])
    }
    const cutOnly = decodeRecordSet(next.subarray(0, 65), 't', 0, 2)
    expect(cutOnly).toEqual({ batches: [], nextOffset: 2, bytesUsed: 0 })
  })

  it('drops records and batches below the asked offset', () => {
    const set = Buffer.concat([simple(['a', 'b']), simple(['c', 'd', 'e'], 2)])
    expect(valuesOf(set, {}, 3)).toEqual(['3:d', '4:e'])
    expect(decodeRecordSet(set, 't', 0, 3).batches).toHaveLength(1)
  })

  it('passes over an emptied batch and over the tail of one that compaction thinned', () => {
    const emptied = reshape(simple(['a', 'b', 'c']), 10, 0, Buffer.alloc(0))
    emptied.writeInt32BE(0, COUNT)
    const thinned = simple(['x'], 13)
    thinned.writeInt32BE(6, 23)
    const read = decodeRecordSet(Buffer.concat([emptied, thinned]), 't', 0, 10)
    expect(read.nextOffset).toBe(20)
    expect(read.batches.map(b => [b.baseOffset, b.nextOffset, b.records.length])).toEqual([
      [10, 13, 0],
      [13, 20, 1],
    ])
  })

  it('reads gzip, snappy with and without xerial frames, and lz4', () => {
    const plain = simple(['one', 'two', 'x'.repeat(5000)])
    const body = plain.subarray(HEADER_BYTES)
    const half = body.length >> 1
    const xerial = Buffer.concat([
      Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
      ...[body.subarray(0, half), body.subarray(half)].flatMap(block => {
        const packed = compressSync(block)
        const size = Buffer.alloc(4)
        size.writeInt32BE(packed.length)
        return [size, packed]
      }),
    ])
    const packed: [number, Buffer][] = [
      [1, gzipSync(body)],
      [2, compressSync(body)],
      [2, xerial],
      [3, compressFrameSync(body)],
    ]
    for (const [codec, bytes] of packed)
      expect(valuesOf(reshape(plain, 0, codec, bytes))).toEqual(valuesOf(plain))
  })

  it('refuses zstd, old formats and damaged batches with a sentence', () => {
    expect(() => valuesOf(simple(['a'], 5, 4))).toThrow(/t-0@5 is compressed with zstd.*lz4/)
    const old = simple(['a'])
    old[16] = 1
    expect(() => valuesOf(old)).toThrow('message format 1')
    const damaged = simple(['abc'])
    damaged[damaged.length - 3] ^= 1
    expect(() => valuesOf(damaged, { verifyChecksum: true })).toThrow('checksum')
    const overrun = simple(['abc'])
    overrun[HEADER_BYTES] = 120
    expect(() => valuesOf(overrun)).toThrow('runs past its end')
  })

  it('dates records by the broker where the topic says log-append time', () => {
    const batch = simple(['a'], 0, 8)
    writeInt64(batch, 99, 35)
    expect(decodeRecordSet(batch, 't', 0, 0).batches[0].records[0].timestamp).toBe(99)
  })

  it('hides aborted transactions only, up to the abort marker', () => {
    const set = Buffer.concat([
      simple(['a1'], 0, 0x10, 1n),
      simple(['b1'], 1, 0x10, 2n),
      simple(['plain'], 2, 0, 1n),
      marker(3, 1n, 0),
      simple(['a2'], 4, 0x10, 1n),
      marker(5, 2n, 1),
      simple(['a3'], 6, 0x10, 1n),
      marker(7, 1n, 0),
      simple(['b2'], 8, 0x10, 2n),
    ])
    const aborted = [
      { producerId: 1n, firstOffset: 6 },
      { producerId: 1n, firstOffset: 0 },
    ]
    expect(valuesOf(set, { aborted })).toEqual(['1:b1', '2:plain', '4:a2', '8:b2'])
    expect(valuesOf(set, { aborted, readCommitted: false })).toHaveLength(6)
    expect(decodeRecordSet(set, 't', 0, 0, { aborted }).nextOffset).toBe(9)
    expect(simple([''], 0, 0, 5n).readBigInt64BE(PRODUCER_ID)).toBe(5n)
  })

  it('gives times and offsets beyond 32 bits exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), time, time, (offset, a, b) => {
        const builder = new RecordBatchBuilder()
        builder.add(null, null, undefined, a)
        builder.add(null, null, undefined, b)
        const set = reshape(builder.finish(0).stamp(1n, 0, 0), offset, 0)
        const records = decodeRecordSet(set, 't', 0, offset).batches[0].records
        expect(records.map(r => [r.offset, r.timestamp])).toEqual([
          [offset, a],
          [offset + 1, b],
        ])
      }),
    )
  })
})

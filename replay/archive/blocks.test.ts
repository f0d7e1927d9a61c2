import avsc from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HOUR, plain, T0 } from '../../test/support/archived-log.ts'
import { BlockWriter, readBlock, schemaIdOf } from './blocks.ts'
import { recordSchema } from './format.ts'
import { fileHour, hourText, spanMs } from './hours.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map(array => Buffer.from(array))
const records = fc.array(
  fc.record({
    offset: fc.nat(),
    timestamp: fc.oneof(fc.integer({ min: -1, max: 2 }), fc.integer({ min: 0, max: 2 ** 52 - 1 })),
    key: fc.option(bytes),
    value: fc.option(fc.oneof(bytes, fc.constant(Buffer.from([0, 0, 0, 1, 44, 9])))),
    headers: fc.array(
      fc.record({ key: fc.string({ unit: 'binary', maxLength: 8 }), value: bytes }),
      {
        maxLength: 3,
      },
    ),
    arrival: fc.integer({ min: 0, max: 2 ** 52 - 1 }),
  }),
  { minLength: 1, maxLength: 30 },
)

describe('a block', () => {
  const type = avsc.Type.forSchema({ type: 'array', items: recordSchema as never })
  const of = { path: 'f', topic: 'events', partition: 3 }

  it('is what avsc writes and reads', () => {
    fc.assert(
      fc.property(records, fc.constantFrom('deflate', 'null'), (given, codec) => {
        const writer = new BlockWriter()
        for (const record of given) writer.add(record, record.arrival, schemaIdOf(record.value))
        const sync = Buffer.alloc(16, 7)
        const block = writer.finish(codec, sync)
        // a block is an array of one block, but for the sync marker and a compression
        const { data, count } = parts(block)
        const read = readBlock({ count, data, at: 0 }, codec, of)
        expect(read.map(record => ({ ...plain(record), arrival: record.arrival }))).toEqual(
          given.map(record => ({ ...plain(record), arrival: record.arrival })),
        )
        if (codec === 'deflate') return
        const array = Buffer.concat([Buffer.from([2 * count]), data, Buffer.from([0])])
        if (count >= 64) return
        const byAvsc = type.fromBuffer(array) as Parameters<typeof plain>[0][]
        const unwrap = (value: unknown) => (value as { bytes: Buffer } | null)?.bytes ?? value
        expect(
          byAvsc.map(one =>
            plain({ ...one, key: unwrap(one.key) as Buffer, value: unwrap(one.value) as Buffer }),
          ),
        ).toEqual(given.map(plain))
      }),
      { numRuns: 200 },
    )
  })

  it('that is cut or changed is refused or read, never an endless loop', () => {
    fc.assert(
      fc.property(records, fc.nat(), fc.nat(255), (given, where, byte) => {
        const writer = new BlockWriter()
        for (const record of given) writer.add(record, record.arrival, -1)
        const { data, count } = parts(writer.finish('null', Buffer.alloc(16)))
        const broken = Buffer.from(data)
        broken[where % broken.length] = byte
        try {
          readBlock({ count, data: broken, at: 0 }, 'null', of)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ARCHIVE_DAMAGED' })
        }
        expect(() => readBlock({ count, data: data.subarray(0, -1), at: 0 }, 'null', of)).toThrow(
          expect.objectContaining({ code: 'ARCHIVE_DAMAGED' }),
        )
      }),
    )
  })

  function parts(block: Buffer): { count: number; data: Buffer } {
    const long = avsc.Type.forSchema('long')
    const count = long.decode(block, 0) as { value: number; offset: number }
    const length = long.decode(block, count.offset) as { value: number; offset: number }
    return {
      count: count.value,
      data: block.subarray(length.offset, length.offset + length.value),
    }
  }
})

describe("a record's hour", () => {
  it('is that of its timestamp, and never before the hour that runs', () => {
    const now = T0 + 10 * HOUR
    expect(fileHour(T0 + 5, undefined, now)).toBe(T0)
    expect(fileHour(T0 + HOUR, T0, now)).toBe(T0 + HOUR)
    expect(fileHour(T0 - HOUR, T0, now)).toBe(T0)
    expect(hourText(T0)).toBe('2026-09-01T10')
  })

  it('is not begun by a clock that is ahead', () => {
    expect(fileHour(T0 + 500 * HOUR, T0, T0 + 5)).toBe(T0)
    expect(fileHour(2 ** 60, undefined, T0 + 5)).toBe(T0)
    expect(fileHour(T0 + HOUR, T0, T0 + 5)).toBe(T0 + HOUR)
  })

  it('spans are read as days and hours', () => {
    expect([spanMs('90d'), spanMs('36h'), spanMs('0d'), spanMs('d'), spanMs('1w')]).toEqual([
      90 * 24 * HOUR,
      36 * HOUR,
      undefined,
      undefined,
      undefined,
    ])
  })
})

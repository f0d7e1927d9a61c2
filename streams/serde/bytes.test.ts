import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'

type Field =
  | { kind: 'uint' | 'int' | 'u8' | 'f32' | 'f64'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'blob'; value: Uint8Array }

const number = (kind: 'uint' | 'int' | 'u8' | 'f32' | 'f64', of: fc.Arbitrary<number>) =>
  of.map((value): Field => ({ kind, value }))

/** Sizes around every power of two, where varints grow by a byte. */
const uint = fc.oneof(
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  fc
    .tuple(fc.integer({ min: 0, max: 53 }), fc.integer({ min: -2, max: 2 }))
    .map(([power, off]) => Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, 2 ** power + off))),
)
const int = fc.integer({ min: -(2 ** 52) + 1, max: 2 ** 52 - 1 })
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ minLength: 40, maxLength: 45 }),
  fc.string({ unit: 'grapheme', minLength: 100, maxLength: 2000 }),
)
const field: fc.Arbitrary<Field> = fc.oneof(
  number('uint', uint),
  number('int', int),
  number('u8', fc.integer({ min: 0, max: 255 })),
  number('f32', fc.float()),
  number('f64', fc.double()),
  text.map((value): Field => ({ kind: 'string', value })),
  fc.uint8Array({ maxLength: 3000 }).map((value): Field => ({ kind: 'blob', value })),
)
const row = fc.array(field, { minLength: 1, maxLength: 30 })

function write(w: ByteWriter, fields: readonly Field[]): ByteWriter {
  for (const f of fields) {
    if (f.kind === 'string') w.string(f.value)
    else if (f.kind === 'blob') w.blob(f.value)
    else w[f.kind](f.value)
  }
  return w
}

function read(r: ByteReader, fields: readonly Field[]): Field[] {
  return fields.map((f): Field => {
    if (f.kind === 'string') return { kind: 'string', value: r.string() }
    if (f.kind === 'blob') return { kind: 'blob', value: new Uint8Array(r.blob()) }
    return { kind: f.kind, value: r[f.kind]() }
  })
}

describe('ByteWriter and ByteReader', () => {
  it('read back what was written, whatever the fields, from any initial capacity', () => {
    fc.assert(
      fc.property(row, fc.integer({ min: 1, max: 64 }), (fields, capacity) => {
        const bytes = write(new ByteWriter(capacity), fields).copy()
        const reader = new ByteReader(bytes)
        expect(read(reader, fields)).toEqual(fields)
        expect(reader.left).toBe(0)
      }),
      { numRuns: 300 },
    )
  })

  it('throw a RangeError on a row that is cut anywhere, and never guess', () => {
    fc.assert(
      fc.property(
        row,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (fields, at) => {
          const bytes = write(new ByteWriter(), fields).copy()
          const cut = bytes.subarray(0, Math.floor(bytes.length * at))
          expect(() => read(new ByteReader(cut), fields)).toThrow(RangeError)
          // the end of a slice counts, not the end of the buffer behind it
          expect(() => read(new ByteReader(bytes, 0, cut.length), fields)).toThrow(RangeError)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('write unsigned integers as LEB128', () => {
    const hex = (value: number): string => new ByteWriter().uint(value).bytes().toString('hex')
    const oracle = (value: number): string => {
      const out: number[] = []
      let v = BigInt(value)
      for (; v >= 128n; v >>= 7n) out.push(Number(v & 127n) | 128)
      out.push(Number(v))
      return Buffer.from(out).toString('hex')
    }
    expect(hex(624485)).toBe('e58e26')
    fc.assert(
      fc.property(uint, value => {
        expect(hex(value)).toBe(oracle(value))
      }),
    )
  })

  it('write small magnitudes of signed integers in one byte', () => {
    for (const value of [-64, -1, 0, 1, 63])
      expect(new ByteWriter().int(value).bytes()).toHaveLength(1)
  })

  it('keep a raw string last without its length', () => {
    fc.assert(
      fc.property(text, value => {
        const r = new ByteReader(new ByteWriter(1).u8(7).rawString(value).copy())
        expect([r.u8(), r.rawString(), r.left]).toEqual([7, Buffer.from(value).toString(), 0])
      }),
    )
  })

  it('reuse one buffer: bytes() is a view, copy() is not', () => {
    const w = new ByteWriter(64)
    w.string('first')
    const view = w.bytes()
    const copy = w.copy()
    w.reset().string('other')
    expect(new ByteReader(copy).string()).toBe('first')
    expect(new ByteReader(view).string()).toBe('other')
  })
})

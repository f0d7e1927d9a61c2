import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { fromFloat16, toFloat16 } from './float16.ts'
import {
  readVectorKey,
  readVectorRow,
  vectorDimension,
  writeVectorKey,
  writeVectorRow,
} from './rows.ts'

const d = vectorDimension
const vectors = fc.float32Array({ minLength: 2 * d, maxLength: 2 * d, noNaN: true })

describe('vector rows', () => {
  it('give vectors back to float16, the bias to float32, and touch nothing beside', () => {
    fc.assert(
      fc.property(vectors, vectors, fc.float({ noNaN: true }), (context, output, bias) => {
        const w = new ByteWriter(1)
        writeVectorRow(context, output, d, bias, w)
        expect(w.length).toBe(134)
        const c = new Float32Array(3 * d).fill(7)
        const q = new Float32Array(3 * d).fill(7)
        expect(readVectorRow(new ByteReader(w.bytes()), c, q, d)).toBe(bias)
        for (let i = 0; i < d; i++) {
          expect(c[d + i]).toBe(fromFloat16(toFloat16(context[d + i])))
          expect(q[d + i]).toBe(fromFloat16(toFloat16(output[d + i])))
          expect([c[i], q[i], c[2 * d + i], q[2 * d + i]]).toEqual([7, 7, 7, 7])
        }
      }),
    )
  })

  it('keys are ids of any script', () => {
    const w = new ByteWriter()
    writeVectorKey('vidéo/日本', w)
    expect(readVectorKey(new ByteReader(w.copy()))).toBe('vidéo/日本')
  })

  it('refuses a layout it does not know and a row that is cut', () => {
    const vector = new Float32Array(d)
    const w = new ByteWriter()
    writeVectorRow(vector, vector, 0, 0, w)
    const newer = w.copy()
    newer[0] = 9
    expect(() => readVectorRow(new ByteReader(newer), vector, vector, 0)).toThrow(/layout 9/)
    const cut = w.copy().subarray(0, 100)
    expect(() => readVectorRow(new ByteReader(cut), vector, vector, 0)).toThrow(RangeError)
  })
})

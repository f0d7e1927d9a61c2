import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { featureCount } from '../blend/features.ts'
import { findRow, packRows, textOfRow, unpackRow, unpackText } from './packed-rows.ts'

const value = fc.oneof(
  { weight: 2, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
)
const row = fc.array(value, { minLength: featureCount, maxLength: featureCount })
const bits = (floats: Float32Array): number[] => [...new Uint32Array(floats.slice().buffer)]

describe('packed rows', () => {
  it('come back bit by bit, each by its item, alone as a text too', () => {
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 12 }),
        fc.uniqueArray(fc.nat(2 ** 31 - 1), { minLength: 12, maxLength: 12 }),
        fc.integer({ min: 0, max: 11 }),
        (rows, items, shift) => {
          const n = rows.length
          // the ranked stand in another order than the candidates
          const rowOf = (place: number): number => (place + shift) % n
          const matrix = Float32Array.from(rows.flat())
          const packed = packRows({ count: n, item: k => items[k], row: rowOf }, matrix)
          const into = new Float32Array(featureCount)
          for (let k = 0; k < n; k++) {
            const at = findRow(packed, items[k])
            // -0 says no more than 0
            const expected = bits(Float32Array.from(rows[rowOf(k)], x => (x === 0 ? 0 : x)))
            unpackRow(packed, at, into)
            expect(bits(into)).toEqual(expected)
            unpackText(textOfRow(packed, at), into)
            expect(bits(into)).toEqual(expected)
          }
          expect(findRow(packed, 2 ** 31)).toBe(-1)
        },
      ),
    )
  })

  it('take little where little is not 0', () => {
    const matrix = new Float32Array(50 * featureCount)
    for (let k = 0; k < 50; k++) matrix[k * featureCount + (k % featureCount)] = 1
    const packed = packRows({ count: 50, item: k => k, row: k => k }, matrix)
    expect(packed.byteLength).toBe(50 * (4 + 8 + 4))
  })
})

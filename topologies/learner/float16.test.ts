import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromFloat16, toFloat16 } from './float16.ts'

describe('float16', () => {
  it('gives every one of the 65,536 values back', () => {
    let wrong = 0
    for (let half = 0; half < 65_536; half++) {
      const value = fromFloat16(half)
      const back = toFloat16(value)
      if (Number.isNaN(value) ? back !== 0x7e00 : back !== half) wrong++
    }
    expect(wrong).toBe(0)
  })

  it('has the published values', () => {
    // IEEE 754-2008 binary16: smallest subnormal, largest subnormal, smallest normal, one third, largest, one
    expect(fromFloat16(0x0001)).toBe(2 ** -24)
    expect(fromFloat16(0x03ff)).toBe(6.097555160522461e-5)
    expect(fromFloat16(0x0400)).toBe(6.103515625e-5)
    expect(fromFloat16(0x3555)).toBe(0.333251953125)
    expect(fromFloat16(0x7bff)).toBe(65_504)
    expect(fromFloat16(0x3c00)).toBe(1)
    expect(Object.is(fromFloat16(0x8000), -0)).toBe(true)
    expect(fromFloat16(0xfc00)).toBe(Number.NEGATIVE_INFINITY)
  })

  it('takes the nearest value, ties to even', () => {
    // all finite values in order; the nearest is found by search
    const values = Array.from({ length: 0x7c00 }, (_, half) => fromFloat16(half))
    const nearest = (x: number): number => {
      if (x >= 65_520) return 0x7c00
      let low = 0
      let high = values.length
      while (low < high) {
        const middle = (low + high) >> 1
        if (values[middle] < x) low = middle + 1
        else high = middle
      }
      if (low === 0) return 0
      if (low === values.length) return low - 1
      const below = x - values[low - 1]
      const above = values[low] - x
      if (below === above) return low % 2 === 0 ? low : low - 1
      return below < above ? low - 1 : low
    }
    const midpoints = fc
      .integer({ min: 0, max: 0x7bfe })
      .map(half => (fromFloat16(half) + fromFloat16(half + 1)) / 2)
    fc.assert(
      fc.property(
        fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), midpoints),
        fc.boolean(),
        (x, negative) => {
          const magnitude = Math.fround(Math.abs(x))
          expect(toFloat16(negative ? -magnitude : magnitude)).toBe(
            nearest(magnitude) | (negative ? 0x8000 : 0),
          )
        },
      ),
      { numRuns: 20_000 },
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { ExactSum } from './exact-sum.ts'

/** The sum in whole 2^-64, by another way: bits of the double, as a bigint. */
function parts(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, x)
  const bits = view.getBigUint64(0)
  const exponent = Number((bits >> 52n) & 2047n)
  const fraction = bits & ((1n << 52n) - 1n)
  const mantissa = exponent === 0 ? fraction : fraction | (1n << 52n)
  const shift = Math.max(exponent, 1) - 1075 + 64
  const sign = bits >> 63n ? -1n : 1n
  if (shift >= 0) return sign * (mantissa << BigInt(shift))
  const down = BigInt(-shift)
  // to the nearest; halves are left to the test below, which allows for them
  return sign * ((mantissa + (1n << (down - 1n))) >> down)
}

function toNumber(sum: bigint): number {
  // 2^-64 of an integer: Number() rounds once
  return Number(sum) * 2 ** -64
}

const numbers = fc.oneof(
  fc.double({ noNaN: true, min: -1, max: 1 }),
  fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
  fc.double({ noNaN: true, min: -(2 ** 56), max: 2 ** 56 }),
  fc.integer(),
)

const bytesOf = (sum: ExactSum): string => {
  const w = new ByteWriter()
  sum.write(w)
  return w.copy().toString('hex')
}

describe('exact sums', () => {
  it('E1: is the same whatever the order and the grouping', () => {
    fc.assert(
      fc.property(
        fc.array(numbers, { maxLength: 200 }),
        fc.infiniteStream(fc.nat()),
        (list, at) => {
          const whole = ExactSum.of(list)
          const groups = Array.from({ length: 5 }, () => new ExactSum())
          for (const x of list) groups[(at.next().value as number) % 5].add(x)
          const merged = new ExactSum()
          for (const group of groups.reverse()) merged.merge(group)
          expect(bytesOf(merged)).toBe(bytesOf(whole))
          expect(Object.is(merged.value, whole.value)).toBe(true)
        },
      ),
    )
  })

  it('equals the sum in whole numbers', () => {
    fc.assert(
      fc.property(fc.array(numbers, { maxLength: 200 }), list => {
        const expected = toNumber(list.reduce((sum, x) => sum + parts(x), 0n))
        const { value } = ExactSum.of(list)
        // numbers below 2^-12 may be taken 2^-64 apart where they lie half way
        const allowed = Math.abs(expected) * 2 ** -52 + list.length * 2 ** -64
        expect(Math.abs(value - expected)).toBeLessThanOrEqual(allowed)
      }),
    )
  })

  it('sums what a double forgets', () => {
    const list = [2 ** 55, 1 / 1024, -(2 ** 55), 0.1, 2 ** -60]
    expect(ExactSum.of(list).value).toBe(1 / 1024 + 0.1 + 2 ** -60)
  })

  it('carries: millions of additions stay exact', () => {
    const sum = new ExactSum()
    // its last place is 2^-64
    const third = 1 / 3072
    for (let i = 0; i < 3_000_000; i++) sum.add(third)
    const expected = toNumber(parts(third) * 3_000_000n)
    expect(sum.value).toBe(expected)
    for (let i = 0; i < 3_000_000; i++) sum.subtract(third)
    expect(sum.isZero).toBe(true)
    expect(bytesOf(sum)).toBe('000000')
  })

  it('goes over the log and back', () => {
    fc.assert(
      fc.property(fc.array(numbers), list => {
        const sum = ExactSum.of(list)
        const w = new ByteWriter()
        sum.write(w)
        const back = ExactSum.read(new ByteReader(w.copy()))
        expect(back.value).toBe(sum.value)
        back.merge(sum, -1)
        expect(back.isZero).toBe(true)
      }),
    )
  })

  it('E3: takes nothing that is not a number, or is too large, and says so', () => {
    const sum = ExactSum.of([1])
    for (const x of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      2 ** 57,
      1e300,
    ])
      expect(sum.add(x)).toBe(false)
    expect(sum.value).toBe(1)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash53, murmur2, partitionOf, partitionOfText, randomFrom } from './hash.ts'

describe('murmur2', () => {
  it("gives the values of Kafka's own tests (UtilsTest.testMurmur2)", () => {
    const golden: [string, number][] = [
      ['21', -973932308],
      ['foobar', -790332482],
      ['a-little-bit-long-string', -985981536],
      ['a-little-bit-longer-string', -1486304829],
      ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
      ['abc', 479470107],
    ]
    for (const [text, expected] of golden) expect(murmur2(Buffer.from(text))).toBe(expected)
  })

  it('gives a text the partition of its UTF-8 bytes, of any length', () => {
    expect(partitionOf(Buffer.from('21'), 7)).toBe((-973932308 & 0x7fffffff) % 7)
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 40 }),
          fc.string({ minLength: 280, maxLength: 320 }),
        ),
        fc.integer({ min: 1, max: 200 }),
        (key, partitions) => {
          const partition = partitionOfText(key, partitions)
          expect(partition).toBe(partitionOf(Buffer.from(key), partitions))
          expect(partition).toBeGreaterThanOrEqual(0)
          expect(partition).toBeLessThan(partitions)
        },
      ),
    )
  })
})

describe('hash53', () => {
  it('is a safe integer, differs by seed, and does not collide where the birthday bound says so', () => {
    const seen = new Set<number>()
    for (let i = 0; i < 200_000; i++) {
      const hash = hash53(`user:${i}`)
      if (Number.isSafeInteger(hash) && hash >= 0) seen.add(hash)
    }
    // n^2 / 2^54 = 2e-6 expected collisions
    expect(seen.size).toBe(200_000)
    expect(hash53('u1', 1)).not.toBe(hash53('u1', 2))
  })

  it('spreads every one of its 53 bits evenly', () => {
    const n = 20_000
    const ones = new Array<number>(53).fill(0)
    for (let i = 0; i < n; i++) {
      const hash = BigInt(hash53(`i${i}`))
      for (let bit = 0; bit < 53; bit++) ones[bit] += Number((hash >> BigInt(bit)) & 1n)
    }
    // 6 standard deviations of a fair coin
    for (const count of ones) expect(Math.abs(count - n / 2)).toBeLessThan(6 * Math.sqrt(n / 4))
  })
})

describe('randomFrom', () => {
  it('repeats from a seed and is uniform on [0, 1)', () => {
    const [a, b] = [randomFrom(hash53('seed')), randomFrom(hash53('seed'))]
    const buckets = new Array<number>(20).fill(0)
    const n = 100_000
    let repeated = 0
    for (let i = 0; i < n; i++) {
      const draw = a()
      if (draw === b()) repeated++
      buckets[Math.floor(draw * 20)]++
    }
    expect(repeated).toBe(n)
    // a draw outside [0, 1) would have made another bucket, or none
    expect([buckets.length, buckets.reduce((sum, seen) => sum + seen)]).toEqual([20, n])
    const expected = n / 20
    const chi2 = buckets.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0)
    // 19 degrees of freedom, p = 1e-4
    expect(chi2).toBeLessThan(50.8)
  })
})

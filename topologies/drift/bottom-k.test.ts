import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { BottomK, sampleHash } from './bottom-k.ts'

type Row = readonly [hash: number, a: number, b: number]

const rows = fc.array(
  fc.tuple(fc.oneof(fc.nat(40), fc.maxSafeNat()), fc.double({ noNaN: true }), fc.integer()),
  { maxLength: 120 },
)
const limits = fc.integer({ min: 1, max: 30 })

function sampleOf(list: readonly Row[], limit: number): BottomK {
  const sample = new BottomK(limit, 2)
  for (const [hash, a, b] of list) sample.offer(hash, a, b)
  return sample
}

function held(sample: BottomK): Row[] {
  const list: Row[] = []
  sample.forEach((hash, a, b) => {
    list.push([hash, a, b])
  })
  return list.sort((x, y) => x[0] - y[0])
}

/** By definition: the newest of each hash, the smallest hashes. */
function expected(list: readonly Row[], limit: number): Row[] {
  return [...new Map(list.map(row => [row[0], row] as const)).values()]
    .sort((x, y) => x[0] - y[0])
    .slice(0, limit)
}

function bytesOf(sample: BottomK): Buffer {
  const w = new ByteWriter()
  sample.write(w)
  return w.copy()
}

describe('a bottom-k sample', () => {
  it('B1, B2: holds the smallest hashes, each with its newest numbers', () => {
    fc.assert(
      fc.property(rows, limits, (list, limit) => {
        const sample = sampleOf(list, limit)
        expect(held(sample)).toEqual(expected(list, limit))
        expect(sample.size).toBe(expected(list, limit).length)
        expect([...sample.values(1)]).toEqual(expected(list, limit).map(row => row[2]))
      }),
    )
  })

  it('B1: is the same however rows are split, merged and ordered', () => {
    fc.assert(
      fc.property(rows, limits, fc.infiniteStream(fc.nat(3)), (list, limit, at) => {
        const distinct = expected(list, list.length)
        const parts = [0, 1, 2, 3].map(() => new BottomK(limit, 2))
        for (const [hash, a, b] of [...distinct].reverse())
          parts[at.next().value as number].offer(hash, a, b)
        const merged = new BottomK(limit, 2)
        for (const part of parts) merged.merge(part)
        expect(bytesOf(merged)).toEqual(bytesOf(sampleOf(distinct, limit)))
      }),
    )
  })

  it('B3: goes over the log and back', () => {
    fc.assert(
      fc.property(rows, limits, (list, limit) => {
        const sample = sampleOf(list, limit)
        const back = BottomK.read(new ByteReader(bytesOf(sample)), limit)
        expect(held(back)).toEqual(held(sample))
        expect(bytesOf(back)).toEqual(bytesOf(sample))
      }),
    )
  })

  it('is uniform: hashes of like ids choose no part of them over another', () => {
    const sample = new BottomK(5_000)
    for (let i = 0; i < 50_000; i++) sample.offer(sampleHash(`event-${i}`), i)
    const tenths = new Array<number>(10).fill(0)
    for (const i of sample.values()) tenths[Math.floor(i / 5_000)]++
    // chi-square with 9 degrees of freedom stays under 27.9 in 99.9% of all cases
    const chi2 = tenths.reduce((sum, count) => sum + (count - 500) ** 2 / 500, 0)
    expect(chi2).toBeLessThan(27.9)
  })
})

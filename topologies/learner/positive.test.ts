import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { bucketOf, emptyPositive, readPositive, writePositive } from './positive.ts'

const someIds = fc.array(fc.string({ minLength: 1, maxLength: 60 }), {
  minLength: 1,
  maxLength: 25,
})

describe('compact positives', () => {
  it('come back as they were sent, several to a packet', () => {
    const positive = fc.record({
      user: fc.maxSafeNat(),
      ts: fc.nat({ max: 4e12 }),
      bucket: fc.nat({ max: 6 }),
      ids: someIds,
    })
    fc.assert(
      fc.property(fc.array(positive, { maxLength: 5 }), sent => {
        const w = new ByteWriter(1)
        for (const p of sent) writePositive({ ...p, count: p.ids.length }, w)
        const payload = new ByteReader(w.copy())
        const into = emptyPositive()
        for (const p of sent) {
          readPositive(payload, into)
          const ids = into.ids.slice(0, into.count)
          expect({ user: into.user, ts: into.ts, bucket: into.bucket, ids }).toEqual({
            ...p,
            // lone surrogates are no UTF-8
            ids: p.ids.map(id => Buffer.from(id).toString()),
          })
        }
        expect(payload.left).toBe(0)
      }),
    )
  })

  it('name the seven buckets of the blend', () => {
    const half = 30 * 60_000
    const at = (n: number, gap: number) => bucketOf(n, gap)
    expect([at(0, 0), at(1, 0), at(3, half - 1), at(4, 0), at(19, 0), at(20, 0)]).toEqual([
      0, 1, 1, 2, 2, 3,
    ])
    expect([at(1, half), at(4, half), at(200, half)]).toEqual([4, 5, 6])
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Arena } from './arena.ts'

describe('an arena', () => {
  it('gives back what was put, through releases and reuse', () => {
    const size = fc.oneof(fc.nat(300), fc.nat(5000), fc.constantFrom(65_533, 70_000, 300_000))
    fc.assert(
      fc.property(fc.array(fc.tuple(size, fc.nat(7)), { maxLength: 60 }), puts => {
        const arena = new Arena()
        const held: { handle: number; bytes: Buffer }[] = []
        for (const [k, [length, slot]] of puts.entries()) {
          const old = held[slot]
          if (old) arena.release(old.handle)
          const bytes = Buffer.alloc(length, k + 1)
          held[slot] = { handle: arena.put(bytes), bytes }
        }
        for (const { handle, bytes } of held.filter(Boolean)) {
          expect(handle).toBeGreaterThan(0)
          const start = arena.startOf(handle)
          const end = start + arena.lengthOf(handle)
          expect(arena.pageOf(handle).subarray(start, end).equals(bytes)).toBe(true)
          arena.release(handle)
        }
        expect(arena.bytes).toBe(0)
      }),
    )
  })

  it('takes no more memory however often a size is put and released', () => {
    const arena = new Arena()
    const handles: number[] = []
    for (let round = 0; round < 50; round++) {
      for (let k = 0; k < 500; k++) handles.push(arena.put(Buffer.alloc(400 + (k % 40))))
      handles.push(arena.put(Buffer.alloc(1 << 20)))
      for (const handle of handles.splice(0)) arena.release(handle)
    }
    expect(arena.pageBytes).toBe(1 << 18)
  })

  it('loses little to rounding', () => {
    const arena = new Arena()
    let asked = 0
    for (let length = 100; length < 4000; length++) {
      arena.put(Buffer.alloc(length))
      asked += length
    }
    expect(arena.bytes / asked).toBeLessThan(1.025)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteWriter } from '../../streams/serde/bytes.ts'
import { UserDirectory } from './directory.ts'

const ids = fc.oneof(
  fc.nat(60).map(n => `user-${n}`),
  fc.constantFrom('böb', '名前', '😀', 'a'),
)

/** Bytes as they stand in a directory: the id, then the caller's. */
function bytesOf(id: string, rest: number): Buffer {
  return new ByteWriter().string(id).uint(rest).copy()
}

describe('a directory of users', () => {
  it('finds whom it has, by text and by bytes, and nobody else, as a Map does', () => {
    const step = fc.record({ id: ids, remove: fc.boolean(), rest: fc.nat(1e6) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), steps => {
        const directory = new UserDirectory()
        const model = new Map<string, number>()
        for (const { id, remove, rest } of steps) {
          const text = Buffer.from(id)
          const entry = directory.find(id)
          expect(entry).toBe(directory.findBytes(text, 0, text.length))
          expect(entry >= 0).toBe(model.has(id))
          if (entry >= 0) {
            const r = directory.read(entry)
            expect([r.string(), r.uint()]).toEqual([id, model.get(id)])
            expect(directory.idOf(entry)).toBe(id)
            directory.arena.release(directory.handleOf(entry))
          }
          if (remove && entry >= 0) {
            directory.remove(entry)
            model.delete(id)
          } else if (!remove) {
            const at = entry >= 0 ? entry : directory.addBytes(text, 0, text.length)
            directory.setHandle(at, directory.arena.put(bytesOf(id, rest)))
            model.set(id, rest)
          }
        }
        expect(directory.size).toBe(model.size)
        for (const [id] of model) expect(directory.has(directory.find(id))).toBe(true)
      }),
    )
  })

  it('grows, and gives entries of removed users again', () => {
    const directory = new UserDirectory()
    const add = (n: number): void => {
      const entry = directory.add(`u${n}`)
      directory.setHandle(entry, directory.arena.put(bytesOf(`u${n}`, n)))
    }
    for (let n = 0; n < 5000; n++) add(n)
    for (let n = 0; n < 5000; n += 2) {
      const entry = directory.find(`u${n}`)
      directory.arena.release(directory.handleOf(entry))
      directory.remove(entry)
    }
    for (let n = 5000; n < 7500; n++) add(n)
    expect(directory.entries).toBe(5000)
    expect(directory.size).toBe(5000)
    for (let n = 0; n < 7500; n++)
      expect(directory.find(`u${n}`) >= 0).toBe(n % 2 === 1 || n >= 5000)
  })
})

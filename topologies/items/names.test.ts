import { describe, expect, it } from 'vitest'
import { Names } from './names.ts'

describe('names', () => {
  it('have one index, by text or by bytes, whichever came first', () => {
    const names = new Names()
    const plain = new Map<string, number>()
    const texts = Array.from({ length: 9_000 }, (_, i) =>
      i % 7 === 0 ? `ü-${(i * 31) % 2_999}-€` : `${(i * 31) % 2_999}${'x'.repeat(i % 3)}`,
    )
    texts.forEach((text, i) => {
      const expected = plain.get(text) ?? plain.size
      plain.set(text, expected)
      const bytes = Buffer.from(`__${text}__`)
      const found = i % 2 === 0 ? names.index(text) : names.indexOfBytes(bytes, 2, bytes.length - 2)
      if (found !== expected || names.nameOf(found) !== text)
        expect({ text, found }).toEqual({ text, found: expected })
    })
    expect(names.size).toBe(plain.size)
    for (const [text, index] of plain) {
      const bytes = Buffer.from(text)
      if (names.indexOfBytes(bytes, 0, bytes.length) !== index) expect(text).toBe(index)
    }
    expect(names.size).toBe(plain.size)
  })
})

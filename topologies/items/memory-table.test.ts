import { beforeEach, describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { halfLivesMs } from '../popularity/decay.ts'
import { emptyItemCounts, writeCounts } from '../popularity/rows.ts'
import { writeCatalogValue } from './catalog-rows.ts'
import { MemoryItemTable } from './memory-table.ts'
import { itemOptions } from './options.ts'
import { itemStores } from './stores.ts'

const { values } = resolveOptions(itemOptions, { flags: {}, environment: {}, file: {} })

let table: MemoryItemTable
beforeEach(() => {
  table = new MemoryItemTable(values, undefined)
})

function apply(store: number, itemId: string, write: (w: ByteWriter) => void): void {
  const w = new ByteWriter()
  write(w)
  table.apply('item', 0, store, new ByteReader(Buffer.from(itemId)), new ByteReader(w.copy()))
}

describe('the table in memory', () => {
  it('decays counts as 2^(-time / half-life) does, also those of 2,000 items and years ago', () => {
    const random = randomFrom(1)
    const now = 28_000_000 * 60_000
    for (let i = 0; i < 2_000; i++) {
      const counts = emptyItemCounts()
      counts.positives = Math.floor(random() * 5)
      counts.decayedMinute = 28_000_000 - Math.floor(10 ** (6 * random()))
      counts.firstMinute = counts.decayedMinute - 7
      counts.decayed.forEach((_, h) => {
        counts.decayed[h] = counts.positives * random()
      })
      apply(itemStores.counts, `item ${i}`, w => writeCounts(counts, w))
      const index = table.index(`item ${i}`)
      expect(table.positives(index)).toBe(counts.positives)
      if (counts.positives === 0) continue
      expect(table.firstPositiveAt(index)).toBe(counts.firstMinute * 60_000)
      expect(table.lastPositiveAt(index)).toBe(counts.decayedMinute * 60_000)
      halfLivesMs.forEach((halfLife, h) => {
        const plain = counts.decayed[h] * 2 ** ((counts.decayedMinute * 60_000 - now) / halfLife)
        // beyond 2^-1000 a double has few digits left
        if (plain > 1e-300) expect(table.decayed(h, index, now) / plain).toBeCloseTo(1, 12)
        else expect(table.decayed(h, index, now)).toBeLessThan(1e-299)
      })
    }
  })

  it('gives the content given last, and none where it went or has another length', () => {
    const content = (itemId: string, vector: number[] | null): number => {
      apply(itemStores.catalog, itemId, w =>
        writeCatalogValue(
          { withdrawnAt: 0, item: null, content: vector && Float32Array.from(vector) },
          w,
        ),
      )
      return table.index(itemId)
    }
    const random = randomFrom(2)
    const expected = new Map<number, number[] | undefined>()
    for (let step = 0; step < 3_000; step++) {
      const vector = Array.from({ length: 3 }, () => Math.fround(random()))
      const itemId = `item ${Math.floor(random() * 500)}`
      const chance = random()
      if (chance < 0.6 || step === 0) expected.set(content(itemId, vector), vector)
      else if (chance < 0.8) expected.set(content(itemId, null), undefined)
      else expected.set(content(itemId, [1, 0]), undefined)
    }
    for (const [index, vector] of expected) {
      const found = table.content(index)
      expect(found && [...found]).toEqual(vector)
      const at = table.contentAt(index)
      if (vector === undefined) expect(at).toBe(-1)
      else expect([...table.contents.subarray(at, at + table.contentLength)]).toEqual(vector)
    }
  })
})

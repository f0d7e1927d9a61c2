/**
 * The real item table, filled row by row as item tasks and the learner write them: 64 random neighbours an item, random
 * 32-d vectors (the hardest case for a graph of vectors), content of 16, half of the items with positives. Benches only.
 */
import { silentLogger } from '../../streams/log.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { writeNeighbour, writeNeighboursHead } from '../covisit/rows.ts'
import { unitVector, writeCatalogValue } from '../items/catalog-rows.ts'
import { loadGraphs } from '../items/hnsw.ts'
import { MemoryItemTable } from '../items/memory-table.ts'
import { itemOptions } from '../items/options.ts'
import { itemStores } from '../items/stores.ts'
import { learnerStores, vectorDimension, writeVectorKey, writeVectorRow } from '../learner/rows.ts'
import { emptyItemCounts, writeCounts } from '../popularity/rows.ts'

/** Event time of the newest positive, ms. */
export const benchNow = 1_700_000_040_000

const neighbours = 64
const contentLength = 16

/** Fails where hnswlib-node is not installed: what is measured would be something else. */
export function benchTable(size: number): MemoryItemTable {
  const graphs = loadGraphs(silentLogger)
  if (graphs === undefined) throw new Error('the bench needs hnswlib-node: npm install it')
  const { values } = resolveOptions(itemOptions, { flags: {}, environment: {}, file: {} })
  const table = new MemoryItemTable(values, graphs)
  const random = randomFrom(1)
  const w = new ByteWriter()
  const apply = (
    kind: string,
    store: number,
    key: (w: ByteWriter) => void,
    value: () => void,
  ): void => {
    w.reset()
    key(w)
    const end = w.length
    value()
    const row = w.bytes()
    table.apply(kind, 0, store, new ByteReader(row, 0, end), new ByteReader(row, end))
  }
  const pick = (n: number): number => Math.floor(random() * n)
  for (let i = 0; i < size; i++) table.index(benchId(i))
  for (let i = 0; i < size; i++) {
    const id = (w: ByteWriter) => void w.rawString(benchId(i))
    apply('item', itemStores.catalog, id, () => writeCatalog(i, size, random, w))
    apply('item', itemStores.counts, id, () => writeBenchCounts(random, w))
    apply('item', itemStores.neighbours, id, () => {
      writeNeighboursHead(benchNow, benchNow / 60_000 - pick(600), w)
      for (let k = 0; k < neighbours; k++)
        writeNeighbour(benchId(pick(size)), 40_000 / (1 + k), (k % 3) / (1 + k), 2 / (1 + k), w)
    })
    const vectors = Float32Array.from({ length: 2 * vectorDimension }, () => random() - 0.5)
    apply(
      'learner',
      learnerStores.vectors,
      w => writeVectorKey(benchId(i), w),
      () => writeVectorRow(vectors, vectors.subarray(vectorDimension), 0, random() - 0.5, w),
    )
  }
  // whatever is built in slices is built before anything is measured
  for (let n = 0; n < size; n += 32) table.batchApplied()
  return table
}

/** Seven characters. */
function benchId(index: number): string {
  return String(index).padStart(7, '0')
}

function writeCatalog(index: number, size: number, random: () => number, w: ByteWriter): void {
  writeCatalogValue(
    {
      withdrawnAt: 0,
      item: {
        title: '',
        creatorId: `c${Math.floor((random() * size) / 10)}`,
        topics: [`t${Math.floor(random() * 12)}`],
        language: 'en',
        regions: [],
        publishedAt: benchNow - index * 60_000,
        expiresAt: null,
        durationMs: 0,
        safety: 'ok',
        attributes: {},
      },
      content: unitVector(Array.from({ length: contentLength }, () => random() - 0.5)),
    },
    w,
  )
}

/** Half of the items have 1 to 500 positives, most of them few; half have none. */
function writeBenchCounts(random: () => number, w: ByteWriter): void {
  const counts = emptyItemCounts()
  counts.positives = Math.floor(0.5 / (0.001 + random()))
  counts.impressions = counts.positives * 7 + Math.floor(random() * 7)
  counts.watches = counts.positives
  counts.newestAt = benchNow
  if (counts.positives > 0) {
    counts.decayedMinute = benchNow / 60_000 - Math.floor(random() * 100)
    counts.firstMinute = counts.decayedMinute - Math.floor(random() * 60_000)
    for (const h of counts.decayed.keys()) counts.decayed[h] = counts.positives * 0.2 * (1 + h)
  }
  writeCounts(counts, w)
}

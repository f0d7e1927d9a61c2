import { describe, expect, it, vi } from 'vitest'
import { silentLogger } from '../../../streams/log.ts'
import { noMetrics } from '../../../streams/metrics.ts'
import { resolveOptions } from '../../../streams/options.ts'
import { hash53, randomFrom } from '../../../streams/serde/hash.ts'
import { Held, minute, t0 } from '../../../test/support/drift-pipeline.ts'
import { compose } from '../../../test/support/recommender.ts'
import { fromFloat16, toFloat16 } from '../../learner/float16.ts'
import { sampleHash } from '../bottom-k.ts'
import { driftOptions } from '../options.ts'
import { embeddingFigures } from '../profiles/embedding.ts'
import { ItemSample, type VectorTable } from './item-sample.ts'
import { createItemVectorsStage } from './stage.ts'

const hour = 60 * minute
const dimension = 32

/** Items of which nine in ten have a vector: as the learner's rows give them, so in float16. */
class Vectors implements VectorTable {
  readonly dimension = dimension
  output = new Float32Array(0)
  size = 0
  private readonly name: string

  constructor(size: number, name = 'a') {
    this.name = name
    this.resize(size)
    this.draw(0)
  }

  resize(size: number): void {
    this.size = size
    const grown = new Float32Array(size * dimension)
    grown.set(this.output.subarray(0, grown.length))
    this.output = grown
  }

  draw(shift: number): void {
    const random = randomFrom(hash53(this.name))
    for (let i = 0; i < this.output.length; i++) {
      const value = random() - 0.5 + (i % dimension < 4 ? 0.2 + shift : 0)
      this.output[i] = fromFloat16(toFloat16(value))
    }
  }

  idOf(index: number): string {
    return `${this.name}${index}`
  }

  hasVector(index: number): boolean {
    return index % 10 !== 0
  }

  /** What a sample must hold, by sorting all. */
  smallest(count: number): Float32Array[] {
    return Array.from({ length: this.size }, (_, index) => index)
      .filter(index => this.hasVector(index))
      .sort((a, b) => sampleHash(this.idOf(a)) - sampleHash(this.idOf(b)))
      .slice(0, count)
      .map(index => this.output.slice(index * dimension, (index + 1) * dimension))
  }
}

interface Setting {
  readonly flags?: Record<string, string>
  readonly partitions?: number
}

function tasks(items: VectorTable, { flags = {}, partitions = 1 }: Setting = {}) {
  const { values } = resolveOptions(driftOptions, {
    flags: { 'drift.reference.warmUp': '0s', ...flags },
    environment: {},
    file: {},
  })
  const watermark = {
    value: 0,
    passed: (end: number, delayMs: number) => end + delayMs <= watermark.value,
  }
  const held = Array.from(
    { length: partitions },
    (_, partition) =>
      new Held(() =>
        createItemVectorsStage(
          values,
          { partition, partitionsOf: () => partitions },
          watermark,
          items,
        ),
      ),
  )
  return {
    held,
    /** Event time comes to `at`; the drift rows that are written then. */
    at(ms: number) {
      watermark.value = ms
      return held.flatMap(task => task.commit().rows.map(({ row }) => row))
    },
  }
}

const hours = (rows: Record<string, unknown>[]) =>
  rows.filter(row => Number(row.window_end) - Number(row.window_start) === hour)

describe('embedding:items', () => {
  it('compares the vectors of each hour with those frozen at first, over restarts and moves', () => {
    const items = new Vectors(4_000)
    const { held, at } = tasks(items)
    let frozen: Float32Array[] = []
    for (let h = 0; h < 12; h++) {
      items.draw(h >= 9 ? 0.15 : 0)
      const rows = hours(at(t0 + h * hour + 2 * minute))
      // hour 0 the stream began in; 1 to 3 made the reference
      if (h === 4) frozen = items.smallest(2_000)
      if (h === 0) expect(rows).toEqual([])
      else {
        expect(rows.map(row => row.statistic)).toEqual([
          'centroid_cosine',
          'centroid_distance',
          'domain_auc',
        ])
        for (const row of rows)
          expect(row).toMatchObject({
            subject: 'embedding:items',
            segment: '',
            profile: 'freshet',
            window_start: t0 + (h - 1) * hour,
            n_current: 2_000,
          })
      }
      if (h > 0 && h <= 4)
        for (const row of rows) {
          expect(row).toMatchObject({ value: null, alert: false, n_reference: 0, reference: '' })
          expect(row.reason).toBe(
            `the reference is being collected: ${Math.max(0, h - 2)} of 3 windows`,
          )
        }
      if (h > 4) {
        const figures = embeddingFigures(frozen, items.smallest(2_000), 0x1e7)
        rows.forEach((row, i) => {
          const { value, threshold, reason } = figures[i]
          expect(row).toMatchObject({ value, threshold, reason, n_reference: 2_000 })
          expect(row.reference).toBe('first')
        })
        const auc = rows.find(row => row.statistic === 'domain_auc')
        expect(auc?.alert).toBe(h >= 9)
      }
      for (const task of held) task.restart()
    }
    // one row of progress for each of two sizes, and the hour's reference
    expect(held[0].rowCount).toBe(3)
  })

  it('has a reason while few items have a vector, and says nothing without freshet', () => {
    const few = tasks(new Vectors(50))
    few.at(t0 + minute)
    const rows = few.at(t0 + hour + 2 * minute)
    expect(rows).toHaveLength(3)
    for (const row of rows)
      expect(row).toMatchObject({ value: null, reason: 'fewer than 100 items have a vector' })
    const without = tasks(new Vectors(4_000), { flags: { 'drift.profiles': 'evidently' } })
    without.at(t0 + minute)
    expect(without.at(t0 + hour + 2 * minute)).toEqual([])
  })

  it('is of one task, and of windows that are due together the last has rows', () => {
    const { at } = tasks(new Vectors(4_000), { partitions: 4 })
    at(t0 + minute)
    const rows = at(t0 + 30 * hour + 2 * minute)
    expect(hours(rows).map(row => row.window_start)).toEqual(new Array(3).fill(t0 + 29 * hour))
    expect(rows.filter(row => row.window_start === t0)).toHaveLength(3)
    expect(rows).toHaveLength(6)
    expect(at(t0 + 30 * hour + 3 * minute)).toEqual([])
  })

  it('waits after a restart until the ids of a large catalog are hashed', () => {
    const items = new Vectors(12_000)
    const { at } = tasks(items)
    at(t0 + minute)
    expect(at(t0 + hour + 2 * minute)).toEqual([])
    expect(at(t0 + hour + 2 * minute)).toHaveLength(3)
  })

  it('samples the smallest hashes, whether many or few of the items have a vector', () => {
    for (const share of [1, 10, 100]) {
      const items = new Vectors(30_000)
      items.hasVector = index => index % share === 0
      const sample = new ItemSample(items, 2_000)
      while (!sample.follow(7_000));
      const found = sample.vectors()
      expect(found).toHaveLength(Math.min(2_000, 30_000 / share))
      expect(found).toEqual(items.smallest(2_000))
    }
  })

  it('runs, and the item table is followed for it, where there is a learner alone', async () => {
    for (const [topologies, tables] of [
      ['learner,drift', ['items']],
      ['labels,drift', []],
    ] as const) {
      const { kinds } = await compose({}, topologies)
      const statistics = kinds.find(kind => kind.name === 'statistics')
      expect(statistics?.tables).toEqual(tables)
      const table = vi.fn(() => new Vectors(10))
      const ctx = { partition: 0, partitionsOf: () => 1, metrics: noMetrics, now: () => 0, table }
      const stages = statistics?.create({ ...ctx, kind: 'statistics', log: silentLogger } as never)
      const names = stages?.stages.map(stage => stage.name)
      expect(names?.includes('item-vectors')).toBe(topologies.includes('learner'))
      expect(table).toHaveBeenCalledTimes(tables.length)
    }
  })
})

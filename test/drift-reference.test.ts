/** References that are set by hand: from the histograms in the real engine to the windows that are compared with them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeze, type SummedRow, summedHistograms } from '../bin/reference-histograms.ts'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import {
  decodeReference,
  encodeReference,
  ReferenceBook,
  referenceKey,
  type SetReference,
} from '../topologies/drift/reference-book.ts'
import { impression, minute, Pipeline, play, t0 } from './support/drift-pipeline.ts'
import { madeTables } from './support/tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-reference-'))
const from = t0 + 10 * minute
const to = t0 + 20 * minute
const flags = { 'drift.reference.windows': '3' }
let store: ClickHouseStore
let pipeline: Pipeline
let summed: SummedRow[]

/** Minutes of plays and impressions, of a rate and devices that change with time. */
function send(minutes: number, first: number): void {
  for (let m = first; m < first + minutes; m++) {
    for (let u = 0; u < 150; u++)
      pipeline.send(
        impression(`user${u}`, t0 + m * minute + u, {
          position: u % 7,
          surface: u % 3 === 0 ? 'shorts' : 'home',
          device: u % 10 === 0 ? undefined : `device${(u + m) % 5}`,
        }),
      )
    play(pipeline, 1, at => (at < 10 ? 0.3 : 0.6), m)
  }
}

const windowsOf = (subject: string, segment: string) =>
  pipeline
    .rows('histograms')
    .filter(
      row =>
        row.subject === subject &&
        row.segment === segment &&
        Number(row.window_start) >= from &&
        Number(row.window_end) <= to &&
        Number(row.window_end) - Number(row.window_start) === minute &&
        !/@|^reference:/.test(String(row.edges_id)),
    )

beforeAll(async () => {
  store = await madeTables(folder)
  pipeline = new Pipeline(2, 2, flags)
  send(24, 0)
  await store.insert('histograms', pipeline.rows('histograms'))
  summed = await summedHistograms(store, 'freshet', from, to)
})

afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const setting = { name: 'chosen', from, to, setAt: 1_000 }
const bySeries = (list: readonly SetReference[]) =>
  new Map(list.map(each => [`${each.subject}|${each.segment}|${each.size}`, each]))

describe('sums of histograms', () => {
  it('equal a recount of the windows within the time, by shard and bin', () => {
    const { references } = freeze(summed, setting, 100)
    for (const subject of ['feature:watched_ratio', 'feature:context.device'])
      for (const segment of ['', 'surface=home']) {
        const windows = windowsOf(subject, segment)
        expect(windows).toHaveLength(10)
        const expected = new Map<string, number>()
        let missing = 0
        for (const row of windows) {
          missing += Number(row.missing)
          ;(row.shards as number[][]).forEach((counts, shard) => {
            counts.forEach((count, bin) => {
              const key = `${shard} ${(row.categories as string[])[bin] ?? bin}`
              if (count > 0) expected.set(key, (expected.get(key) ?? 0) + count)
            })
          })
        }
        const found = bySeries(references).get(`${subject}|${segment}|0`) as SetReference
        const counts = new Map<string, number>()
        found.shards.forEach((row, shard) => {
          row.forEach((count, bin) => {
            if (count > 0) counts.set(`${shard} ${found.categories?.[bin] ?? bin}`, count)
          })
        })
        expect([...counts].sort()).toEqual([...expected].sort())
        expect(found).toMatchObject({ windows: 10, missing })
      }
  })

  it('series of few rows are told apart, with how many they have', () => {
    const { references, tooFew } = freeze(summed, setting, 1_000)
    expect(references.every(each => each.shards.flat().reduce((a, b) => a + b) >= 1_000)).toBe(true)
    expect(tooFew.length).toBeGreaterThan(0)
    expect(tooFew.length + references.length).toBe(summed.length)
  })

  it('of a time without windows there are none', async () => {
    expect(await summedHistograms(store, 'freshet', t0 - 10 * minute, t0)).toEqual([])
  })
})

describe('a reference that was set', () => {
  it('is what windows are compared with from then on, by name, over restarts', () => {
    const { references } = freeze(summed, setting, 100)
    for (const each of references) pipeline.book.take(referenceKey(each), each)
    send(3, 24)
    for (const task of pipeline.statistics) task.restart()
    send(3, 27)
    pipeline.drain(t0 + 40 * minute)
    const psi = pipeline
      .rows('drift')
      .filter(
        row =>
          row.subject === 'feature:watched_ratio' &&
          row.segment === '' &&
          row.statistic === 'psi' &&
          row.value !== null &&
          Number(row.window_end) - Number(row.window_start) === minute,
      )
    const at = (m: number) => psi.find(row => row.window_start === t0 + m * minute)
    // collected at a rate of .3, windows since are at .6: it alarms; the one set was made of such windows
    expect(at(21)).toMatchObject({ reference: 'first', alert: true })
    expect(at(25)).toMatchObject({ reference: 'chosen', alert: false })
    expect(at(28)).toMatchObject({ reference: 'chosen', alert: false })
    const set = bySeries(references).get('feature:watched_ratio||0') as SetReference
    expect(at(28)?.n_reference).toBe(set.shards.flat().reduce((a, b) => a + b))
    // its own histograms stand beside those of the windows
    const ids = pipeline
      .rows('histograms')
      .filter(row => row.subject === 'feature:watched_ratio' && row.window_start === from)
      .map(row => row.edges_id)
    expect(ids).toContain('reference:ratio-20')
    expect(ids).toContain('reference:chosen@1970-01-01T00:00:01.000Z')
  })

  it('B1: the last one set counts, in whatever order they are read', () => {
    const [one] = freeze(summed, setting, 100).references
    const later = { ...one, name: 'b', setAt: 2_000 }
    for (const order of [
      [one, later],
      [later, one],
    ]) {
      const book = new ReferenceBook()
      for (const each of order) book.take(referenceKey(each), each)
      expect(book.newest()).toEqual([later])
      expect(book.all()).toHaveLength(2)
    }
  })

  it('goes over the topic and back; what does not fit is said and passed over', () => {
    const [one] = freeze(summed, setting, 100).references
    expect(decodeReference(encodeReference(one))).toEqual(one)
    const bad = (change: object) =>
      decodeReference(encodeReference({ ...one, ...change } as SetReference))
    expect(decodeReference(Buffer.from('x'))).toEqual({ bad: 'is no JSON' })
    expect(bad({ shards: [[1]] })).toHaveProperty('bad')
    expect(bad({ shards: one.shards.map(counts => counts.map(() => 0.5)) })).toHaveProperty('bad')
    expect(bad({ size: 7 })).toHaveProperty('bad')
    expect(bad({ subject: undefined })).toHaveProperty('bad')
  })
})

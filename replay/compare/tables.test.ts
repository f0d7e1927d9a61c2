/** Figures of two runs in the real engine, against changes that were made by hand. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ClickHouseStore, createClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import {
  calibrationRows,
  driftRows,
  evaluationRows,
  exampleRows,
  experimentRows,
  qualityRows,
} from '../../test/support/plausible-rows.ts'
import { madeTables } from '../../test/support/tables.ts'
import { featureCount, featureHash, featureNames } from '../../topologies/blend/features.ts'
import { compareParity } from './parity.ts'
import { compareQuality } from './quality.ts'
import { compareTables, driftOverTime, type TableFigures } from './tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-compare-'))
const runs = { database: 'freshet', replay: "ag'ain", with: 'live' }
const hour = 3_600_000
let live: ClickHouseStore
let replay: ClickHouseStore

const now = Date.UTC(2026, 10, 30, 12)
const drift = driftRows(now)
const quality = qualityRows(now)
const features = Array.from({ length: featureCount }, (_, f) => Math.fround(0.1 * f - 1))
const examples: TableRow[] = exampleRows(now)
  .slice(0, 400)
  .map((row, k) => ({
    ...row,
    // every fourth has none as served
    feature_hash: k % 4 === 0 ? '' : featureHash,
    features: k % 4 === 0 ? [] : features,
  }))
let found: Map<string, TableFigures>

/** Of the drift rows: the first is another, the second can't be told, the third is missing, one is new, one is older than all. */
function changedDrift(): TableRow[] {
  const [first, second, , ...rest] = drift
  const middle = drift[Math.floor(drift.length / 2)]
  return [
    { ...first, value: Number(first.value) + 0.5 },
    { ...second, value: null },
    ...rest,
    { ...middle, subject: 'latency:topk' },
    { ...first, window_start: now - 900 * hour, window_end: now - 899 * hour },
  ]
}

beforeAll(async () => {
  live = await madeTables(folder)
  replay = await createClickHouseStore({
    url: `chdb:${folder}`,
    database: 'freshet',
    run: runs.replay,
    log: silentLogger,
    metrics: noMetrics,
    clock: systemClock,
    flushMs: 10,
  })
  const others: [string, TableRow[]][] = [
    ['calibration', calibrationRows(now)],
    ['evaluation', evaluationRows(now)],
    ['experiments', experimentRows(now)],
  ]
  for (const store of [live, replay])
    for (const [table, rows] of others) await store.insert(table, rows)
  await live.insert('drift', drift)
  await replay.insert('drift', changedDrift())
  await live.insert('quality', quality)
  await replay.insert(
    'quality',
    quality.map(row => (row.metric === 'ctr' ? { ...row, value: Number(row.value) + 0.01 } : row)),
  )
  await live.insert('examples', examples)
  // feature 3 is off by a half, feature 5 by less than the tolerance; each fifth example is missing
  const recomputed = features.map((value, f) =>
    f === 3 ? value - 0.5 : f === 5 ? value * (1 + 2e-7) : value,
  )
  await replay.insert(
    'examples',
    examples
      .filter((_, k) => k % 5 !== 0)
      .map((row, k) => ({
        ...row,
        feature_hash: featureHash,
        features: k % 2 === 0 ? recomputed : features,
      })),
  )
  found = new Map((await compareTables(live, runs)).map(table => [table.table, table]))
}, 120_000)

afterAll(async () => {
  await replay.close()
  await live.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('tables of two runs', () => {
  it('are equal where the rows are', () => {
    for (const name of ['calibration', 'evaluation', 'experiments']) {
      const table = found.get(name) as TableFigures
      const { both, ...rest } = name === 'evaluation' ? table.soft : table.exact
      expect(both, name).toBeGreaterThan(0)
      expect(rest, name).toEqual({ equal: both, onlyReplay: 0, onlyWith: 0 })
      expect(table.outside).toBe(0)
      expect(table.largest, name).toEqual([])
    }
  })

  it('differ by what was changed', () => {
    const table = found.get('drift') as TableFigures
    const [first] = drift
    expect(table.rowsWith).toBe(drift.length)
    expect(table.outside, 'a window from before the other run began').toBe(1)
    expect(table.exact).toEqual({
      both: drift.length - 1,
      equal: drift.length - 3,
      onlyReplay: 0,
      onlyWith: 1,
    })
    expect(table.soft).toEqual({ both: 0, equal: 0, onlyReplay: 1, onlyWith: 0 })
    const [psi] = table.figures
    expect(psi.figure).toBe('psi')
    expect(psi.largestDifference).toBeCloseTo(0.5, 9)
    const byValue = table.largest.find(row => row.replay !== null)
    expect(byValue).toMatchObject({
      figure: 'psi',
      key: 'feature:watched_ratio  freshet psi',
      from: first.window_start,
      to: first.window_end,
    })
    expect(byValue?.replay).toBeCloseTo(Number(first.value) + 0.5, 9)
    expect(table.largest.some(row => row.replay === null && row.with !== null)).toBe(true)
  })

  it('say nothing where a run has no rows', () => {
    expect(found.get('histograms')).toMatchObject({ rowsReplay: 0, rowsWith: 0, extent: null })
  })

  it("tell drift's difference over time", async () => {
    const { extent } = found.get('drift') as TableFigures
    const points = await driftOverTime(live, runs, extent as [number, number])
    expect(Math.max(...points.map(({ difference }) => difference))).toBeCloseTo(0.5, 9)
    expect(points.filter(({ difference }) => difference > 0)).toHaveLength(1)
    expect(points.length).toBeLessThanOrEqual(122)
  })
})

it('tells quality before and after by windows that both have', async () => {
  const figures = await compareQuality(live, runs)
  const ctr = figures.find(({ metric }) => metric === 'ctr')
  const rows = quality.filter(
    row =>
      row.metric === 'ctr' &&
      [row.policy, row.arm, row.surface, row.segment].every(part => part === '') &&
      Number(row.window_end) - Number(row.window_start) === ctr?.windowMs,
  )
  const n = rows.reduce((sum, row) => sum + Number(row.n), 0)
  const mean = rows.reduce((sum, row) => sum + Number(row.n) * Number(row.value), 0) / n
  expect(ctr?.nWith).toBe(n)
  expect(ctr?.with).toBeCloseTo(mean, 9)
  expect(ctr?.replay).toBeCloseTo(mean + 0.01, 9)
  const error =
    Math.sqrt(
      rows.reduce(
        (sum, row) =>
          sum + ((Number(row.n) * (Number(row.high) - Number(row.low))) / (2 * 1.959_964)) ** 2,
        0,
      ),
    ) / n
  const [low, high] = ctr?.intervalWith ?? [0, 0]
  expect(high - low).toBeCloseTo(2 * 1.959_964 * error, 9)
  for (const { metric, replay: after, with: before } of figures)
    if (metric !== 'ctr') expect(after, metric).toBe(before)
})

it('holds features as served against those recomputed', async () => {
  const parity = await compareParity(live, runs, 1e-6)
  const both = examples.filter((_, k) => k % 5 !== 0)
  const compared = both.filter(row => row.feature_hash !== '')
  const isOff = new Set(both.filter((_, k) => k % 2 === 0))
  expect(parity).toMatchObject({
    every: 1,
    both: both.length,
    served: compared.length,
    recomputed: both.length,
    compared: compared.length,
    otherRegistry: 0,
    equal: compared.filter(row => !isOff.has(row)).length,
  })
  const share = compared.filter(row => isOff.has(row)).length / compared.length
  expect(parity?.equalValues).toBeCloseTo(1 - share / featureCount, 9)
  const [worst, ...rest] = parity?.features ?? []
  expect(worst.feature).toBe(featureNames[3])
  expect(worst.equal).toBeCloseTo(1 - share, 9)
  expect(worst.meanDifference).toBeCloseTo(-0.5 * share, 6)
  expect(worst.largest).toBeCloseTo(0.5, 6)
  expect(rest.every(({ equal }) => equal === 1)).toBe(true)
  expect(parity?.examples).toHaveLength(1)
  expect(parity?.examples[0]).toMatchObject({ feature: featureNames[3] })
  const lenient = await compareParity(live, runs, 0.6)
  expect(lenient).toMatchObject({ equal: compared.length, equalValues: 1 })
  const strict = await compareParity(live, runs, 0)
  expect(
    strict?.features
      .slice(0, 2)
      .map(({ feature }) => feature)
      .sort(),
  ).toEqual([featureNames[3], featureNames[5]].sort())
  expect(await compareParity(live, { ...runs, replay: 'nothing' }, 1e-6)).toBeNull()
})

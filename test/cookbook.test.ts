/**
 * docs/cookbook.md on the real engine: each query as it stands, over drift and alerts that the real stages wrote and over
 * plausible rows of the other tables, its answer held against a recount of the rows.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import {
  calibrationRows,
  driftHours,
  evaluationRows,
  exampleRows,
  experimentRows,
  pipelineRows,
  qualityRows,
  slateRows,
} from './support/plausible-rows.ts'
import { madeTables } from './support/tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-cookbook-'))
let store: ClickHouseStore
const tables = new Map<string, readonly TableRow[]>()
type Row = Record<string, unknown>

const sections = readFileSync(new URL('../docs/cookbook.md', import.meta.url), 'utf8')
  .split(/^## /m)
  .slice(1)
  .map(text => [...text.matchAll(/```sql\n(.*?)```/gs)].map(match => match[1]))
const ask = (question: number, which = 0): Promise<Row[]> =>
  store.query<Row>(sections[question - 1][which])

const rowsOf = (table: string, holds: (row: TableRow) => boolean): TableRow[] =>
  (tables.get(table) ?? []).filter(holds)
const day = (ms: unknown): string => new Date(Number(ms)).toISOString().slice(0, 10)
const ofSize = (row: TableRow, seconds: number): boolean =>
  Number(row.window_end) - Number(row.window_start) === seconds * 1000
const rounded = (value: number, digits: number): number => Number(value.toFixed(digits))

beforeAll(async () => {
  store = await madeTables(folder)
  const now = Date.now()
  for (const [table, rows] of driftHours(now)) tables.set(table, rows)
  tables.set('calibration', calibrationRows(now))
  tables.set('evaluation', evaluationRows(now))
  tables.set('experiments', experimentRows(now))
  tables.set('quality', qualityRows(now))
  tables.set('pipeline', pipelineRows(now))
  const examples = exampleRows(now)
  tables.set('examples', examples)
  tables.set('slates', slateRows(examples))
  for (const [table, rows] of tables) {
    // an older revision of some, and every row twice: views have neither
    const older = rows.slice(0, 5).map(row => ({ ...row, revision: 0 }))
    await store.insert(table, [...older, ...rows])
    await store.insert(table, rows)
  }
}, 120_000)

afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

it('has ten questions, and nothing but queries that are asked here', () => {
  expect(sections.map(queries => queries.length)).toEqual([1, 1, 2, 2, 1, 2, 1, 1, 1, 1])
})

describe('the answers', () => {
  it('1: the alarms that are open', async () => {
    const open = rowsOf('alerts', row => row.until === null)
    const found = await ask(1)
    expect(open.length).toBeGreaterThan(0)
    expect(found.map(({ rule, subject, segment }) => [rule, subject, segment]).sort()).toEqual(
      open.map(({ rule, subject, segment }) => [rule, subject, segment]).sort(),
    )
    for (const { query } of found)
      expect((await store.query(String(query))).length).toBeGreaterThan(0)
  })

  it('2: calibration by model and segment, the worst first', async () => {
    const found = await ask(2)
    const windows = new Map<string, TableRow[]>()
    for (const row of rowsOf('calibration', each => ofSize(each, 86_400))) {
      const key = `${row.model}|${row.segment}|${day(row.window_start)}`
      windows.set(key, [...(windows.get(key) ?? []), row])
    }
    const wanted = [...windows].map(([key, bins]) => {
      const gap = (bin: TableRow) => Math.abs(Number(bin.mean_prediction) - Number(bin.mean_label))
      const worst = bins.reduce((a, b) => (gap(b) > gap(a) ? b : a))
      return [
        key,
        rounded(Number(bins[0].expected_observed), 3),
        rounded(Number(worst.mean_label), 3),
        Number(bins[0].n_window),
      ]
    })
    expect(wanted.length).toBeGreaterThan(3)
    expect(
      found
        .map(row => [
          `${row.model}|${row.segment}|${row.day}`,
          row.expected_by_observed,
          row.worst_seen,
          Number(row.examples),
        ])
        .sort(),
    ).toEqual(wanted.filter(([, , , n]) => Number(n) >= 100).sort())
    const off = found.map(row => Math.abs(Math.log(Number(row.expected_by_observed))))
    expect(off).toEqual([...off].sort((a, b) => b - a))
  })

  it('3: what was estimated, with its refusals, and what experiments say now', async () => {
    const estimated = await ask(3)
    const wanted = rowsOf('evaluation', row => row.segment === '')
    expect(estimated).toHaveLength(wanted.length)
    for (const row of estimated) expect(row.value === null).toBe(row.refused !== '')
    expect(estimated.some(row => row.refused !== '')).toBe(true)
    const now = await ask(3, 1)
    const newest = new Map<string, TableRow>()
    for (const row of rowsOf('experiments', () => true)) {
      const key = `${row.experiment}|${row.metric}|${row.arm}`
      if (Number(row.time) > Number(newest.get(key)?.time ?? 0)) newest.set(key, row)
    }
    expect(now).toHaveLength(newest.size)
    for (const row of now) {
      const wants = newest.get(`${row.experiment}|${row.metric}|${row.arm}`)
      expect(Number(row.users)).toBe(wants?.n)
      expect(row.verdict).toBe(wants?.guardrail_verdict)
      if (wants?.effect === null) expect(row.effect).toBeNull()
      else expect(row.effect).toBeCloseTo(Number(wants?.effect), 4)
    }
  })

  it('4: exposure by policy and the items with most of it', async () => {
    const found = await ask(4)
    const gini = rowsOf(
      'quality',
      row =>
        ofSize(row, 86_400) &&
        row.metric === 'gini_creators' &&
        row.arm === '' &&
        row.surface === '' &&
        row.segment === '',
    )
    expect(found.map(row => [row.day, row.policy, row.gini]).sort()).toEqual(
      gini.map(row => [day(row.window_start), row.policy, rounded(Number(row.value), 3)]).sort(),
    )
    const items = await ask(4, 1)
    const counts = new Map<unknown, number>()
    const recent = rowsOf('examples', row => Number(row.ts) > Date.now() - 86_400_000)
    for (const { item } of recent) counts.set(item, (counts.get(item) ?? 0) + 1)
    const most = [...counts].sort((a, b) => b[1] - a[1] || (String(a[0]) < String(b[0]) ? -1 : 1))
    expect(items.map(row => [row.item, Number(row.impressions)])).toEqual(most.slice(0, 20))
    expect(items[0].share).toBeCloseTo(most[0][1] / recent.length, 4)
  })

  it('5: freshness and load of each topology', async () => {
    const found = await ask(5)
    for (const topology of ['user', 'item']) {
      const rows = rowsOf('pipeline', row => row.topology === topology)
      const mine = found.filter(row => row.topology === topology)
      const total = (name: string, list: readonly Row[]) =>
        list.reduce((sum, row) => sum + Number(row[name]), 0)
      expect(total('dead_letters', mine)).toBe(total('dead_letters', rows))
      expect(Math.max(...mine.map(row => Number(row.worst_lag)))).toBe(
        Math.max(...rows.map(row => Number(row.lag))),
      )
      const rates = [...new Set(rows.map(row => row.time))].map(time =>
        total(
          'events_per_second',
          rows.filter(row => row.time === time),
        ),
      )
      // every interval has the same load here
      for (const row of mine) expect(Number(row.events_per_second)).toBeCloseTo(rates[0], 0)
    }
  })

  it('6: the feature that drifted, since when, and which of its groups', async () => {
    const drifted = await ask(6)
    expect(drifted[0]).toMatchObject({ subject: expect.stringContaining('feature:watched') })
    const alerts = rowsOf(
      'drift',
      row =>
        ofSize(row, 3_600) &&
        row.statistic === 'psi' &&
        row.profile === 'freshet' &&
        row.alert === true,
    )
    for (const row of drifted) {
      const mine = alerts.filter(
        each => each.subject === row.subject && each.segment === row.segment,
      )
      expect(Number(row.windows)).toBe(mine.length)
      expect(`${String(row.first_alert).replace(' ', 'T')}Z`).toBe(
        new Date(Math.min(...mine.map(each => Number(each.window_start)))).toISOString(),
      )
    }
    const groups = await ask(6, 1)
    const ratio = groups.filter(
      row => row.subject === 'feature:watched_ratio' && row.segment === '',
    )
    expect(ratio.length).toBeGreaterThan(5)
    const histograms = rowsOf(
      'histograms',
      row => row.subject === 'feature:watched_ratio' && row.segment === '',
    )
    const last = histograms
      .filter(row => ofSize(row, 3_600) && String(row.edges_id).startsWith('first@'))
      .reduce((a, b) => (Number(b.window_start) > Number(a.window_start) ? b : a))
    for (const share of ['share_was', 'share_is'])
      expect(ratio.reduce((sum, row) => sum + Number(row[share]), 0)).toBeCloseTo(1, 2)
    const edges = last.edges as number[]
    for (const row of ratio) {
      const at = row.name === 'inf' ? edges.length : edges.indexOf(Number(row.name))
      expect(row.share_is).toBeCloseTo((last.counts as number[])[at] / Number(last.n), 3)
    }
  })

  it('7: an impression with the draw that it came of', async () => {
    const [row] = await ask(7)
    const slates = tables.get('slates') ?? []
    const lists = new Set(slates.map(each => each.list_version))
    const shown = rowsOf('examples', each => lists.has(each.list_version)).sort(
      (a, b) => Number(b.ts) - Number(a.ts) || Number(a.position) - Number(b.position),
    )[0]
    const slate = slates.find(each => each.list_version === shown.list_version) as TableRow
    const candidates = slate.candidates as { item: string; weight: number }[]
    const own = candidates.find(each => each.item === shown.item) as { weight: number }
    expect(row).toMatchObject({
      user: shown.user,
      item: shown.item,
      source: shown.source,
      candidates_all: expect.anything(),
    })
    expect(row.weight).toBeCloseTo(own.weight, 3)
    expect(Number(row.candidates_above)).toBe(
      candidates.filter(each => rounded(each.weight, 4) > rounded(own.weight, 4)).length,
    )
    expect(Number(row.list_index)).toBe((slate.list as string[]).indexOf(String(shown.item)))
    expect(row.p_of_draw).toBeCloseTo(Number(shown.propensity), 5)
  })

  it('8: watch time beside session length, depth and return of the same arm', async () => {
    const found = await ask(8)
    const wanted = rowsOf(
      'quality',
      row => ofSize(row, 86_400) && row.arm !== '' && row.metric === 'return_1d',
    )
    expect(found).toHaveLength(wanted.length)
    const figureOf = (row: Row, metric: string) =>
      rowsOf(
        'quality',
        each =>
          ofSize(each, 86_400) &&
          each.policy === '' &&
          each.surface === '' &&
          each.arm === row.arm &&
          each.metric === metric &&
          day(each.window_start) === row.day,
      )[0]
    for (const row of found) {
      expect(row.seconds_an_impression).toBeCloseTo(Number(figureOf(row, 'watch_time').value), 2)
      expect(row.session_impressions).toBeCloseTo(Number(figureOf(row, 'session_depth').value), 2)
      expect(row.return_1d).toBeCloseTo(Number(figureOf(row, 'return_1d').value), 4)
      expect(Number(row.sessions)).toBe(figureOf(row, 'session_depth').n)
    }
  })

  it('9: return by policy with its interval', async () => {
    const found = await ask(9)
    const wanted = rowsOf(
      'quality',
      row =>
        ofSize(row, 86_400) &&
        row.metric === 'return_1d' &&
        row.arm === '' &&
        row.surface === '' &&
        row.segment === '',
    )
    expect(
      found.map(row => [row.policy, row.day, row.return_1d, row.low_1d, row.high_1d]).sort(),
    ).toEqual(
      wanted.map(row => [row.policy, day(row.window_start), row.value, row.low, row.high]).sort(),
    )
  })

  it('10: what there is to train on', async () => {
    const found = await ask(10)
    const days = new Map<string, TableRow[]>()
    for (const row of tables.get('examples') ?? [])
      days.set(day(row.ts), [...(days.get(day(row.ts)) ?? []), row])
    expect(found.map(row => row.day)).toEqual([...days.keys()].sort())
    for (const row of found) {
      const mine = days.get(String(row.day)) ?? []
      const labelled = mine.filter(each => each.label !== null)
      const weights = mine.flatMap(({ propensity }) => (propensity ? [1 / Number(propensity)] : []))
      expect(
        [row.examples, row.labelled, row.with_features, row.with_propensity].map(Number),
      ).toEqual([
        mine.length,
        labelled.length,
        mine.filter(each => (each.features as number[]).length > 0).length,
        weights.length,
      ])
      expect(row.positive_rate).toBeCloseTo(
        labelled.filter(each => each.label === 1).length / labelled.length,
        4,
      )
      expect(Number(row.users)).toBe(new Set(mine.map(each => each.user)).size)
      expect(row.heaviest_weight).toBeCloseTo(Math.max(...weights), 0)
    }
  })
})

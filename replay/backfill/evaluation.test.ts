/** The table `evaluation` from slates and examples in the real engine, against the rows that were written while lists were served. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ClickHouseStore } from '../../sinks/clickhouse/store.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { factors, liveRows, options, runWorld } from '../../test/support/policy-world.ts'
import { madeTables } from '../../test/support/tables.ts'
import { MINUTE, START } from '../../test/support/user-task.ts'
import { surfacePolicies } from '../../topologies/topk/surfaces.ts'
import { evaluatedHours } from './evaluation.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-evaluation-'))
const hour = 60 * MINUTE
let store: ClickHouseStore
let live: TableRow[]

beforeAll(async () => {
  store = await madeTables(folder)
  const { examples, slates, commits } = runWorld()
  await store.insert('examples', examples)
  await store.insert('slates', slates)
  live = liveRows(commits, 1)
})
afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const keyOf = (row: TableRow): string =>
  [
    'window_start',
    'window_end',
    'policy_evaluated',
    'policy_logged',
    'metric',
    'segment',
    'estimator',
  ]
    .map(name => row[name])
    .join('|')

it('says of hours and days what live said, but for dr and the buckets of intervals', async () => {
  const rows: TableRow[] = []
  const rules = new Map(surfacePolicies(options).map(each => [each.name, each.rules]))
  for await (const some of evaluatedHours({
    query: sql => store.query(sql),
    database: 'freshet',
    factors,
    rulesOf: surface => rules.get(surface),
    watchCapMs: 1_000,
    fromMs: START - 48 * hour,
    toMs: START + 2 * hour,
  }))
    rows.push(...some)
  const ours = new Map(rows.map(row => [keyOf(row), row]))
  expect(ours.size).toBe(rows.length)
  const expected = live.filter(({ estimator }) => estimator !== 'dr')
  expect(expected.length).toBeGreaterThan(40)
  for (const row of expected) {
    const found = ours.get(keyOf(row))
    expect(found, keyOf(row)).toMatchObject({ n: row.n })
    if (row.value === null || found?.value === null) continue
    expect(Number(found?.value)).toBeCloseTo(Number(row.value), 9)
    expect(found?.low).toBeLessThanOrEqual(Number(row.value))
    expect(found?.high).toBeGreaterThanOrEqual(Number(row.value))
  }
  const told = rows.filter(({ value }) => value !== null)
  expect(told.length).toBeGreaterThan(20)
})

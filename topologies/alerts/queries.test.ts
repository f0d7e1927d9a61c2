/** Each built-in rule raised by rows as the tables have them: its query runs on the real engine and shows just those rows. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ClickHouseStore, createClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { driftOptions } from '../drift/options.ts'
import { defaultRules } from './default-rules.ts'
import { RuleEngine } from './engine.ts'
import { noRules, type Rule, rulesInForce, windowSizes } from './rule-file.ts'
import { alertRow } from './statistics-stage.ts'
import { tables } from './tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-rules-'))
let store: ClickHouseStore

beforeAll(async () => {
  store = await createClickHouseStore({
    url: `chdb:${folder}`,
    database: 'measures',
    run: 'live',
    log: silentLogger,
    metrics: noMetrics,
    clock: systemClock,
    flushMs: 5,
  })
  await store.migrate()
})
afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const { values } = resolveOptions(driftOptions, { flags: {}, environment: {}, file: {} })
const builtIn = rulesInForce(
  defaultRules(values).map(({ rule }) => rule),
  noRules,
)
const t0 = Date.parse('2026-03-01T00:00:00Z')
/** Quotes and backslashes come in names that producers choose. */
const odd = "o'dd \\ name"

const pinned = (rule: Rule, key: string) =>
  rule.where.get(key)?.find(pattern => !pattern.startsWith('!'))

/** The k-th row of a series of the rule: quiet before `from`, then an alarm. */
function rowOf(rule: Rule, k: number, from: number, other: boolean): TableRow {
  const { table, column, window, condition } = rule
  const stepMs = window === undefined ? 10_000 : windowSizes[window]
  const time = tables[table].windows
    ? { window_start: t0 + k * stepMs, window_end: t0 + (k + 1) * stepMs }
    : { time: t0 + k * stepMs }
  const keys = Object.fromEntries(
    tables[table].keys.map(key => [
      key,
      pinned(rule, key) ?? (key === 'segment' ? '' : other ? 'other' : odd),
    ]),
  )
  if (table === 'pipeline') Object.assign(keys, { topology: 'user', partition: other ? 1 : 0 })
  const over = k >= from && !other
  const value = {
    above: [0, 1e6],
    below: [1, 0],
    outside: [1, 3],
    drop: [1, 0.1],
    is: ['hold', 'stop'],
  }[condition.kind][over ? 1 : 0]
  const n = tables[table].n ? { [tables[table].n]: 5_000 } : {}
  const more = table === 'drift' ? { threshold: 0.1 } : table === 'calibration' ? { bin: 0 } : {}
  return { ...time, ...keys, ...n, ...more, [column]: value, revision: 1 }
}

it.each(builtIn.map(rule => [rule.name, rule] as const))('%s', async (_name, rule) => {
  const engine = new RuleEngine([rule], { database: 'measures', maxSeries: 10 })
  const from = 25
  const rows = Array.from({ length: from + rule.raise }, (_, k) => [
    rowOf(rule, k, from, false),
    rowOf(rule, k, from, true),
  ]).flat()
  await store.insert(rule.table, rows)
  const news = rows.flatMap(row => {
    engine.observe(rule.table, row)
    return engine.judge()
  })
  expect(news).toHaveLength(1)
  expect(news[0].since).toBe(Number(rows[2 * from].window_start ?? rows[2 * from].time))
  await store.insert('alerts', [alertRow(news[0])])
  const [{ query }] = await store.query<{ query: string }>(
    `SELECT query FROM measures.v_alerts WHERE rule = '${rule.name}'`,
  )
  const shown = await store.query<Record<string, unknown>>(query)
  // from a day of windows before, and of this series alone
  const before = rule.window === undefined ? from : 24
  expect(shown).toHaveLength(before + rule.raise)
  const column = tables[rule.table].columns[rule.column].of ? 'figure' : rule.column
  const last = shown.at(-1)?.[column]
  if (rule.condition.kind === 'is') expect(last).toBe('stop')
  else expect(Number(last)).toBe(news[0].value)
})

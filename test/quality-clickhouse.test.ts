/** Rows of quality and calibration in the real engine, and the query of docs/quality-live.md on them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import { run, world } from './support/ledger-world.ts'
import { madeTables } from './support/tables.ts'
import { START } from './support/user-task.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-quality-'))
const made = world(7, 20, 4)
const rows: Record<string, TableRow[]> = { quality: [], calibration: [] }
let store: ClickHouseStore

const query = /```sql\n(.*?)```/s.exec(
  readFileSync(new URL('../docs/quality-live.md', import.meta.url), 'utf8'),
)?.[1]

beforeAll(async () => {
  for (const [key, row] of run(made, 7, 1).sent.rows) rows[key.split('|')[0]]?.push(row)
  store = await madeTables(folder)
  for (const table of ['quality', 'calibration'])
    for (let twice = 0; twice < 2; twice++) await store.insert(table, rows[table])
}, 120_000)

afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('quality in ClickHouse', () => {
  it('every row is there once', async () => {
    for (const table of ['quality', 'calibration']) {
      const [{ n }] = await store.query<{ n: number }>(
        `SELECT toUInt32(count()) AS n FROM freshet.v_${table}`,
      )
      expect(n).toBe(rows[table].length)
      expect(n).toBeGreaterThan(100)
    }
  })

  it("impressions of the day are those of the events, and so are scores' base rates", async () => {
    const shown = made.requests.flatMap(request => request.shown)
    const [quality] = await store.query<{ n: number; ctr: number }>(
      `SELECT toUInt32(n) AS n, value AS ctr FROM freshet.v_quality WHERE metric = 'ctr' AND policy = '' AND arm = ''
       AND surface = '' AND segment = '' AND window_end - window_start = 86400`,
    )
    expect(quality.n).toBe(shown.length)
    expect(quality.ctr).toBeCloseTo(shown.filter(one => one.clicked).length / shown.length, 12)
    const models = await store.query<Record<string, unknown>>(
      `SELECT model, scores, toUInt32(any(n_window)) AS scored, toUInt32(sum(n)) AS binned, any(base_rate) AS rate, count() AS bins
       FROM freshet.v_calibration WHERE segment = '' AND window_end - window_start = 86400 GROUP BY model, scores ORDER BY model`,
    )
    for (const [k, model] of ['m1', 'm2'].entries()) {
      const scored = shown.filter(one => one.model === model && one.score !== null)
      const rate = scored.filter(one => one.positive).length / scored.length
      expect(models[k]).toMatchObject({
        model,
        scores: model === 'm1' ? 'probability' : 'logit',
        scored: scored.length,
        binned: scored.length,
      })
      expect(Number(models[k].bins)).toBe(10)
      expect(models[k].rate).toBeCloseTo(rate, 12)
    }
  })

  it('the documented query shows each objective beside session and return', async () => {
    const day = `toDateTime64(${START / 1000}, 3, 'UTC')`
    const found = await store.query<Record<string, unknown>>(
      String(query).replace('now() - INTERVAL 3 DAY', day),
    )
    expect(found.map(row => row.arm)).toEqual(['page=long', 'rank=a', 'rank=b'])
    for (const row of found) expect(Number(row.session_length)).toBeGreaterThan(0)
  })
})

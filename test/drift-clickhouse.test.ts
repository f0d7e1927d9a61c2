/** Drift's rows in the real engine, and the queries of docs/clickhouse.md on them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import { minute, Pipeline, play, t0 } from './support/drift-pipeline.ts'
import { madeTables } from './support/tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-drift-'))
let store: ClickHouseStore
let pipeline: Pipeline

const queries = [
  ...readFileSync(new URL('../docs/clickhouse.md', import.meta.url), 'utf8').matchAll(
    /```sql\n(.*?)```/gs,
  ),
].map(match => match[1])

beforeAll(async () => {
  store = await madeTables(folder)
  pipeline = new Pipeline(2, 1, { 'drift.reference.windows': '5' })
  play(pipeline, 20, m => (m < 12 ? 0.45 : 0.7))
  for (const table of ['drift', 'histograms', 'alerts']) {
    await store.insert(table, pipeline.rows(table))
    await store.insert(table, pipeline.rows(table))
  }
})

afterAll(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('drift in ClickHouse', () => {
  it('every row is there once', async () => {
    for (const table of ['drift', 'histograms', 'alerts']) {
      const [{ n }] = await store.query<{ n: number }>(
        `SELECT toUInt32(count()) AS n FROM freshet.v_${table}`,
      )
      expect(n).toBe(pipeline.rows(table).length)
    }
  })

  it('the documented queries run and show the drift', async () => {
    expect(queries).toHaveLength(5)
    const [alarms, minutes, again, hours, examples] = await Promise.all(
      queries.map(sql => store.query<Record<string, unknown>>(sql)),
    )
    expect(alarms.some(row => row.subject === 'feature:watched_ratio')).toBe(true)
    expect(minutes.filter(row => row.alert).map(row => row.window_start)).toContain(
      new Date(t0 + 13 * minute).toISOString().replace('T', ' ').slice(0, -1),
    )
    expect(hours).toEqual([])
    expect(examples).toEqual([])
    // the second and third query compute the same
    const bySubject = again.filter(row => row.subject === 'feature:watched_ratio')
    const told = minutes.filter(row => row.psi !== null)
    expect(told.length).toBeGreaterThan(5)
    for (const { window_start, psi } of told)
      expect(Number(bySubject.find(row => row.window_start === window_start)?.psi)).toBeCloseTo(
        Number(psi),
        3,
      )
  })

  it("an alert's own query shows its figures", async () => {
    const [{ query }] = await store.query<{ query: string }>(
      "SELECT query FROM freshet.v_alerts WHERE subject = 'feature:watched_ratio'",
    )
    expect((await store.query(query)).length).toBeGreaterThan(5)
  })
})

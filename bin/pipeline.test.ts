import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it, vi } from 'vitest'
import { systemClock } from '../streams/clock.ts'
import { silentLogger } from '../streams/log.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import { madeTables } from '../test/support/tables.ts'
import { pipelineRows, writePipeline } from './pipeline.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-pipeline-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("a task's progress is a row that the table takes, a rate from its count", async () => {
  const store = await madeTables(folder)
  const counts = { events: 250, late: 1, duplicates: 2, deadLetters: 3 }
  const task = { kind: 'user', partition: 2, lag: 7, freshnessP50: 12.5, freshnessP99: null }
  const rows = pipelineRows({ progress: () => [{ ...task, ...counts }] }, 1_790_000_000_000, 5_000)
  await store.insert('pipeline', rows)
  expect(await store.query('SELECT * EXCEPT (run, revision) FROM freshet.v_pipeline')).toEqual([
    {
      time: '2026-09-21 14:13:20.000',
      topology: 'user',
      partition: 2,
      lag: 7,
      events_per_second: 50,
      freshness_p50: 12.5,
      freshness_p99: null,
      dead_letters: 3,
      late: 1,
      duplicates: 2,
    },
  ])
  await store.close()
})

it('while the store is away alarms go on, and the counts stand in the first row after it', async () => {
  vi.useFakeTimers()
  let away = false
  const written: TableRow[] = []
  const judged: TableRow[] = []
  const task = { kind: 'user', partition: 2, lag: 7, freshnessP50: 1, freshnessP99: 2 }
  const counts = { events: 100, late: 1, duplicates: 0, deadLetters: 2 }
  const writer = writePipeline(
    { progress: () => [{ ...task, ...counts }] },
    {
      insert: async (_table, rows) => void written.push(...rows),
      waiting: () => (away ? 'ClickHouse' : undefined),
    },
    {
      everyMs: 1_000,
      clock: { ...systemClock, now: () => Date.now(), wall: () => Date.now() },
      log: silentLogger,
      alerts: { judge: async rows => void judged.push(...rows) },
    },
  )
  await vi.advanceTimersByTimeAsync(1_000)
  away = true
  await vi.advanceTimersByTimeAsync(3_000)
  away = false
  await vi.advanceTimersByTimeAsync(2_000)
  writer.close()
  vi.useRealTimers()
  const of = (rows: readonly TableRow[], column: string) => rows.map(row => row[column])
  expect(of(judged, 'dead_letters')).toEqual([2, 2, 2, 2, 2, 2])
  expect(of(written, 'dead_letters')).toEqual([2, 8, 2])
  expect(of(written, 'events_per_second')).toEqual([100, 100, 100])
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { createClickHouseStore } from '../sinks/clickhouse/store.ts'
import { systemClock } from '../streams/clock.ts'
import { silentLogger } from '../streams/log.ts'
import { noMetrics } from '../streams/metrics.ts'
import { pipelineRows } from './pipeline.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-pipeline-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("a task's progress is a row that the table takes, a rate from its count", async () => {
  const store = await createClickHouseStore({
    url: `chdb:${folder}`,
    database: 'freshet',
    run: 'live',
    log: silentLogger,
    metrics: noMetrics,
    clock: systemClock,
    flushMs: 10,
  })
  await store.migrate()
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

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connect } from '../../sinks/clickhouse/connect.ts'
import type { Connection } from '../../sinks/clickhouse/connection.ts'
import { type ClickHouseStore, createClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { madeTables } from '../../test/support/tables.ts'
import { copyMissingRows } from './missing-rows.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-missing-'))
const T0 = Date.UTC(2024, 8, 1)
const MINUTE = 60_000
let live: ClickHouseStore
let own: ClickHouseStore
let sql: Connection

beforeAll(async () => {
  live = await madeTables(folder)
  own = await createClickHouseStore({
    ...{ url: `chdb:${folder}`, database: 'freshet', run: 'r', flushMs: 10 },
    ...{ log: silentLogger, metrics: noMetrics, clock: systemClock },
  })
  sql = await connect(`chdb:${folder}`)
})

afterAll(async () => {
  await sql.close()
  await own.close()
  await live.close()
  rmSync(folder, { recursive: true, force: true })
})

const drift = (at: number, value: number, revision = 1): TableRow => ({
  ...{ subject: 'label:positive', segment: '', window_start: at, window_end: at + MINUTE },
  ...{ profile: 'freshet', statistic: 'psi', value, threshold: 0.2, alert: 0 },
  ...{ reference: 'first', n_reference: 10, n_current: 10, revision },
})

it("copies what live lacks of the last two days, and leaves live's own", async () => {
  await live.insert('drift', [drift(T0, 1), drift(T0 + MINUTE, 2, 3)])
  await own.insert('drift', [
    drift(T0 - 3 * 86_400_000, 7),
    drift(T0 + MINUTE, 9, 5),
    drift(T0 + 2 * MINUTE, 4, 2),
  ])
  expect(await copyMissingRows(sql, 'freshet', 'r')).toEqual({ drift: 1 })
  const rows = await sql.query(
    `SELECT toFloat64(value) AS value, toUInt32(revision) AS revision FROM freshet.v_drift ORDER BY window_start`,
  )
  expect(rows).toEqual([
    { value: 1, revision: 1 },
    { value: 2, revision: 3 },
    { value: 4, revision: 2 },
  ])
  expect(await copyMissingRows(sql, 'freshet', 'r')).toEqual({})
  // the new generation's correction stands above it
  await live.insert('drift', [drift(T0 + 2 * MINUTE, 5, 1 + 2 ** 32)])
  const [{ value }] = await sql.query<{ value: number }>(
    `SELECT toFloat64(value) AS value FROM freshet.v_drift ORDER BY window_start DESC LIMIT 1`,
  )
  expect(value).toBe(5)
  expect(await copyMissingRows(sql, 'freshet', 'other')).toEqual({})
})

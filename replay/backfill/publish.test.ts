/** Rows in live's place, on the real engine: U1 to U3, also while live goes on writing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from '../../sinks/clickhouse/connect.ts'
import type { Connection } from '../../sinks/clickhouse/connection.ts'
import { type ClickHouseStore, createClickHouseStore } from '../../sinks/clickhouse/store.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { madeTables } from '../../test/support/tables.ts'
import type { Backfill } from '../shadow/spec.ts'
import { backfillTables } from './filtered-tables.ts'
import { dropRows, publish } from './publish.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-publish-'))
const T0 = Date.UTC(2026, 8, 1)
const hour = 3_600_000
const run = 'backfill-1'
let live: ClickHouseStore
let own: ClickHouseStore
let sql: Connection

beforeAll(async () => {
  live = await madeTables(folder)
  own = await createClickHouseStore({
    url: `chdb:${folder}`,
    database: 'freshet',
    run,
    log: silentLogger,
    metrics: noMetrics,
    clock: systemClock,
    flushMs: 10,
  })
  sql = await connect(`chdb:${folder}`)
})

afterAll(async () => {
  await sql.close()
  await own.close()
  await live.close()
  rmSync(folder, { recursive: true, force: true })
})

const drift = (at: number, value: number | null, given: TableRow = { revision: 1 }): TableRow => ({
  subject: 'label:positive',
  segment: '',
  window_start: at,
  window_end: at + hour,
  profile: 'freshet',
  statistic: 'psi',
  value,
  threshold: null,
  alert: false,
  reason: value === null ? 'few rows' : '',
  reference: 'first',
  n_reference: 10,
  n_current: 20,
  ...given,
})

const backfill: Backfill = {
  tables: ['drift', 'examples'],
  fromMs: T0,
  toMs: T0 + 48 * hour,
  leaves: ['feature:session_length'],
}
const settings = () => ({ sql, database: 'freshet', run, backfill })

const seen = async () =>
  (
    await live.query<{ at: string; value: number | null; revision: number }>(
      `SELECT toUnixTimestamp64Milli(window_start) AS at, value, revision FROM freshet.v_drift ORDER BY at`,
    )
  ).map(({ at, value, revision }) => [(Number(at) - T0) / hour, value, Number(revision)])

describe('a backfill', () => {
  it('keeps what is asked for of what its tasks write', async () => {
    const stored: Record<string, TableRow[]> = {}
    const inner = {
      name: 'rows',
      insert: async (table: string, rows: readonly TableRow[]) => {
        stored[table] = [...(stored[table] ?? []), ...rows]
      },
      drain: async () => undefined,
      waiting: () => undefined,
      close: async () => undefined,
    }
    const tables = backfillTables(inner, { ...backfill, tables: ['drift', 'histograms'] })
    await tables.insert('drift', [
      drift(T0 - hour, 1),
      drift(T0, 2),
      drift(T0 + 48 * hour, 3),
      drift(T0, 4, { subject: 'feature:session_length' }),
    ])
    await tables.insert('histograms', [
      { subject: 'a', window_start: T0, edges_id: 'reference:x' },
      { subject: 'a', window_start: T0, edges_id: 'x' },
    ])
    await tables.insert('erasures', [{ order: {}, time: T0 }])
    await tables.insert('alerts', [{ rule: 'a', since: T0 }])
    await tables.drain()
    expect(stored).toEqual({
      drift: [drift(T0, 2)],
      histograms: [{ subject: 'a', window_start: T0, edges_id: 'x' }],
    })
  })

  it('U1 U2 U3 takes the place of what differs, above it, and leaves the rest', async () => {
    const generation = 3 * 2 ** 32
    await live.insert('drift', [
      drift(T0, 1),
      drift(T0 + hour, 2, { revision: generation + 4 }),
      drift(T0 + 2 * hour, null),
      // without a counterpart
      drift(T0 + 40 * hour, 7),
      // outside of the time
      drift(T0 - hour, 8),
    ])
    await own.insert('drift', [
      drift(T0, 1),
      drift(T0 + hour, 2.5),
      drift(T0 + 2 * hour, 0.1),
      drift(T0 + 30 * hour, 3),
    ])
    const written = await publish(settings())
    expect(written[0]).toEqual({ table: 'drift', added: 1, changed: 2, same: 1, stay: 1 })
    const after = [
      [-1, 8, 1],
      [0, 1, 1],
      [1, 2.5, generation + 5],
      [2, 0.1, 2],
      [30, 3, 1],
      [40, 7, 1],
    ]
    expect(await seen()).toEqual(after)
    // cut short and called again
    expect((await publish(settings()))[0]).toMatchObject({ added: 0, changed: 0, same: 4 })
    expect(await seen()).toEqual(after)
    // live corrects a window: its next revision is the one that the backfill took
    await live.insert('drift', [drift(T0 + 2 * hour, 0.2, { revision: 2 })])
    expect((await seen())[3]).toEqual([2, 0.2, 2])
    await dropRows(settings())
    const runs = await live.query(`SELECT DISTINCT run FROM freshet.drift`)
    expect(runs).toEqual([{ run: 'live' }])
    expect((await publish(settings()))[0]).toMatchObject({ added: 0, changed: 0, same: 0 })
  })

  it('keeps of an example what only the live system knew', async () => {
    const example = (given: TableRow): TableRow => ({
      ts: T0 + hour,
      user: 'u',
      user_key: 'k',
      request: 'r',
      item: 'i',
      experiments: { a: 'b' },
      revision: 1,
      ...given,
    })
    await live.insert('examples', [
      example({ features: [1, 2], feature_hash: 'h', label: 0 }),
      example({ item: 'j', features: [3, 4], feature_hash: 'h', label: 1 }),
    ])
    await own.insert('examples', [
      example({ features: [], feature_hash: '', label: 1, target: 0.5 }),
      example({ item: 'j', features: [], feature_hash: '', label: 1 }),
    ])
    const [, written] = await publish(settings())
    expect(written).toEqual({ table: 'examples', added: 0, changed: 1, same: 1, stay: 0 })
    expect(
      await live.query(
        `SELECT item, features, feature_hash, label, target, experiments FROM freshet.v_examples ORDER BY item`,
      ),
    ).toEqual([
      {
        item: 'i',
        features: [1, 2],
        feature_hash: 'h',
        label: 1,
        target: 0.5,
        experiments: { a: 'b' },
      },
      {
        item: 'j',
        features: [3, 4],
        feature_hash: 'h',
        label: 1,
        target: null,
        experiments: { a: 'b' },
      },
    ])
  })

  it('U4: brings nothing back of a user that live has erased meanwhile', async () => {
    await sql.command(
      `INSERT INTO freshet.erasures (run, pseudonym, asked, store, revision) SELECT 'live', user, ts + INTERVAL 1 HOUR, 'examples', 1 FROM freshet.examples WHERE run = 'live' LIMIT 1`,
    )
    await sql.command(
      `ALTER TABLE freshet.examples DELETE WHERE run = 'live' SETTINGS mutations_sync = 1`,
    )
    const [, written] = await publish(settings())
    expect(written).toEqual({ table: 'examples', added: 0, changed: 0, same: 0, stay: 0 })
    await sql.command('TRUNCATE TABLE freshet.erasures')
    expect((await publish(settings()))[1]).toMatchObject({ added: 2 })
  })

  it('shows no row twice while live writes on', async () => {
    let doubles = 0
    let stop = false
    const writing = (async () => {
      for (let i = 0; !stop; i++)
        await live.insert('drift', [drift(T0 + 60 * hour + (i % 50) * hour, i, { revision: i })])
    })()
    const watching = (async () => {
      while (!stop) {
        const [{ n }] = await live.query<{ n: number }>(
          `SELECT count() - uniqExact(subject, segment, window_start, profile, statistic) AS n FROM freshet.v_drift`,
        )
        doubles += Number(n)
      }
    })()
    for (let round = 0; round < 5; round++) {
      await own.insert(
        'drift',
        Array.from({ length: 48 }, (_, k) => drift(T0 + k * hour, round + k / 100)),
      )
      await publish(settings())
      await dropRows(settings())
    }
    stop = true
    await Promise.all([writing, watching])
    expect(doubles).toBe(0)
    const found = await seen()
    for (let k = 0; k < 48; k++) expect(found.find(([at]) => at === k)?.[1]).toBe(4 + k / 100)
  })
})

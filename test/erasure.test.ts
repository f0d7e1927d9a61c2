/** An erasure through a whole worker: embedded log and views, the real ClickHouse engine behind a server. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { allOptions } from '../bin/all-options.ts'
import { namesOf, openSchemas } from '../bin/compose.ts'
import { type RunningWorker, startWorker } from '../bin/worker.ts'
import { silentLogger } from '../streams/log.ts'
import { noMetrics } from '../streams/metrics.ts'
import { resolveOptions } from '../streams/options.ts'
import { pseudonym } from '../topologies/labels/pseudonym.ts'
import { type ClickHouseProcess, spawnClickHouseHttp } from './support/clickhouse-http.ts'
import { impression, type JsonEvent } from './support/user-task.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-erasure-'))
const key = 'the key of this test'
let server: ClickHouseProcess
beforeAll(async () => {
  server = await spawnClickHouseHttp({ directory: join(folder, 'clickhouse') })
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

function valuesOf(eraseEvery: string) {
  const flags = {
    'data.dir': join(folder, 'data'),
    'clickhouse.url': server.url,
    'clickhouse.flushMs': '50',
    'clickhouse.eraseEvery': eraseEvery,
    'slates.share': '1',
    'catalog.required': 'false',
    'privacy.pseudonymKey': key,
  }
  return resolveOptions(allOptions, { flags, environment: {}, file: {} }).values
}

function start(eraseEvery: string): Promise<RunningWorker> {
  return startWorker({ values: valuesOf(eraseEvery), log: silentLogger, metrics: noMetrics })
}

const now = Date.now()
const shown = (user: string, n: number): JsonEvent =>
  impression(user, `i${n}`, now - 60_000 + n, { requestId: `r${n}`, consent: 'full' })

async function publish(
  worker: RunningWorker,
  topic: string,
  records: readonly { key: string; value: Buffer }[],
): Promise<void> {
  const publisher = worker.transport.publisher()
  const outside = records.map(record => ({ key: Buffer.from(record.key), value: record.value }))
  await publisher.send(namesOf(valuesOf('1s')).outside(topic), outside)
  await publisher.close()
}

const show = (worker: RunningWorker, events: readonly JsonEvent[]): Promise<void> =>
  publish(
    worker,
    'events',
    events.map(event => ({ key: event.userId, value: Buffer.from(JSON.stringify(event)) })),
  )

async function erase(worker: RunningWorker, userId: string): Promise<void> {
  const around = { values: valuesOf('1s'), log: silentLogger, metrics: noMetrics }
  const { encoder } = await openSchemas(around)
  const value = encoder.encode('Erasure', { eventId: `erase ${userId}`, userId, ts: Date.now() })
  await publish(worker, 'erasures', [{ key: userId, value }])
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within a minute: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

async function rowsOf(worker: RunningWorker, table: string, user: string): Promise<number> {
  const [{ n }] = await worker.tables!.query<{ n: unknown }>(
    `SELECT count() AS n FROM freshet.${table} WHERE user = '${pseudonym(user, key)}'`,
  )
  return Number(n)
}

async function doneOf(worker: RunningWorker, user: string) {
  const rows = await worker.tables!.query<Record<'store' | 'found' | 'removed' | 'after', unknown>>(
    `SELECT store, found, removed, found_after AS after FROM freshet.v_erasures
     WHERE pseudonym = '${pseudonym(user, key)}' AND done IS NOT NULL ORDER BY store`,
  )
  return rows.map(row => [row.store, Number(row.found), Number(row.removed), Number(row.after)])
}

describe('an erasure', () => {
  it("leaves nothing of the user, others' rows stay; one that was under way is carried out by the next worker", async () => {
    let worker = await start('50ms')
    await show(
      worker,
      ['u', 'v', 'w'].flatMap(user => [0, 1, 2].map(n => shown(user, n))),
    )
    for (const user of ['u', 'v', 'w']) {
      await until('examples', async () => (await rowsOf(worker, 'examples', user)) === 3)
      await until('slates', async () => (await rowsOf(worker, 'slates', user)) > 0)
      expect(await worker.views!.json(`topk:home:u:${user}`)).not.toBeNull()
    }
    const slates = await rowsOf(worker, 'slates', 'u')
    await erase(worker, 'u')
    await until('proof', async () => (await doneOf(worker, 'u')).length === 4)
    expect(await doneOf(worker, 'u')).toEqual([
      ['changelog', 4, 4, 0],
      ['examples', 3, 3, 0],
      ['redis', 2, 2, 0],
      ['slates', slates, slates, 0],
    ])
    expect(await rowsOf(worker, 'examples', 'u')).toBe(0)
    expect(await rowsOf(worker, 'slates', 'u')).toBe(0)
    expect(await rowsOf(worker, 'examples', 'v')).toBe(3)
    expect(await worker.views!.json('topk:home:u:u')).toBeNull()
    await worker.close()

    worker = await start('1h')
    // some of it in the same commit as the erasure, or not yet stored when the worker goes
    await show(worker, [shown('v', 3), shown('v', 4)])
    await erase(worker, 'v')
    await until('removal', async () => (await worker.views!.json('topk:home:u:v')) === null)
    expect(await rowsOf(worker, 'examples', 'v')).toBeGreaterThan(0)
    await worker.close()

    worker = await start('50ms')
    await until('proof', async () => (await doneOf(worker, 'v')).length === 4)
    expect(await rowsOf(worker, 'examples', 'v')).toBe(0)
    expect(await rowsOf(worker, 'slates', 'v')).toBe(0)
    expect(await rowsOf(worker, 'examples', 'w')).toBe(3)
    expect(
      (await doneOf(worker, 'v')).map(([, found, removed, after]) => [found, removed, after]),
    ).toEqual((await doneOf(worker, 'v')).map(([, found]) => [found, found, 0]))
    await worker.close()
  })

  it('is asked for by the command, which says what came of it', async () => {
    const call = (...more: string[]) =>
      spawnSync(process.execPath, ['--import', 'tsx', 'bin/main.ts', 'erase', 'w', ...more], {
        encoding: 'utf8',
        env: {
          ...process.env,
          NO_COLOR: '1',
          FRESHET_DATA_DIR: join(folder, 'data'),
          FRESHET_CLICKHOUSE_URL: server.url,
          FRESHET_PRIVACY_PSEUDONYM_KEY: key,
        },
      })
    expect(call('--wait', 'long').status).toBe(2)
    // nothing runs that could carry it out
    const waited = call('--wait', '1s', '--reason', 'a test')
    expect([waited.status, waited.stdout]).toEqual([
      3,
      expect.stringMatching(/not done within 1.0 s/),
    ])
    const worker = await start('50ms')
    await until('proof', async () => (await doneOf(worker, 'w')).length === 4)
    expect(await rowsOf(worker, 'examples', 'w')).toBe(0)
    await worker.close()
    const { status, stdout } = call('--wait', '0', '--json')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      user: 'w',
      pseudonyms: [pseudonym('w', key)],
      stores: null,
    })
  })
})

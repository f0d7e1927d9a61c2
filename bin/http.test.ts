/** Health, readiness and metrics of a whole worker on embedded parts, over HTTP. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Encoder, SchemaRegistry } from '../schemas/index.ts'
import { silentLogger } from '../streams/log.ts'
import { resolveOptions } from '../streams/options.ts'
import { startRegistry } from '../test/support/registry.ts'
import { allOptions } from './all-options.ts'
import { serveHealth } from './http.ts'
import { PrometheusMetrics } from './metrics.ts'
import { startWorker } from './worker.ts'

const cleanups: (() => Promise<unknown> | undefined)[] = []

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

async function start(schemaRegistry: string) {
  const dir = mkdtempSync(join(tmpdir(), 'freshet-http-'))
  cleanups.push(async () => rmSync(dir, { recursive: true, force: true }))
  const flags = {
    'data.dir': dir,
    'clickhouse.url': 'none',
    'topics.partitions': '2',
    'schemaRegistry.url': schemaRegistry,
  }
  const { values } = resolveOptions(allOptions, { flags, environment: {}, file: {} })
  const metrics = new PrometheusMetrics()
  const running = await startWorker({ values, log: silentLogger, metrics })
  cleanups.push(() => running.close())
  const health = await serveHealth(0, running.worker, metrics)
  cleanups.push(() => health.close())
  const get = (path: string) => fetch(`http://127.0.0.1:${health.port}${path}`)
  const send = (key: string, value: Buffer) =>
    running.transport.publisher().send('freshet.events', [{ key: Buffer.from(key), value }])
  return { get, send }
}

interface Health {
  readonly status: string
  readonly waitingFor: readonly string[]
  readonly tasks: readonly { task: string; state: string }[]
}

/** Asks until the answer is as wanted; the test's own time limit ends it otherwise. */
async function until(
  get: () => Promise<Response>,
  wanted: (text: string, code: number) => boolean,
) {
  for (;;) {
    const response = await get()
    const text = await response.text()
    if (wanted(text, response.status)) return text
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

const watch = (userId: string) => ({
  eventId: `e-${userId}`,
  userId,
  itemId: 'i1',
  ts: Date.now(),
  consent: 'full' as const,
  playId: 'p1',
  watchedMs: 31_000,
  durationMs: 60_000,
})

describe('health of a worker', () => {
  it('is ready once all tasks run, and counts what it takes in', async () => {
    const { get, send } = await start('mock://http-test')
    const ready = JSON.parse(
      await until(
        () => get('/readyz'),
        (_, code) => code === 200,
      ),
    ) as Health
    expect(ready).toMatchObject({ status: 'ready', waitingFor: [] })
    expect(ready.tasks.map(task => task.task)).toEqual(
      expect.arrayContaining(['user-0', 'user-1', 'item-0', 'item-1']),
    )
    const healthy = await get('/healthz')
    expect(healthy.status).toBe(200)
    expect(((await healthy.json()) as Health).status).toBe('ok')

    for (const user of ['u1', 'u2', 'u3'])
      await send(user, Buffer.from(JSON.stringify({ type: 'watch', ...watch(user) })))
    await send('u4', Buffer.from('not an event'))
    const text = await until(
      () => get('/metrics'),
      body =>
        /freshet_events_total\{topology="user",type="watch"\} 3/.test(body) &&
        /freshet_dead_letters_total\{reason="DECODE_FAILED"\} 1/.test(body) &&
        /freshet_freshness_seconds_count\{output="[^"]+"\} [1-9]/.test(body),
    )
    expect(text).toMatch(/# TYPE freshet_commit_seconds histogram/)
    const lags = await until(
      () => get('/metrics'),
      body =>
        /freshet_lag_records\{topic="freshet.events",partition="\d"\} 0/.test(body) &&
        !/freshet_lag_records\{[^}]*\} [1-9]/.test(body),
    )
    expect(lags).toContain('freshet_lag_records{topic="freshet.erasures"')
  })

  it('is healthy but not ready while the schema registry does not give a schema, and says so', async () => {
    let registry = await startRegistry()
    const port = Number(new URL(registry.url).port)
    cleanups.push(() => registry.close())
    const { get, send } = await start(registry.url)
    await until(
      () => get('/readyz'),
      (_, code) => code === 200,
    )

    const client = new SchemaRegistry({ url: registry.url })
    const encoder = await Encoder.open(client, 'freshet.')
    const value = encoder.encode('Watch', watch('u1'))
    client.close()
    await registry.close()
    await send('u1', value)
    const text = await until(
      () => get('/readyz'),
      (_, code) => code === 503,
    )
    expect((JSON.parse(text) as Health).waitingFor).toEqual([
      expect.stringMatching(/schema \d+ since .*did not answer/),
    ])
    expect((await get('/healthz')).status).toBe(200)
    const gauges = await (await get('/metrics')).text()
    expect(gauges).toMatch(/freshet_waiting\{dependency="schemas"\} 1/)
    expect(gauges).toMatch(/freshet_waiting\{dependency="embedded"\} 0/)

    registry = await startRegistry(port)
    const again = new SchemaRegistry({ url: registry.url })
    // it gives ids in order, so the same registrations give the same ids
    await again.registerAll('freshet.')
    again.close()
    await until(
      () => get('/readyz'),
      (_, code) => code === 200,
    )
    await until(
      () => get('/metrics'),
      body => /freshet_events_total\{topology="user",type="watch"\} 1/.test(body),
    )
  })
})

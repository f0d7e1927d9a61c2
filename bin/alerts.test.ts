/** Alerts on their way out of a process: the topic's record, and the alarms over its own rows of `pipeline`. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Encoder, SchemaRegistry } from '../schemas/index.ts'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import { silentLogger } from '../streams/log.ts'
import type { OutsideRecord, Publisher } from '../streams/transport/port.ts'
import { madeTables } from '../test/support/tables.ts'
import { ruleFile, rulesInForce } from '../topologies/alerts/rule-file.ts'
import { PipelineAlerts } from './alerts-pipeline.ts'
import { alertPublisher } from './alerts-publisher.ts'
import type { PostedAlert, Webhook } from './alerts-webhook.ts'

const folder = mkdtempSync(join(tmpdir(), 'freshet-alerts-'))
const registry = new SchemaRegistry({ url: 'mock://alerts-test', log: silentLogger })
let store: ClickHouseStore
let encoder: Encoder

beforeAll(async () => {
  encoder = await Encoder.open(registry, 'freshet.')
  store = await madeTables(folder)
})
afterAll(async () => {
  registry.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

function outlet() {
  const sent: { topic: string; record: OutsideRecord }[] = []
  const posted: PostedAlert[] = []
  const inner: Publisher = {
    send: async (topic, records) => void sent.push(...records.map(record => ({ topic, record }))),
    close: async () => undefined,
  }
  const webhook = { offer: (alerts: PostedAlert[]) => void posted.push(...alerts) }
  const publisher = alertPublisher(inner, {
    topic: 'freshet.alerts',
    encoder,
    webhook: webhook as unknown as Webhook,
  })
  return { sent, posted, publisher }
}

describe('an alert', () => {
  it('is a freshet.Alert on the topic and JSON at the webhook, with the same id; other topics pass', async () => {
    const { sent, posted, publisher } = outlet()
    const alert = {
      rule: 'drift_1m',
      subject: 'a[surface=home]',
      since: 1_790_000_000_000,
      until: null,
      value: 0.3,
      threshold: 0.1,
      message: 'moved',
      query: 'SELECT 1',
    }
    await publisher.send('freshet.alerts', [
      { key: Buffer.from('a'), value: Buffer.from(JSON.stringify(alert)), headers: { id: 'x/1' } },
    ])
    await publisher.send('freshet.dead-letters', [{ key: null, value: Buffer.from('as it came') }])
    expect(String(sent[1].record.value)).toBe('as it came')
    const { record } = sent[0]
    expect(record.headers).toEqual({ id: 'x/1' })
    expect(record.value).toEqual(encoder.encode('Alert', { ...alert, eventId: 'x/1' }))
    expect(posted).toEqual([
      { ...alert, eventId: 'x/1', state: 'raised', ratio: expect.closeTo(3, 9) },
    ])
  })
})

describe('alarms of the pipeline', () => {
  const rules = rulesInForce(
    [],
    ruleFile.parse({
      rules: [
        {
          name: 'slow',
          table: 'pipeline',
          column: 'freshness_p99',
          above: 1_000,
          raise: 2,
          clear: 2,
        },
      ],
    }),
  )
  const t0 = 1_790_000_000_000
  const row = (k: number, partition: number, freshness: number | null) => ({
    time: t0 + k * 10_000,
    topology: 'user',
    partition,
    lag: 0,
    events_per_second: 1,
    freshness_p50: null,
    freshness_p99: freshness,
    dead_letters: 0,
    late: 0,
    duplicates: 0,
    revision: 1,
  })
  const processOf = (tables: ClickHouseStore | null) => {
    const { posted, publisher } = outlet()
    const topic = 'freshet.alerts'
    const settings = { rules, database: 'freshet', publisher, topic, tables, log: silentLogger }
    return { posted, alerts: new PipelineAlerts(settings) }
  }
  const table = () =>
    store.query<{ subject: string; open: number; query: string }>(
      "SELECT subject, until IS NULL AS open, query FROM freshet.v_alerts WHERE rule = 'slow' ORDER BY subject",
    )

  it('are raised, stand in the table with a query that runs, and are ended by the process that has the task then', async () => {
    const before = processOf(store)
    for (let k = 0; k < 3; k++) {
      const rows = [row(k, 0, 2_000), row(k, 1, 10), row(k, 2, null)]
      await store.insert('pipeline', rows)
      await before.alerts.judge(rows)
    }
    expect(before.posted.map(({ subject, state, since }) => [subject, state, since])).toEqual([
      ['user-0', 'raised', t0],
    ])
    const [open] = await table()
    expect(open).toMatchObject({ subject: 'user-0', open: 1 })
    expect(await store.query(open.query)).toHaveLength(3)

    const after = processOf(store)
    for (let k = 3; k < 6; k++) await after.alerts.judge([row(k, 0, 10), row(k, 1, 10)])
    expect(after.posted).toMatchObject([
      { subject: 'user-0', state: 'cleared', since: t0, until: t0 + 40_000 },
    ])
    expect(await table()).toMatchObject([{ subject: 'user-0', open: 0 }])
    // the first one no longer has the task, and does not end the alarm again when it is back
    await before.alerts.judge([row(6, 1, 10)])
    for (let k = 7; k < 10; k++) await before.alerts.judge([row(k, 0, 10)])
    expect(before.posted).toHaveLength(1)
  })

  it('are told once the topic takes them, and taken over once the table answers', async () => {
    const told: string[] = []
    let fails = true
    let away = true
    const opened = {
      rule: 'slow',
      subject: 'user-7',
      since: t0,
      threshold: 1_000,
      query: 'SELECT 1',
    }
    const alerts = new PipelineAlerts({
      rules,
      database: 'freshet',
      publisher: {
        async send(_topic, records) {
          if (fails) throw new Error('no broker')
          told.push(...records.map(({ headers }) => String(headers?.id)))
        },
        close: async () => undefined,
      },
      topic: 'freshet.alerts',
      tables: {
        // as while the store is away: nothing comes back
        insert: () => (away ? new Promise<void>(() => undefined) : Promise.resolve()),
        query: async <T>() => [opened] as T[],
        waiting: () => (away ? 'ClickHouse' : undefined),
      },
      log: silentLogger,
    })
    for (let k = 0; k < 2; k++) await alerts.judge([row(k, 0, 2_000), row(k, 7, 10)])
    expect(told).toEqual([])
    fails = false
    await alerts.judge([row(2, 0, 2_000), row(2, 7, 10)])
    expect(told).toEqual([`slow/user-0/${t0}/open`])
    away = false
    for (let k = 3; k < 5; k++) await alerts.judge([row(k, 0, 2_000), row(k, 7, 10)])
    expect(told.slice(1)).toEqual([`slow/user-7/${t0}/${t0 + 40_000}`])
  })

  it('go without tables too', async () => {
    const { posted, alerts } = processOf(null)
    for (let k = 0; k < 2; k++) await alerts.judge([row(k, 0, 2_000)])
    expect(posted).toHaveLength(1)
  })
})

/**
 * What freshet leans on goes away in mid-stream and comes back: ClickHouse, the schema registry, the brokers, then all at
 * once. Lists and sessions stay fresh without ClickHouse; nothing is lost or doubled; the log has one line when a thing goes
 * and one when it is back; the process stays healthy and says that it is not ready.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import type { Run } from '../e2e/command.ts'
import { eventually } from '../e2e/setting.ts'
import { type ClickHouseProcess, spawnClickHouseHttp } from '../support/clickhouse-http.ts'
import { FaultDeployment } from '../support/faults/deployment.ts'
import { startProxy, type TcpProxy } from '../support/proxy.ts'
import { startRegistry } from '../support/registry.ts'

const AWAY_MS = process.env.FRESHET_FAULTS_SHORT ? 10_000 : 30_000
const PATIENCE_MS = 120_000

interface Health {
  readonly waitingFor: readonly string[]
}

describe('what freshet leans on, gone for a while', () => {
  const cleanups: (() => unknown)[] = []
  let deployment: FaultDeployment
  let clickhouse: ClickHouseProcess
  let tables: TcpProxy
  let schemas: TcpProxy
  let run: Run

  afterEach(async () => {
    await Promise.all([tables?.set('pass'), schemas?.set('pass')])
    deployment?.kafka?.thaw()
    await deployment?.close()
    for (const clean of cleanups.splice(0).reverse()) await clean()
  })

  async function begin(): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), 'freshet-outages-'))
    cleanups.push(() => rmSync(directory, { recursive: true, force: true }))
    clickhouse = await spawnClickHouseHttp({ directory })
    cleanups.push(() => clickhouse.stop('SIGKILL'))
    const registry = await startRegistry()
    cleanups.push(() => registry.close())
    tables = await startProxy(Number(new URL(clickhouse.url).port))
    schemas = await startProxy(Number(new URL(registry.url).port))
    cleanups.push(
      () => tables.close(),
      () => schemas.close(),
    )
    deployment = await FaultDeployment.open({
      clickhouse: false,
      variables: {
        FRESHET_CATALOG_REQUIRED: 'false',
        FRESHET_CLICKHOUSE_URL: `http://${tables.address}`,
        FRESHET_SCHEMA_REGISTRY_URL: `http://${schemas.address}`,
      },
    })
    run = await deployment.run()
  }

  const ask = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${run.ports.at(-1)}${path}`)

  /** The process lives, is not ready, and says what for. */
  async function expectWaiting(what: RegExp): Promise<void> {
    await eventually(async () => {
      const response = await ask('/readyz')
      expect(response.status).toBe(503)
      const { waitingFor } = (await response.json()) as Health
      expect(waitingFor).toContainEqual(expect.stringMatching(what))
      for (const line of waitingFor) expect(line).toMatch(/since /)
    }, PATIENCE_MS)
    expect((await ask('/healthz')).status).toBe(200)
  }

  const expectReady = () =>
    eventually(async () => expect((await ask('/readyz')).status).toBe(200), PATIENCE_MS)

  const linesLike = (pattern: RegExp): number =>
    run.log.filter(line => pattern.test(line.msg)).length

  const version = async (): Promise<string | null> =>
    deployment.setting.redis.get(deployment.setting.key('pop:at'))

  /** A watch whose schema id no process has met. */
  async function sendAvro(): Promise<void> {
    const client = new SchemaRegistry({
      url: String(deployment.setting.variables.FRESHET_SCHEMA_REGISTRY_URL),
    })
    const encoder = await Encoder.open(
      client,
      String(deployment.setting.variables.FRESHET_TOPICS_PREFIX),
    )
    client.close()
    const value = encoder.encode('Feedback', {
      eventId: 'avro',
      userId: 'avro-user',
      itemId: 'i1',
      ts: deployment.story.at,
      consent: 'none',
      kind: 'click',
    })
    await schemas.set('refuse')
    await deployment.setting.producer.send({
      topic: deployment.setting.topic('events'),
      messages: [{ key: 'avro-user', value }],
    })
  }

  it('ClickHouse, the registry, the brokers and all of them at once', async () => {
    await begin()
    const telling = deployment.tell({ perSecond: 400 })
    await telling.more(2_000)

    await tables.set('refuse')
    await expectWaiting(/ClickHouse/)
    await sleep(AWAY_MS)
    // many commits later sessions and popularity are still fresh: no block of rows holds them up
    const before = await version()
    await telling.more(1_000)
    await eventually(async () => expect(await version()).not.toBe(before), 10_000)
    await tables.set('pass')
    await expectReady()
    expect(linesLike(/ClickHouse does not take rows/)).toBe(1)
    expect(linesLike(/ClickHouse takes rows again/)).toBe(1)

    await sendAvro()
    await expectWaiting(/schema \d+ since/)
    await sleep(AWAY_MS / 3)
    await schemas.set('pass')
    await expectReady()
    expect(linesLike(/waiting for a schema/)).toBe(1)
    expect(linesLike(/gives schemas again/)).toBe(1)

    await deployment.kafka?.freeze()
    await expectWaiting(/since/)
    await sleep(AWAY_MS / 2)
    deployment.kafka?.thaw()
    await expectReady()
    await telling.more(500)
    await sleep(2_000)
    expect(linesLike(/^waiting for Kafka/)).toBe(1)
    expect(linesLike(/^Kafka answers again/)).toBe(1)

    await Promise.all([tables.set('hold'), schemas.set('hold')])
    await deployment.kafka?.freeze()
    await sleep(AWAY_MS / 2)
    deployment.kafka?.thaw()
    await Promise.all([tables.set('pass'), schemas.set('pass')])
    await expectReady()
    await telling.more(1_000)
    await telling.stop()
    await deployment.expectAllEqual()
    expect(linesLike(/ClickHouse does not take rows/)).toBeLessThanOrEqual(2)
    const warnings = run.log.filter(line => Number(line.level) >= 40)
    expect(warnings.length, warnings.map(line => line.msg).join('\n')).toBeLessThan(20)
    expect(await run.stop(), run.output).toBe(0)
  }, 600_000)
})

/** The main job from end to end: a rating log through Kafka to Redis and ClickHouse, held to a recount. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerOf, endRuns, Run } from './command.ts'
import { expectKnownKeys, expectLists, expectPopularity, expectSessions } from './expectations.ts'
import { cutRealLog, howToGetIt, realLog, simulateLog } from './rating-log.ts'
import { type Play, playsOf } from './recount.ts'
import { eventually, Setting } from './setting.ts'

/** Enough for full windows of a week; FRESHET_WHOLE=1 takes all 100,000. */
const CUT = process.env.FRESHET_WHOLE === '1' ? Number.POSITIVE_INFINITY : 8_000
const SIMULATED = 4_000
const PATIENCE_MS = process.env.FRESHET_WHOLE === '1' ? 300_000 : 60_000

const name = realLog
  ? 'the MovieTweetings log through freshet import and freshet run'
  : `a simulated rating log through freshet import and freshet run (MovieTweetings ${howToGetIt})`

describe(name, () => {
  let setting: Setting
  let run: Run
  let plays: Play[]

  beforeAll(async () => {
    setting = await Setting.open({ clickhouse: true })
    const folder = join(setting.cwd, 'log')
    const file = realLog ? cutRealLog(realLog, folder, CUT) : simulateLog(folder, SIMULATED)
    plays = playsOf(readFileSync(file, 'utf8'))
    await answerOf(setting, 'topics', 'create')
    const sent = await answerOf(setting, 'import', file, '--format', 'movietweetings')
    expect(sent).toMatchObject({ events: plays.length, bad: [] })
    run = await new Run(setting).ready()
    await setting.taken('events', 'items')
  }, 600_000)

  afterAll(async () => {
    await endRuns()
    await setting?.close()
  })

  it("makes every user's session equal the recount", async () => {
    await eventually(() => expectSessions(setting, plays), PATIENCE_MS)
  }, 400_000)

  it('makes every popularity window equal the recount at pop:at', async () => {
    await eventually(() => expectPopularity(setting, plays), PATIENCE_MS)
  }, 400_000)

  it('gives users lists of what they have not finished, with propensities', async () => {
    await eventually(() => expectLists(setting, plays), PATIENCE_MS)
  }, 400_000)

  it('writes only keys that the contract names, each with a life but blocked and pop:at', async () => {
    await expectKnownKeys(setting)
  }, 60_000)

  it('counts no event twice, none as late, and has no dead letters', async () => {
    const metrics = await run.metrics()
    expect(metrics).not.toMatch(/^freshet_(late|duplicates)_total\S* [^0]/m)
    expect(await setting.deadLetters()).toEqual([])
    const watches = /^freshet_events_total\{(?=[^}]*type="watch")[^}]*\} (\d+)$/m.exec(metrics)
    expect(Number(watches?.[1])).toBe(plays.length)
  }, 60_000)

  it('fills tables whose views have no doubles', async () => {
    const tables = await setting.rows<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = 'freshet' AND name NOT LIKE 'v_%'",
    )
    const keys = await setting.rows<{ name: string; sorting_key: string }>(
      "SELECT name, sorting_key FROM system.tables WHERE database = 'freshet' AND engine LIKE 'Replacing%' AND name != 'migrations'",
    )
    expect(tables.map(table => table.name)).toEqual(
      expect.arrayContaining(['drift', 'histograms', 'examples', 'alerts', 'pipeline']),
    )
    await eventually(async () => {
      const [{ n }] = await setting.rows<{ n: string }>(
        'SELECT count() AS n FROM freshet.v_histograms',
      )
      expect(Number(n), 'histograms of windows that have ended').toBeGreaterThan(0)
    }, PATIENCE_MS)
    for (const { name: table, sorting_key } of keys) {
      const [{ n, distinct }] = await setting.rows<{ n: string; distinct: string }>(
        `SELECT count() AS n, uniqExact(${sorting_key}) AS distinct FROM freshet.v_${table}_runs`,
      )
      expect(n, `rows of v_${table} and their natural keys`).toBe(distinct)
    }
  }, 400_000)

  it('stops on SIGTERM with everything committed', async () => {
    expect(await run.stop(), run.output).toBe(0)
    expect(await setting.lag('events', 'items')).toBe(0)
  }, 60_000)
})

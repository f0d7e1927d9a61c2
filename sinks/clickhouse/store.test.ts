import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { type ClickHouseProcess, spawnClickHouseHttp } from '../../test/support/clickhouse-http.ts'
import { migrations } from './migrate.ts'
import { type ClickHouseStore, createClickHouseStore } from './store.ts'

const base = {
  database: 'freshet',
  run: 'live',
  log: silentLogger,
  metrics: noMetrics,
  clock: systemClock,
  flushMs: 20,
}
const folder = mkdtempSync(join(tmpdir(), 'freshet-clickhouse-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const at = 1_790_000_000_123
const pipelineRow = (topology: string, revision = 1, lag = 0) => ({
  time: at,
  topology,
  partition: 0,
  lag,
  events_per_second: 1.5,
  revision,
})

let server: ClickHouseProcess

/** The same expectations of the embedded engine and of a server in another process. */
function behaves(open: () => Promise<ClickHouseStore>): void {
  let store: ClickHouseStore
  beforeAll(async () => {
    store = await open()
  })
  afterAll(() => store.close())

  it('migrates once', async () => {
    expect(await store.migrate()).toEqual(migrations.map(each => each.number))
    expect(await store.migrate()).toEqual([])
    const views = await store.query<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = 'freshet' AND engine = 'View' ORDER BY name",
    )
    expect(views.map(each => each.name)).toContain('v_drift')
    expect(views.map(each => each.name)).toContain('v_slates_runs')
    for (const { name } of views) await store.query(`SELECT * FROM freshet.${name}`)
  })

  it('reads back what every kind of column was given', async () => {
    const row = {
      ts: at,
      request: 'r1',
      user: 'pseudonym',
      user_key: 'k1',
      item: 'größe "x" \\ \n',
      position: 3,
      propensity: 0.125,
      policy: 'blend',
      model: '',
      surface: 'home',
      cohort: '',
      experiments: { rank7: 'b' },
      explore: true,
      source: 'covisit',
      list_version: '',
      feature_hash: 'f',
      features: [0.5, 1],
      prediction: null,
      label: 1,
      graded: 0.5,
      watched_ms: 30_000,
      clicked: true,
      completed: false,
      returned: null,
      feedback: ['like'],
      graded_quantile: 0.625,
      target: 0.75,
      revision: 2,
    }
    await store.insert('examples', [row])
    const [read] = await store.query<Record<string, unknown>>(
      'SELECT *, toUnixTimestamp64Milli(ts) AS ms FROM freshet.v_examples',
    )
    expect(Number(read.ms)).toBe(at)
    const plain = { ts: at, watched_ms: Number(read.watched_ms), revision: Number(read.revision) }
    expect({ ...read, ...plain }).toEqual({ ...row, run: 'live', ms: read.ms })
  })

  it('repeated blocks change nothing that a view shows, corrections replace, runs stay apart', async () => {
    const rows = [pipelineRow('a'), pipelineRow('b')]
    await store.insert('pipeline', rows)
    await store.insert('pipeline', rows)
    await store.insert('pipeline', [pipelineRow('b', 2, 7)])
    // an older revision that comes late
    await store.insert('pipeline', [pipelineRow('b', 1, 0)])
    expect(
      await store.query(
        'SELECT topology, toUInt32(lag) AS lag FROM freshet.v_pipeline ORDER BY topology',
      ),
    ).toEqual([
      { topology: 'a', lag: 0 },
      { topology: 'b', lag: 7 },
    ])
  })

  it('rows of many small inserts become few blocks', async () => {
    const partsBefore = await parts(store)
    await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        store.insert('erasures', [{ pseudonym: `p${i}`, asked: at, store: 's', revision: 1 }]),
      ),
    )
    expect((await parts(store)) - partsBefore).toBeLessThanOrEqual(2)
    const [{ n }] = await store.query<{ n: number }>(
      'SELECT toUInt32(count()) AS n FROM freshet.v_erasures',
    )
    expect(n).toBe(200)
  })

  it('a row that can never be stored fails its own promise only, and names table and reason', async () => {
    const good = store.insert('models', [{ sha256: 'a', name: 'm', promoted_at: at, revision: 1 }])
    const bad = store.insert('models', [
      { sha256: 'b', name: 'm', promoted_at: at, revision: 1 },
      { sha256: 'c', name: 'm', promoted_at: 'yesterday', revision: 1 },
      { sha256: 'd', name: 'm', promoted_at: at, revision: 1 },
    ])
    await expect(bad).rejects.toMatchObject({
      code: 'ROW_REFUSED',
      message: expect.stringMatching(/row 1 for models.*Cannot.*yesterday/s),
    })
    await good
    const unknown = store.insert('models', [{ sha256: 'e', colour: 'red', revision: 1 }])
    await expect(unknown).rejects.toMatchObject({ code: 'ROW_REFUSED' })
    expect(await store.query('SELECT sha256 FROM freshet.v_models ORDER BY sha256')).toEqual(
      ['a', 'b', 'd'].map(sha256 => ({ sha256 })),
    )
    expect(store.waiting()).toBeUndefined()
  })

  it('takes a block that spans more than 100 days', async () => {
    const day = 86_400_000
    await store.insert(
      'slates',
      Array.from({ length: 150 }, (_, i) => ({
        ts: at - i * day,
        list_version: `${i}`,
        user: 'u',
        seed: 2 ** 53 - 1,
        candidates: [{ item: 'i', source: 'knn', weight: 1, features: [1] }],
        list: ['i'],
        propensities: [1],
        revision: 1,
      })),
    )
    const [{ n }] = await store.query<{ n: number }>(
      'SELECT toUInt32(count()) AS n FROM freshet.v_slates',
    )
    expect(n).toBe(150)
  })
}

async function parts(store: ClickHouseStore): Promise<number> {
  const [{ n }] = await store.query<{ n: number }>(
    "SELECT toUInt32(count()) AS n FROM system.parts WHERE database = 'freshet' AND table = 'erasures'",
  )
  return n
}

describe('embedded (chdb)', () => {
  const url = `chdb:${join(folder, 'embedded')}`
  behaves(() => createClickHouseStore({ ...base, url }))

  it('refuses a second directory in one process, and another process with the same one', async () => {
    const first = await createClickHouseStore({ ...base, url })
    await expect(
      createClickHouseStore({ ...base, url: `chdb:${join(folder, 'other')}` }),
    ).rejects.toMatchObject({
      code: 'DEPENDENCY_UNSUITABLE',
      message: expect.stringContaining('one directory a process'),
    })
    const program = `import { connectChdb } from './sinks/clickhouse/connection-chdb.ts'
      try { await connectChdb(${JSON.stringify(join(folder, 'embedded'))}) } catch (e) { console.log(e.code, e.message) }
      process.exit(0)`
    const other = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module'], {
      input: program,
      encoding: 'utf8',
    })
    expect(other.stdout).toMatch(/DEPENDENCY_UNSUITABLE .*another process/)
    await first.close()
  })

  it('shares a directory among runs of one process and refuses a database that is newer', async () => {
    const replay = await createClickHouseStore({ ...base, url, run: 'replay1' })
    await replay.migrate()
    await replay.insert('alerts', [{ rule: 'r', since: at, subject: 's', revision: 1 }])
    expect(await replay.query('SELECT * FROM freshet.v_alerts')).toEqual([])
    expect(await replay.query('SELECT run, subject FROM freshet.v_alerts_runs')).toEqual([
      { run: 'replay1', subject: 's' },
    ])
    await replay.query("INSERT INTO freshet.migrations (number, name) VALUES (99, 'later')")
    await expect(replay.migrate()).rejects.toMatchObject({ code: 'DEPENDENCY_UNSUITABLE' })
    await replay.close()
  })
})

describe('a server in another process', () => {
  const directory = join(folder, 'server')
  beforeAll(async () => {
    server = await spawnClickHouseHttp({ directory })
  })
  afterAll(() => server.stop())
  behaves(() => createClickHouseStore({ ...base, url: server.url }))

  it('waits through a crash and stores what was given meanwhile, once', async () => {
    const store = await createClickHouseStore({ ...base, url: server.url })
    const port = Number(new URL(server.url).port)
    await server.stop('SIGKILL')
    let stored = false
    const insert = store.insert('pipeline', [pipelineRow('outage')]).then(() => {
      stored = true
    })
    while (store.waiting() === undefined) await systemClock.sleep(10)
    expect(store.waiting()).toMatch(/^ClickHouse http.* for pipeline since \d\d:/)
    expect(stored).toBe(false)
    server = await spawnClickHouseHttp({ directory, port })
    await insert
    expect(store.waiting()).toBeUndefined()
    expect(
      await store.query("SELECT topology FROM freshet.v_pipeline WHERE topology = 'outage'"),
    ).toHaveLength(1)
    await store.close()
  })

  it('says in one sentence that nothing listens, and what was wrong with a url', async () => {
    const store = await createClickHouseStore({ ...base, url: 'http://127.0.0.1:9' })
    await expect(store.migrate(0)).rejects.toMatchObject({
      code: 'DEPENDENCY_UNREACHABLE',
      message: expect.stringMatching(/127\.0\.0\.1:9 cannot be reached.*FRESHET_CLICKHOUSE_URL/),
    })
    await store.close()
    for (const url of ['localhost:8123', 'ftp://host', 'nonsense'])
      await expect(createClickHouseStore({ ...base, url })).rejects.toMatchObject({
        code: 'OPTION_INVALID',
      })
  })
})

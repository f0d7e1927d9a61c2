/** `freshet features export`: pyarrow, another implementation of Parquet, reads what was written. */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from '../sinks/clickhouse/connect.ts'
import { exportExamples } from '../sinks/clickhouse/examples-export.ts'
import { createClickHouseStore } from '../sinks/clickhouse/store.ts'
import { systemClock } from '../streams/clock.ts'
import { silentLogger } from '../streams/log.ts'
import { noMetrics } from '../streams/metrics.ts'
import { randomFrom } from '../streams/serde/hash.ts'
import type { TableRow } from '../streams/topology/outbox.ts'
import { featureHash, featureNames } from '../topologies/blend/features.ts'
import { checkModel } from '../topologies/models/check.ts'
import { featureSet } from '../topologies/models/features.ts'
import { openRuntime } from '../topologies/models/onnxruntime.ts'
import { type ClickHouseProcess, spawnClickHouseHttp } from './support/clickhouse-http.ts'
import { runPython } from './support/python.ts'

const pyarrow = 'pyarrow==21.0.0'
const start = Date.UTC(2026, 0, 1)
const hour = 3_600_000
const random = randomFrom(5)

/** Row n was shown n hours after the start. */
function example(n: number, more: TableRow = {}): TableRow {
  const features = Array.from({ length: featureNames.length }, () =>
    random() < 0.4 ? 0 : Math.fround((random() - 0.4) * 10 ** Math.floor(random() * 8 - 5)),
  )
  return {
    revision: 2,
    ts: start + n * hour,
    request: `r${n}`,
    user: 'p',
    user_key: 'k1',
    item: `größe ${n}`,
    position: n % 50,
    propensity: n % 3 === 0 ? null : 1 / (1 + (n % 17)),
    policy: 'blend-pl@1',
    model: '',
    surface: n % 2 === 0 ? 'home' : "watch'next",
    cohort: '',
    experiments: n % 4 === 0 ? { rank7: 'b' } : {},
    explore: n % 5 === 0,
    source: 'covisit',
    list_version: 'v',
    feature_hash: featureHash,
    features,
    prediction: 0.25,
    label: n % 7 === 0 ? null : n % 2,
    graded: 0.5,
    watched_ms: n * 1000,
    clicked: true,
    completed: false,
    returned: null,
    feedback: n % 6 === 0 ? ['like', 'share'] : [],
    graded_quantile: 0.5,
    target: 0.75,
    ...more,
  }
}

const rows = Array.from({ length: 60 }, (_, n) => example(n))
const folder = mkdtempSync(join(tmpdir(), 'freshet-export-'))
const embedded = `chdb:${join(folder, 'embedded')}`
let server: ClickHouseProcess

const base = {
  database: 'freshet',
  run: 'live',
  log: silentLogger,
  metrics: noMetrics,
  clock: systemClock,
  flushMs: 10,
}

async function fill(url: string, given: readonly TableRow[]): Promise<void> {
  const store = await createClickHouseStore({ ...base, url })
  await store.migrate()
  await store.insert('examples', given)
  await store.close()
}

beforeAll(async () => {
  server = await spawnClickHouseHttp({ directory: join(folder, 'server') })
  // an older revision of each: it must not come twice
  const older = rows.map(row => ({ ...row, revision: 1, label: null, target: null }))
  for (const url of [embedded, server.url]) await fill(url, [...older, ...rows])
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const script = `
import json, sys, pyarrow.parquet as pq, pyarrow as pa, struct
given = json.load(sys.stdin)
table = pq.read_table(given["file"])
bits = lambda x: struct.unpack("<I", struct.pack("<f", x))[0]
out = []
for row in table.to_pylist():
    row["ts"] = int(row["ts"].timestamp() * 1000)
    row["experiments"] = dict(row["experiments"])
    row["features"] = [bits(row.pop(name)) for name in given["names"]]
    out.append(row)
print(json.dumps({"rows": out, "types": {f.name: str(f.type) for f in table.schema}}))
`

interface ReadBack {
  readonly rows: readonly TableRow[]
  readonly types: Readonly<Record<string, string>>
}

const readBack = (file: string): ReadBack =>
  runPython(script, { file, names: featureNames }, [pyarrow], 'pyarrow') as ReadBack

const bits = (values: unknown): number[] => [
  ...new Uint32Array(Float32Array.from(values as number[]).buffer),
]

function expected({ run, revision, user_key, ...row }: TableRow): TableRow {
  const weight = Math.min(10, 1 / ((row.propensity as number | null) ?? 1))
  return { ...row, features: bits(row.features), weight }
}

function call(...args: string[]) {
  const program = ['--import', 'tsx', 'bin/main.ts', 'features', 'export', ...args]
  const environment = { ...process.env, NO_COLOR: '1', FRESHET_DATA_DIR: join(folder, 'data') }
  const { status, stdout, stderr } = spawnSync(process.execPath, program, {
    encoding: 'utf8',
    env: environment,
  })
  return { status, stdout, stderr }
}

describe('features export', () => {
  it.each([
    ['the embedded engine', () => embedded],
    ['a server', () => server.url],
  ])('from %s: pyarrow reads every example once, its features bit by bit', async (_, url) => {
    const file = join(folder, 'all.parquet')
    const connection = await connect(url())
    const sizes: number[] = []
    const size = await exportExamples(
      connection,
      { database: 'freshet', from: start, to: start + 60 * hour, labelled: false },
      { hash: featureHash, names: featureNames },
      file,
      n => sizes.push(n),
    )
    await connection.close()
    expect(size).toBeGreaterThan(1_000)
    for (const told of sizes) expect(told).toBeLessThanOrEqual(size)
    const back = readBack(file)
    const order = (a: TableRow, b: TableRow): number => Number(a.ts) - Number(b.ts)
    expect([...back.rows].sort(order)).toEqual(rows.map(expected))
    expect(back.types).toMatchObject({
      ts: 'timestamp[ms, tz=UTC]',
      item: 'string',
      'pop_1h.share': 'float',
      explore: 'bool',
      label: 'float',
    })
  })

  it('takes the time, the surface and what has a label', () => {
    const file = join(folder, 'some.parquet')
    const some = ['--from', '2026-01-01T10:00:00Z', '--to', '2026-01-02T06:00:00Z']
    const of = ['--surface', "watch'next", '--labelled', '--to-file', file, '--json']
    const { status, stdout, stderr } = call(...some, ...of, '--clickhouse.url', server.url)
    expect([status, stderr.match(/freshet:.*/)]).toEqual([0, null])
    const wanted = rows.filter(
      (row, n) => n >= 10 && n < 30 && row.surface !== 'home' && row.label !== null,
    )
    expect(JSON.parse(stdout)).toMatchObject({
      file,
      rows: wanted.length,
      featureHash,
      features: featureNames.length,
      withoutFeatures: 0,
      otherHashes: {},
    })
    const read = readBack(file).rows.map(row => row.request)
    expect(read.sort()).toEqual(wanted.map(row => row.request).sort())
    // a second call replaces the file, and leaves nothing beside it
    expect(call(...some, ...of, '--clickhouse.url', server.url).status).toBe(0)
    expect(readdirSync(folder).filter(name => name.endsWith('.part'))).toEqual([])
  })

  it('refuses features of several registries, says what is without, and writes nothing where nothing matches', async () => {
    const file = join(folder, 'none.parquet')
    await fill(server.url, [
      example(100, { feature_hash: '', features: [] }),
      example(101, { feature_hash: '', features: [] }),
      example(102, { feature_hash: 'another', features: [1, 2] }),
      example(103),
    ])
    const at = (from: number, to: number, ...more: string[]) =>
      call(
        ...['--from', new Date(start + from * hour).toISOString()],
        ...['--to', new Date(start + to * hour).toISOString()],
        ...['--to-file', file, '--clickhouse.url', server.url, ...more],
      )
    const refused = at(100, 104)
    expect(refused.status).toBe(1)
    expect(refused.stderr).toMatch(/1 of another \(2026-01-05 06:00:00 .*1 of today's/)
    expect(existsSync(file)).toBe(false)
    const none = at(200, 204)
    expect([none.status, none.stdout]).toEqual([3, 'no example matches: nothing is written\n'])
    const bare = at(100, 102)
    expect([bare.status, bare.stdout]).toEqual([3, expect.stringMatching(/2 examples without/)])
    expect(existsSync(file)).toBe(false)
    const some = at(100, 104, '--skip-other-hashes')
    expect([some.status, some.stdout]).toEqual([
      0,
      expect.stringMatching(/^1 example with.*left out: 2 without features, 1 with other ones/),
    ])
    expect(readBack(file).rows.map(row => row.request)).toEqual(['r103'])
    expect(call('--from', 'yesterday', '--to', '2026-01-01', '--to-file', file).status).toBe(2)
    const away = call(
      ...['--from', '2026-01-01', '--to', '2026-01-02', '--to-file', file],
      ...['--clickhouse.url', 'http://127.0.0.1:9'],
    )
    expect([away.status, away.stderr]).toEqual([1, expect.stringMatching(/cannot be reached/)])
  })

  it('is what the documented program trains a model from', async () => {
    const [, program] = /```python\n(.*?)```/s.exec(readFileSync('docs/models.md', 'utf8')) ?? []
    const at = join(folder, 'trained')
    mkdirSync(at)
    const connection = await connect(embedded)
    await exportExamples(
      connection,
      { database: 'freshet', from: start, to: start + 60 * hour, labelled: true },
      { hash: featureHash, names: featureNames },
      join(at, 'examples.parquet'),
      () => undefined,
    )
    await connection.close()
    const enter = 'import json, os, sys\nos.chdir(json.load(sys.stdin))\n'
    const packages = [
      ...['protobuf==5.29.5', 'numpy==2.2.6', 'onnx==1.17.0', 'scikit-learn==1.6.1'],
      ...['skl2onnx==1.18.0', 'onnxmltools==1.13.0', 'lightgbm==4.6.0', pyarrow],
    ]
    // what trainers print is not the answer
    const quiet = 'out, sys.stdout = sys.stdout, sys.stderr\n'
    const end = '\nsys.stdout = out\nprint(json.dumps({"names": names}))'
    const { names } = runPython(`${enter}${quiet}${program}${end}`, at, packages) as {
      names: string[]
    }
    expect(names).toEqual(featureNames)
    const verdict = checkModel(readFileSync(join(at, 'ranker.onnx')), {
      features: featureSet(),
      open: openRuntime(),
      maxBytes: 1 << 26,
      budgetMs: 10_000,
      elapsedMs: () => performance.now(),
    })
    expect(verdict.refusals).toEqual([])
  }, 600_000)

  it('keeps the file that was there where the answer is cut off', async () => {
    const file = join(folder, 'kept.parquet')
    writeFileSync(file, 'before')
    const cut = {
      address: 'http://cut',
      parquet: async (_sql: string, to: string) => writeFileSync(to, 'PAR1 and then nothing'),
    }
    const wanted = { database: 'freshet', from: 0, to: 1, labelled: false }
    await expect(
      exportExamples(cut, wanted, { hash: 'h', names: [] }, file, () => undefined),
    ).rejects.toMatchObject({ code: 'DEPENDENCY_UNSUITABLE' })
    expect(readdirSync(folder)).toContain('kept.parquet')
    expect(readdirSync(folder)).not.toContain('kept.parquet.part')
  })
})

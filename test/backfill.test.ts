/**
 * `freshet replay backfill` beside rows that a live worker wrote: what the same code computed before comes out the same, a
 * new profile's figures are the tool's own over a recount of the log, and nothing is there twice.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { referenceCommand } from '../bin/commands/reference.ts'
import { replayBackfillCommand } from '../bin/commands/replay-backfill.ts'
import type { ClickHouseStore } from '../sinks/clickhouse/store.ts'
import { createEmbeddedTransport } from '../streams/transport/embedded/index.ts'
import { runTools } from './oracles/tools.ts'
import { run as archiveLog, newFolder, removeFolders } from './support/archived-log.ts'
import {
  type Answer,
  answerOf,
  fill,
  flags,
  folder,
  hour,
  log,
  openLive,
  program,
  runLive,
  t0,
} from './support/backfill-world.ts'
import { until } from './support/until.ts'

let archive: string
let live: ClickHouseStore

beforeAll(async () => {
  archive = await fill()
  await runLive()
  live = await openLive()
}, 300_000)

afterAll(async () => {
  await live?.close()
  rmSync(folder, { recursive: true, force: true })
  removeFolders()
})

const backfill = (...args: string[]) => answerOf(replayBackfillCommand(), args)

const at = (h: number): string => new Date(t0 + h * hour).toISOString()
const time = (from: number, to: number): string[] => ['--from', at(from), '--to', at(to)]

interface Tables {
  readonly tables: {
    readonly table: string
    readonly added: number
    readonly changed: number
    readonly same: number
    readonly stay: number
  }[]
}

const tablesOf = ({ out }: Answer) => (JSON.parse(out) as Tables).tables

/** Of the plays and impressions of hours, the values that drift compares: by subject. */
function values(of: (h: number) => boolean) {
  const within = log.filter(({ ts }) => of(Math.floor((ts - t0) / hour)))
  const shown = within.filter(({ type }) => type === 'impression')
  const watchedMs = new Map<unknown, number>()
  for (const event of within)
    if (event.type === 'watch') watchedMs.set(event.playId, Number(event.watchedMs))
  return {
    'feature:position': shown.map(({ position }) => Number(position)),
    'feature:watched_ratio': [...watchedMs.values()].map(ms => ms / 100_000),
    'feature:context.device': shown.map(({ context }) => (context as { device: string }).device),
  }
}

const script = `
from evidently.legacy.calculations import stattests as et
out = []
for pair in given:
    r, c = pd.Series(pair['reference'], name='x'), pd.Series(pair['current'], name='x')
    kind = ColumnType.Categorical if isinstance(pair['reference'][0], str) else ColumnType.Numerical
    tests = {'psi': et.psi_stat_test, 'js': et.jensenshannon_stat_test}
    if kind == ColumnType.Numerical: tests.update(w1=et.wasserstein_stat_test, ks_p=et.ks_stat_test)
    else: tests.update(chi2_p=et.chi_stat_test)
    out.append({name: test.func(r, c, kind, test.default_threshold)[0] for name, test in tests.items()})
`

/** What evidently says of each hour in [from, to) against the hours of the reference: by subject, hour and statistic. */
function oracle(from: number, to: number, isReference: (h: number) => boolean) {
  const reference = values(isReference)
  const names = Object.keys(reference) as (keyof typeof reference)[]
  const pairs = names.flatMap(subject =>
    Array.from({ length: to - from }, (_, k) => ({
      subject,
      h: from + k,
      reference: reference[subject],
      current: values(h => h === from + k)[subject],
    })),
  )
  const told = runTools(script, pairs) as Record<string, number>[]
  return pairs.flatMap(({ subject, h }, k) =>
    Object.entries(told[k]).map(([statistic, value]) => ({ subject, h, statistic, value })),
  )
}

/** Rows of windows of an hour, of the whole. */
async function figures(profile: string) {
  const rows = await live.query<{
    subject: string
    at: unknown
    statistic: string
    value: number
    reference: string
    n: unknown
  }>(
    `SELECT subject, toUnixTimestamp64Milli(window_start) AS at, statistic, value, reference, n_reference AS n
     FROM freshet.v_drift WHERE profile = '${profile}' AND segment = '' AND window_end - window_start = 3600`,
  )
  return rows.map(({ at: ms, n, ...row }) => ({
    ...row,
    n: Number(n),
    h: (Number(ms) - t0) / hour,
  }))
}

/** Every figure of the tool is there once, within 1e-9 (p-values 1e-6). */
async function expectTold(expected: ReturnType<typeof oracle>, reference: string, n: number) {
  const found = await figures('evidently')
  for (const { subject, h, statistic, value } of expected) {
    const rows = found.filter(
      row => row.subject === subject && row.h === h && row.statistic === statistic,
    )
    expect(rows, `${subject} ${h} ${statistic}`).toHaveLength(1)
    expect(rows[0]).toMatchObject({ reference, n })
    const relative = statistic.endsWith('_p') ? 1e-6 : 1e-9
    expect(Math.abs(rows[0].value - value)).toBeLessThan(relative * Math.abs(value) + 1e-12)
  }
}

const evidently = ['--json', '--table', 'drift', '--profile', 'evidently', ...time(12, 20)]

describe('a backfill', { timeout: 240_000 }, () => {
  it('of what live has computed by the same options changes nothing', async () => {
    const answer = await backfill('--json', '--table', 'drift,histograms', ...time(12, 20))
    expect(answer).toMatchObject({ code: 0 })
    const [drift, histograms] = tablesOf(answer)
    expect(drift).toMatchObject({ added: 0, changed: 0 })
    expect(histograms).toMatchObject({ added: 0, changed: 0 })
    expect(drift.same).toBeGreaterThan(1000)
    expect(readdirSync(join(folder, 'replays'))).toEqual([])
  })

  it('for a new profile says what the tool says of a recount, while live writes on', async () => {
    let [stop, doubles] = [false, 0]
    const row = (i: number) => ({
      subject: 'label:positive',
      segment: '',
      window_start: t0 + (26 + (i % 3)) * hour,
      window_end: t0 + (27 + (i % 3)) * hour,
      profile: 'freshet',
      statistic: 'psi',
      value: i,
      revision: 10 + i,
    })
    const writing = (async () => {
      for (let i = 0; !stop; i++) await live.insert('drift', [row(i)])
    })()
    const watching = (async () => {
      while (!stop) {
        const [{ n }] = await live.query<{ n: unknown }>(
          `SELECT count() - uniqExact(subject, segment, window_start, window_end, profile, statistic) AS n FROM freshet.v_drift`,
        )
        doubles += Number(n)
      }
    })()
    const answer = await backfill(...evidently)
    stop = true
    await Promise.all([writing, watching])
    expect(answer).toMatchObject({ code: 0 })
    expect(doubles).toBe(0)
    const [drift] = tablesOf(answer)
    expect(drift).toMatchObject({ changed: 0, same: 0 })
    // the first three hours that are whole
    await expectTold(
      oracle(12, 20, h => h >= 1 && h <= 3),
      'first',
      540,
    )
    const told = await figures('evidently')
    expect(Math.min(...told.map(({ h }) => h))).toBe(12)
    expect(Math.max(...told.map(({ h }) => h))).toBe(19)
  })

  it('again, or from an archive of the log, changes nothing', async () => {
    for (const more of [[], ['--source', archive]]) {
      const [drift] = tablesOf(await backfill(...evidently, ...more))
      expect(drift).toMatchObject({ added: 0, changed: 0 })
      expect(drift.same).toBeGreaterThan(100)
    }
  })

  it('compares with a reference that was set by name, raw values and all', async () => {
    const set = await answerOf(referenceCommand(), ['set', ...time(6, 10), '--name', 'chosen'])
    expect(set.code).toBe(0)
    const answer = await backfill(...evidently, '--reference', 'chosen')
    expect(answer).toMatchObject({ code: 0 })
    expect(tablesOf(answer)[0].changed).toBeGreaterThan(100)
    await expectTold(
      oracle(12, 20, h => h >= 6 && h < 10),
      'chosen',
      720,
    )
    expect(await backfill(...evidently, '--reference', 'other')).toMatchObject({
      code: 2,
      err: expect.stringContaining('chosen'),
    })
  })

  it('of what is not final, or can not be told, is refused in a sentence', async () => {
    const calls: [string[], RegExp][] = [
      [['--table', 'drift', ...time(12, 29)], /may still be corrected.*--to 20\d\d-.*--open/s],
      [['--table', 'quality', ...time(12, 20)], /quality: rows of the last 9 days/],
      [['--table', 'slates', ...time(12, 20)], /does not draw again/],
      [['--table', 'pipeline', ...time(12, 20)], /it takes some of drift/],
      [['--table', 'drift', ...time(20, 12)], /is not before --to/],
      [['--table', 'drift', ...time(12, 20), '--profile', 'evidentely'], /it takes freshet/],
      [['--table', 'drift', ...time(12, 20), '--warmup', 'much'], /--warmup got/],
      [['--table', 'drift', ...time(12, 20), '--source', folder], /is no archive/],
    ]
    for (const [args, sentence] of calls) {
      const answer = await backfill(...args)
      expect(answer.err).toMatch(sentence)
      expect(answer.code).toBe(2)
    }
    expect(readdirSync(join(folder, 'replays'))).toEqual([])
  })

  it('says what it would do, and does nothing', async () => {
    const answer = await backfill(
      ...['--dry-run', '--json', '--table', 'drift', ...time(12, 20), '--warmup', '2h'],
    )
    expect(answer.code).toBe(0)
    const plan = JSON.parse(answer.out)
    expect(plan).toMatchObject({
      topologies: 'sessions,drift',
      readFromMs: t0 + 10 * hour,
      missing: [],
      notFinal: [],
      refusal: null,
      backfill: { tables: ['drift'], leaves: ['feature:session_length'] },
    })
    expect(plan.ranges.events).toHaveLength(2)
    expect(readdirSync(join(folder, 'replays'))).toEqual([])
  })

  it('of less of the log leaves what that can not tell, and says so', async () => {
    const args = ['--table', 'drift', ...time(12, 20)]
    const short = await backfill('--json', ...args, '--warmup', '2h')
    expect(tablesOf(short)[0]).toMatchObject({ added: 0, changed: 0 })
    const late = newFolder()
    const transport = createEmbeddedTransport({ dir: join(folder, 'log'), readOnly: true })
    const source = { find: async () => null }
    const from = { kind: 'time', ms: t0 + 11 * hour } as const
    await archiveLog(late, { transport, source, from })
    await transport.close()
    const refused = await backfill(...args, '--source', late)
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('it is needed from') })
    expect(await backfill(...args, '--source', late, '--accept-gap')).toMatchObject({ code: 3 })
    expect(await backfill(...args, '--source', late, '--warmup', '30m')).toMatchObject({ code: 0 })
  })

  it('of quality, calibration and examples says what live has said', async () => {
    const tables = ['quality', 'calibration', 'examples']
    const answer = await backfill(
      ...['--json', '--open', '--table', tables.join(','), ...time(12, 20)],
    )
    expect(answer).toMatchObject({ code: 0 })
    for (const each of tablesOf(answer)) {
      expect(each).toMatchObject({ added: 0, changed: 0 })
      expect(each.same).toBeGreaterThan(100)
    }
  })

  it('of evaluation needs no log, and where no list was sampled has no rows', async () => {
    const answer = await backfill('--json', '--table', 'evaluation', ...time(12, 20))
    expect(answer).toMatchObject({ code: 0 })
    expect(tablesOf(answer)).toEqual([
      { table: 'evaluation', added: 0, changed: 0, same: 0, stay: 0 },
    ])
  })

  it('goes on after a kill, and nobody sees half of it', async () => {
    const args = ['--table', 'drift', '--profile', 'nannyml', ...time(12, 20)]
    await live.close()
    const call = [...program, 'replay', 'backfill', ...args, '--data', folder]
    const child = spawn(process.execPath, [...call, ...flags], { stdio: 'ignore' })
    const replays = join(folder, 'replays')
    const isUnderWay = () =>
      readdirSync(replays).some(name => existsSync(join(replays, name, 'status.json')))
    await until(isUnderWay)
    child.kill('SIGKILL')
    await new Promise(resolve => child.once('exit', resolve))
    expect(readdirSync(replays)).toHaveLength(1)
    live = await openLive()
    expect(await figures('nannyml')).toEqual([])
    const answer = await backfill('--json', ...args)
    expect(answer).toMatchObject({ code: 0 })
    expect(tablesOf(answer)[0].added).toBeGreaterThan(100)
    expect(readdirSync(replays)).toEqual([])
    expect(tablesOf(await backfill('--json', ...args))[0]).toMatchObject({ added: 0, changed: 0 })
    const runs = await live.query(`SELECT DISTINCT run FROM freshet.drift`)
    expect(runs).toEqual([{ run: 'live' }])
  })
})

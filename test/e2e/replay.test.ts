/** `freshet replay` on an archive, as a user calls it: the plan, the whole way, pauses, kills, and what is refused. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { T0 } from '../support/archived-log.ts'
import { archiveOf, lastAt, Started, Workshop } from '../support/replayed-log.ts'
import { answerOf, freshet } from './command.ts'

const EVENTS = 6_000
const COUNTS = ['--topology', 'sessions,labels,popularity']

interface Status {
  readonly state: string
  readonly records: number
  readonly position: number | null
  readonly held: string | null
  readonly error: string | null
  readonly process: number | null
  readonly digest: Record<string, string | null> | null
}

let archive: string
let shop: Workshop
/** Of a replay that ran straight through. */
let digest: Status['digest']

const statusOf = (name: string) => answerOf(shop, 'replay', 'status', name) as Promise<Status>
const start = (name: string, ...args: string[]) =>
  freshet(shop, 'replay', 'start', name, '--source', archive, ...COUNTS, ...args)
/** At a pace at which all takes a minute. */
const started = (name: string, ...args: string[]) =>
  new Started(
    shop,
    'replay',
    'start',
    name,
    '--source',
    archive,
    ...COUNTS,
    '--speed',
    '100x',
    ...args,
  )
const isUnderWay = (name: string) => () => {
  const path = join(shop.folder(name), 'checkpoint.json')
  if (!existsSync(path)) return false
  const { counts } = JSON.parse(readFileSync(path, 'utf8')) as { counts: { records: number } }
  return counts.records > 300
}

beforeAll(async () => {
  // one asks before the middle, one behind it, and comes back
  archive = await archiveOf(EVENTS, { erasedAt: [1_000, 4_500] })
  shop = new Workshop()
})
afterAll(() => {
  rmSync(archive, { recursive: true, force: true })
  shop.remove()
})

describe('a replay', () => {
  it('shows its plan, and stops there with --dry-run', async () => {
    const { code, stdout } = await start('planned', '--dry-run')
    expect(code).toBe(0)
    expect(stdout).toMatch(/Replay planned/)
    expect(stdout).toMatch(new RegExp(`reads +the archive ${archive}`))
    expect(stdout).toMatch(/takes +about .* for 6,002 records, at .* a second \(assumed/)
    expect(stdout).toMatch(/writes +no lists: redis.url is none/)
    expect(stdout).toMatch(/events +6,000 .*2026-09-01 10:00:00 +2026-09-01 11:39:59/)
    expect(stdout).toMatch(/nothing was done/)
    expect(existsSync(shop.folder('planned'))).toBe(false)
    expect(
      await answerOf(
        shop,
        'replay',
        'start',
        'planned',
        '--source',
        archive,
        ...COUNTS,
        '--dry-run',
      ),
    ).toMatchObject({
      name: 'planned',
      topologies: 'sessions,labels,popularity',
      records: EVENTS + 2,
      erasures: 2,
      inUse: false,
    })
  })

  it('runs to its end, says so, and is not begun twice', async () => {
    const { code, stdout, stderr } = await start('straight')
    expect(stderr).toMatch(/Replay straight/)
    expect(code).toBe(0)
    expect(stdout).toMatch(/straight is done: 6,002 records, 0 dead letters/)
    const status = await statusOf('straight')
    expect(status).toMatchObject({ state: 'done', records: EVENTS + 2, error: null, process: null })
    for (const part of ['sessions', 'labels', 'counts'])
      expect(status.digest?.[part]).toMatch(/^[0-9a-f]{64}$/)
    digest = status.digest
    const again = await start('straight')
    expect(again.code).toBe(2)
    expect(again.stderr).toMatch(
      /there is a replay straight already: `freshet replay resume straight` goes on with it, `freshet replay rm straight`/,
    )
    expect((await start('straight', '--resume')).code).toBe(0)
    expect((await freshet(shop, 'replay', 'resume', 'straight')).code).toBe(0)
    expect((await freshet(shop, 'replay', 'pause', 'straight')).code).toBe(0)
    expect(await answerOf(shop, 'replay', 'list')).toMatchObject([
      {
        name: 'straight',
        state: 'done',
        from: new Date(T0).toISOString(),
        to: new Date(lastAt(EVENTS)).toISOString(),
      },
    ])
  })

  it('is paused from elsewhere, and goes on in two processes to the same end', async () => {
    const one = started('paused')
    await one.until(isUnderWay('paused'))
    expect(await statusOf('paused')).toMatchObject({ state: 'running', held: 'speed 100x' })
    const alive = await freshet(shop, 'replay', 'resume', 'paused')
    expect(alive).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/paused is running, in process \d+/),
    })
    const second = await freshet(shop, 'replay', 'start', 'paused', '--source', archive)
    expect(second.code).toBe(2)
    expect((await freshet(shop, 'replay', 'rm', 'paused')).stderr).toMatch(/in use|process \d+/)
    const paused = await freshet(shop, 'replay', 'pause', 'paused')
    expect(paused).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/paused is paused; `freshet replay resume paused`/),
    })
    expect(await one.ended).toBe(0)
    expect(one.output).toMatch(/paused is paused after [\d,]+ records/)
    const before = await statusOf('paused')
    expect(before).toMatchObject({ state: 'paused', process: null })
    expect(before.records).toBeLessThan(EVENTS)
    expect((await freshet(shop, 'replay', 'resume', 'paused', '--workers', '2')).code).toBe(0)
    expect(await statusOf('paused')).toMatchObject({ state: 'done', records: EVENTS + 2, digest })
  })

  it('is killed, which status tells, and goes on from its last checkpoint to the same end', async () => {
    const one = started('killed')
    await one.until(isUnderWay('killed'))
    await one.signal('SIGKILL')
    const { stdout } = await freshet(shop, 'replay', 'status', 'killed')
    expect(stdout).toMatch(/killed: failed/)
    expect(stdout).toMatch(/its process \d+ is gone/)
    expect(stdout).toMatch(/`freshet replay resume killed` goes on with it/)
    expect((await freshet(shop, 'replay', 'resume', 'killed')).code).toBe(0)
    expect(await statusOf('killed')).toMatchObject({ state: 'done', records: EVENTS + 2, digest })
  })

  it('pauses at SIGTERM, and goes on with another of its state', async () => {
    const one = started('stopped')
    await one.until(isUnderWay('stopped'))
    expect(await one.signal('SIGTERM')).toBe(0)
    expect(one.output).toMatch(/`freshet replay resume stopped` goes on with it/)
    const unfinished = await start('next', '--state', 'stopped')
    expect(unfinished).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/stopped is not at its end/),
    })
    expect((await freshet(shop, 'replay', 'resume', 'stopped')).code).toBe(0)
  })

  it('goes on from the state of another, to the end of all', async () => {
    const half = new Date(T0 + (EVENTS / 2) * 1_000).toISOString()
    expect((await start('half', '--to', half)).code).toBe(0)
    expect(await statusOf('half')).toMatchObject({ records: EVENTS / 2 + 1 })
    expect((await start('whole', '--state', 'half')).code).toBe(0)
    expect(await statusOf('whole')).toMatchObject({
      state: 'done',
      records: EVENTS / 2 + 1,
      digest,
    })
  })

  it('goes with all that it had, once and again', async () => {
    expect(await freshet(shop, 'replay', 'rm', 'killed')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/killed is removed/),
    })
    expect(existsSync(shop.folder('killed'))).toBe(false)
    expect((await freshet(shop, 'replay', 'rm', 'killed')).code).toBe(0)
    expect(await freshet(shop, 'replay', 'status', 'killed')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/there is no replay killed/),
    })
  })

  it('keeps the options that it was started with', async () => {
    const one = started('kept', '--set', 'session.gap=20s')
    await one.until(isUnderWay('kept'))
    await one.signal('SIGTERM')
    const other = await freshet(shop, 'replay', 'resume', 'kept', '--set', 'session.gap=40s')
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/kept was started with 20s/),
    })
    shop.variables.FRESHET_SESSION_GAP = '25m'
    const resumed = await freshet(shop, 'replay', 'resume', 'kept')
    delete shop.variables.FRESHET_SESSION_GAP
    expect(resumed.code).toBe(0)
    expect((await start('straight10', '--set', 'session.gap=20s')).code).toBe(0)
    const [kept, straight] = [await statusOf('kept'), await statusOf('straight10')]
    expect(kept.digest).toEqual(straight.digest)
    expect(kept.digest?.sessions).not.toBe(digest?.sessions)
    const spec = JSON.parse(readFileSync(`${shop.folder('kept')}/replay.json`, 'utf8')) as object
    expect(spec).toMatchObject({ set: { 'session.gap': '20s' }, state: 'empty' })
  })
})

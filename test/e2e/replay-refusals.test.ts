/** What `freshet replay` refuses, and what it says: damaged archives, what is gone, options that contradict. */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { T0 } from '../support/archived-log.ts'
import { archiveOf, Started, Workshop } from '../support/replayed-log.ts'
import { type Answer, answerOf, freshet } from './command.ts'

const EVENTS = 3_000
const COUNTS = ['--topology', 'sessions,popularity']

interface FileText {
  path: string
  topic: string
  partition: number
  from: number
  next: number
}
interface ManifestText {
  topics: { name: string; partitions: { partition: number; kept: number }[] }[]
  files: FileText[]
}

let archive: string
let shop: Workshop

const start = (name: string, source: string, ...args: string[]): Promise<Answer> =>
  freshet(shop, 'replay', 'start', name, '--source', source, ...COUNTS, ...args)
const refused = ({ code, stderr }: Answer, message: RegExp, as = 2): void => {
  expect(stderr).toMatch(message)
  expect(code).toBe(as)
}
const manifestIn = (dir: string): ManifestText =>
  JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as ManifestText
const putManifest = (dir: string, manifest: ManifestText): void =>
  writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest))
/** A copy to harm. */
function copied(name: string): string {
  const to = join(shop.cwd, name)
  cpSync(archive, to, { recursive: true })
  return to
}
const eventsFile = (dir: string, n: number): FileText =>
  manifestIn(dir).files.filter(one => one.topic === 'events' && one.partition === 0)[n]

beforeAll(async () => {
  // ten hours: several files a partition
  archive = await archiveOf(EVENTS, { everyMs: 12_000 })
  shop = new Workshop()
})
afterAll(() => {
  rmSync(archive, { recursive: true, force: true })
  shop.remove()
})

describe('a call that makes no sense', () => {
  it('names that are none', async () => {
    for (const name of ['live', 'empty', '../x', 'a b'])
      refused(await start(name, archive), /can't be the name of a replay/)
  })

  it('options', async () => {
    refused(await start('a', archive, '--speed', 'fast'), /--speed got "fast"; it takes max/)
    refused(await start('a', archive, '--workers', '0'), /--workers got "0"/)
    refused(await start('a', archive, '--from', 'soon'), /--from got "soon"; it takes a time/)
    refused(
      await start('a', archive, '--from', '2026-09-01T12:00Z', '--to', '2026-09-01T11:00Z'),
      /--to lies before --from/,
    )
    refused(await start('a', archive, '--set', 'no.option=1'), /there is no option no.option/)
    refused(
      await start('a', archive, '--set', 'topk.size=x'),
      /option topk.size .* got "x"; it takes/,
    )
    refused(
      await freshet(
        shop,
        'replay',
        'start',
        'a',
        '--source',
        archive,
        '--topology',
        'sessions,none',
      ),
      /option topologies got "none"/,
    )
    refused(await start('a', shop.cwd), /is no archive: it has no manifest.json/)
    expect(existsSync(shop.folder('a'))).toBe(false)
  })

  it('a replay into the live prefix', async () => {
    refused(
      await start('a', archive, '--set', 'redis.prefix=freshet:'),
      /redis.prefix can't be set for a replay.*@a in it/,
    )
    shop.variables.FRESHET_REDIS_PREFIX = 'freshet@a:'
    refused(await start('a', archive), /which is a replay's of the name a/)
    delete shop.variables.FRESHET_REDIS_PREFIX
  })

  it('more processes than what is embedded serves', async () => {
    const { FRESHET_REDIS_URL } = shop.variables
    shop.variables.FRESHET_REDIS_URL = ''
    refused(
      await start('a', archive, '--workers', '2'),
      /--workers 2 needs stores that processes can share: set redis.url/,
    )
    shop.variables.FRESHET_REDIS_URL = FRESHET_REDIS_URL
    expect(existsSync(shop.folder('a'))).toBe(false)
  })
})

describe('a state that is reused', () => {
  it('contradicted by options, topologies, a from', async () => {
    expect((await start('base', archive, '--to', '2026-09-01T12:00Z')).code).toBe(0)
    refused(await start('a', archive, '--state', 'none'), /there is no replay none/)
    refused(
      await start('a', archive, '--state', 'base', '--from', 'earliest'),
      /--from can't be given with --state base/,
    )
    refused(
      await start('a', archive, '--state', 'base', '--set', 'session.gap=5m'),
      /session.gap=5m contradicts --state base.*the default.*--state empty/,
    )
    refused(
      await freshet(
        shop,
        'replay',
        'start',
        'a',
        '--source',
        archive,
        '--state',
        'base',
        '--topology',
        'sessions,labels',
      ),
      /the state of base knows nothing of labels/,
    )
    refused(
      await start('a', archive, '--state', 'base', '--to', '2026-09-01T10:30Z'),
      /--to lies before/,
    )
    refused(await start('a', archive, '--state', 'live'), /no.*log|no live state|nothing/i)
    const other = await archiveOf(100, { partitions: 3, to: join(shop.cwd, 'three') })
    refused(
      await start('a', other, '--state', 'base'),
      /has events in 3 partitions, the state of base is of 2/,
      1,
    )
    expect(existsSync(shop.folder('a'))).toBe(false)
  })
})

describe('a topology that is no longer there', () => {
  it('is named by resume', async () => {
    const path = join(shop.folder('base'), 'replay.json')
    const spec = readFileSync(path, 'utf8')
    writeFileSync(path, spec.replace('sessions,popularity', 'sessions,fortune'))
    refused(
      await freshet(shop, 'replay', 'resume', 'base'),
      /base was started with the topologies sessions,fortune, and this program does not have all of them/,
    )
    writeFileSync(path, spec)
  })
})

describe('an archive', () => {
  it('with a file that is missing, damaged or cut: it goes on once that is mended', async () => {
    expect((await start('whole', archive)).code).toBe(0)
    const digestOf = async (name: string) =>
      ((await answerOf(shop, 'replay', 'status', name)) as { digest: object }).digest
    const dir = copied('harmed')
    const path = join(dir, eventsFile(dir, 8).path)
    const bytes = readFileSync(path)
    renameSync(path, `${path}.away`)
    refused(await start('harmed', dir), /it is missing; put it back from a copy/, 1)
    writeFileSync(path, bytes.subarray(0, 300))
    refused(await start('harmed', dir), /ends there, the manifest says \d+ bytes/, 1)
    expect(existsSync(shop.folder('harmed'))).toBe(false)
    writeFileSync(path, Buffer.from(bytes).fill(9, bytes.length >> 1))
    const damaged = await start('harmed', dir)
    refused(damaged, /is damaged at byte \d+.*`freshet archive verify`/, 1)
    expect(damaged.stderr).toMatch(
      /`freshet replay resume harmed` goes on with it from its last checkpoint/,
    )
    expect(await answerOf(shop, 'replay', 'status', 'harmed')).toMatchObject({
      state: 'failed',
      error: expect.stringMatching(/is damaged/),
    })
    writeFileSync(path, bytes)
    expect((await freshet(shop, 'replay', 'resume', 'harmed')).code).toBe(0)
    expect(await digestOf('harmed')).toEqual(await digestOf('whole'))
  })

  it('whose files overlap, leave a hole, or are of another partition count', async () => {
    const dir = copied('odd')
    const manifest = manifestIn(dir)
    const file = (n: number, of: ManifestText) =>
      of.files.filter(one => one.topic === 'events' && one.partition === 0)[n]
    const overlapping = structuredClone(manifest)
    file(0, overlapping).next += 5
    putManifest(dir, overlapping)
    refused(await start('overlap', dir), /stand in another file too.*archive verify/, 1)
    const holed = structuredClone(manifest)
    holed.files.splice(holed.files.indexOf(file(1, holed)), 1)
    putManifest(dir, holed)
    refused(await start('hole', dir), /events-0 has no file for the offsets/, 1)
    const more = structuredClone(manifest)
    for (const topic of more.topics) topic.partitions.push({ ...topic.partitions[1], partition: 2 })
    putManifest(dir, more)
    refused(
      await start('count', dir),
      /it was written when events had 2 partitions, the manifest has 3/,
      1,
    )
    const uneven = structuredClone(manifest)
    uneven.topics.find(({ name }) => name === 'erasures')?.partitions.pop()
    putManifest(dir, uneven)
    refused(await start('uneven', dir), /events in 2 partitions and erasures in 1/, 1)
    writeFileSync(join(dir, 'manifest.json'), '{')
    refused(await start('torn', dir), /manifest.json is damaged/, 1)
  })

  it('that no longer has what is asked for: it is named, and left out with --accept-loss alone', async () => {
    const dir = copied('kept')
    const manifest = manifestIn(dir)
    const kept = eventsFile(dir, 1).from
    for (const topic of manifest.topics)
      if (topic.name === 'events') topic.partitions[0].kept = kept
    manifest.files = manifest.files.filter(
      ({ topic, partition, from }) => topic !== 'events' || partition !== 0 || from >= kept,
    )
    putManifest(dir, manifest)
    const from = new Date(T0 + 60_000).toISOString()
    const answer = await start('gone', dir, '--from', from)
    refused(
      answer,
      new RegExp(
        `no longer has all that is to be read, ${kept} offsets: events-0 offsets 0 to ${kept - 1} \\(the archive .* begins at ${kept}`,
      ),
    )
    expect(answer.stderr).toMatch(/--accept-loss/)
    const accepted = await start('gone', dir, '--from', from, '--accept-loss')
    expect(accepted.stderr).toMatch(/gone, and accepted: events-0 offsets 0 to/)
    expect(accepted.code).toBe(0)
  })
})

it('a service that is away is waited for, and the status says which', async () => {
  const variables = { ...shop.variables, FRESHET_REDIS_URL: 'redis://127.0.0.1:1' }
  const place = { cwd: shop.cwd, variables }
  const waits = new Started(place, 'replay', 'start', 'w', '--source', archive, ...COUNTS)
  await waits.until(() => existsSync(join(shop.folder('w'), 'replay.json')))
  let held: unknown = null
  await waits.until(async () => {
    const status = await answerOf(shop, 'replay', 'status', 'w')
    held = (status as { held: unknown }).held
    return held !== null
  })
  expect(held).toMatch(/^Redis .*127\.0\.0\.1:1.* since /)
  await waits.signal('SIGKILL')
})

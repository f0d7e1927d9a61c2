/** `freshet replay` on real Kafka and Redis beside a live system: own keys alone, what is gone, the throttle, removal. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { event, Started } from '../support/replayed-log.ts'
import { answerOf, endRuns, freshet, Run } from './command.ts'
import { Setting } from './setting.ts'

const COUNTS = ['--topology', 'sessions,popularity']
const EVENTS = 3_000
/** Younger than what retention removes. */
const BEGAN = Date.now() - 2 * 3_600_000

let setting: Setting
const statusOf = async (name: string) =>
  (await answerOf(setting, 'replay', 'status', name)) as {
    state: string
    held: string | null
    digest: Record<string, string>
  }
/** As it stands in the folder: quicker than a call. */
const heldOf = (name: string): string | null => {
  try {
    const path = join(setting.cwd, '.freshet', 'replays', name, 'status.json')
    return (JSON.parse(readFileSync(path, 'utf8')) as { held: string | null }).held
  } catch {
    return null
  }
}

async function send(from: number, count: number): Promise<void> {
  await setting.producer.send({
    topic: setting.topic('events'),
    messages: Array.from({ length: count }, (_, i) => {
      const { key, value, timestamp } = event(from + i, { from: BEGAN })
      return { key, value, timestamp: String(timestamp) }
    }),
  })
}

async function keysOf(name: string): Promise<string[]> {
  const keys: string[] = []
  for await (const page of setting.redis.scanStream({ match: `*${setting.name}@${name}:*` }))
    keys.push(...(page as string[]))
  return keys
}

beforeAll(async () => {
  setting = await Setting.open()
  await answerOf(setting, 'topics', 'create', '--set', 'topics.partitions=2')
  await send(0, EVENTS)
  await answerOf(setting, 'archive', '--to', 'backup')
})
afterAll(async () => {
  await endRuns()
  await setting.close()
})

it('writes under its own prefix alone, and goes without a trace', async () => {
  const { code, stderr } = await freshet(setting, 'replay', 'start', 'one', ...COUNTS)
  expect(stderr).toMatch(new RegExp(`Redis: keys that begin with ${setting.name}@one:`))
  expect(stderr).toMatch(/throttle +waits while the live group/)
  expect(code).toBe(0)
  const keys = await keysOf('one')
  expect(keys.length).toBeGreaterThan(50)
  expect(keys.some(key => key.startsWith(`${setting.name}@one:session:`))).toBe(true)
  expect(await setting.redisKeys()).toEqual([])

  const archived = await freshet(setting, 'replay', 'start', 'two', ...COUNTS, '--source', 'backup')
  expect(archived.code).toBe(0)
  expect((await statusOf('two')).digest).toEqual((await statusOf('one')).digest)

  expect(await answerOf(setting, 'replay', 'rm', 'one')).toMatchObject({ folder: true })
  expect(await keysOf('one')).toEqual([])
  expect((await keysOf('two')).length).toBeGreaterThan(50)
  expect(await answerOf(setting, 'replay', 'rm', 'one')).toMatchObject({ keys: 0, folder: false })
})

it('goes on from the live state, and waits while the live system lags', async () => {
  const run = await new Run(setting, '--set', 'kafka.sessionTimeout=60s', ...COUNTS).ready()
  await setting.taken('events')
  const before = await freshet(setting, 'replay', 'start', 'early', ...COUNTS, '--state', 'live')
  expect(before.code).toBe(0)
  run.signal('SIGSTOP')
  await send(EVENTS, 2_000)
  const held = new Started(setting, 'replay', 'start', 'held', ...COUNTS, '--live-lag', '500')
  await held.until(() => heldOf('held') !== null)
  expect(heldOf('held')).toMatch(/^live lag 2,000 records \(goes on below 250\)$/)
  expect(await statusOf('held')).toMatchObject({ state: 'running' })
  run.signal('SIGCONT')
  expect(await held.ended).toBe(0)
  await setting.taken('events')

  const ahead = await freshet(setting, 'replay', 'start', 'ahead', ...COUNTS, '--state', 'live')
  expect(ahead.stderr).toMatch(/goes on from that of live/)
  expect(ahead.code).toBe(0)
  const whole = (await statusOf('held')).digest
  expect((await statusOf('ahead')).digest).toEqual(whole)
  const later = await freshet(setting, 'replay', 'start', 'later', ...COUNTS, '--state', 'early')
  expect(later.code).toBe(0)
  expect((await statusOf('later')).digest).toEqual(whole)
  const gap = await freshet(
    setting,
    ...['replay', 'start', 'gap', ...COUNTS, '--state', 'live', '--set', 'session.gap=5m'],
  )
  expect(gap).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/session.gap=5m contradicts --state live/),
  })
  expect(await run.stop()).toBe(0)
})

it('names what the log no longer has, which the archive has', async () => {
  await setting.admin.deleteTopicRecords({
    topic: setting.topic('events'),
    partitions: [{ partition: 0, offset: '100' }],
  })
  const from = new Date(BEGAN).toISOString()
  const start = (...args: string[]) =>
    freshet(setting, 'replay', 'start', 'gone', ...COUNTS, '--from', from, ...args)
  const refused = await start()
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(
    /the log no longer has all that is to be read, 100 offsets: events-0 offsets 0 to 99 \(the log begins at 100, 2.*archive/,
  )
  expect((await start('--source', 'backup', '--dry-run')).code).toBe(0)
  expect((await start('--accept-loss')).code).toBe(0)
})

it('refuses partitions that are others than those of the live topics', async () => {
  await setting.admin.createPartitions({
    topicPartitions: [{ topic: setting.topic('events'), count: 3 }],
  })
  const other = await freshet(setting, 'replay', 'start', 'odd', ...COUNTS, '--source', 'backup')
  expect(other.stderr).toMatch(/has events in 2 partitions, the live topic has 3/)
  expect(other.code).toBe(1)
  const uneven = await freshet(setting, 'replay', 'start', 'odd', ...COUNTS)
  expect(uneven.stderr).toMatch(/events in 3 partitions and erasures in 2/)
  expect(uneven.code).toBe(1)
})

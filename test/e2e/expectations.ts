/** What stands in Redis after a rating log, against the recount; and that it is of the contract's names, types and shapes. */
import { expect } from 'vitest'
import {
  decayedPositives,
  finishedBy,
  newestSessions,
  type Play,
  type Positive,
  positivesIn,
  windows,
} from './recount.ts'
import type { Setting } from './setting.ts'

const BEST = 1_000
const HOUR_MS = 3_600_000
const VERSION = /^\d{6}-\d{16}-\d{10}$/
const SOURCES = ['popularity', 'covisit', 'knn', 'embedding', 'content', 'explore', 'other']

export const expectSessions = (setting: Setting, plays: readonly Play[]): Promise<void> =>
  expectSessionFields(setting, newestSessions(plays))

/** `expected`: user -> all fields but session_id and version. */
export async function expectSessionFields(
  setting: Setting,
  expected: ReadonlyMap<string, Record<string, string>>,
): Promise<void> {
  const users = [...expected.keys()]
  const found = await setting.hashes(users.map(user => `session:${user}`))
  const ids = new Set<string>()
  const wrong: unknown[] = []
  for (const user of users) {
    const { session_id, version, ...fields } = found.get(`session:${user}`) ?? {}
    ids.add(session_id)
    const right =
      Object.keys(fields).length === 9 &&
      Object.entries(expected.get(user) ?? {}).every(([field, value]) => fields[field] === value)
    if (!right || !session_id || !VERSION.test(version))
      wrong.push({ user, found: { session_id, version, ...fields }, expected: expected.get(user) })
  }
  expect(wrong.slice(0, 3), `${wrong.length} of ${users.length} sessions are wrong`).toEqual([])
  expect(ids.size, 'session ids are told apart').toBe(users.length)
  const keys = await setting.redisKeys()
  expect(keys.filter(key => key.startsWith('session:')).length).toBe(users.length)
}

export async function expectPopularity(setting: Setting, plays: readonly Play[]): Promise<void> {
  const at = Math.max(...plays.map(play => play.at))
  await expectCounts(
    setting,
    plays.filter(play => play.positive),
    at,
  )
  // half-life 12 h by default; old positives are known by their hour, so a score may be an hour's decay off
  const trend = await setting.scores('pop:trend')
  const expected = decayedPositives(plays, at, 12 * HOUR_MS)
  const anHour = 2 ** (1 / 12)
  expect(trend.size).toBeGreaterThan(0)
  expect(trend.size).toBeLessThanOrEqual(BEST)
  for (const [item, score] of trend) {
    const exact = expected.get(item) ?? 0
    const near = score <= exact * anHour && score >= exact / anHour
    if (score > 1e-3 && !near) expect.fail(`trend of ${item} is ${score}, ${exact} expected`)
  }
  const top = [...expected].sort((a, b) => b[1] - a[1])[0]
  expect([...trend.keys()]).toContain(top[0])
}

/** The windows' sets, counted from positives as they are known at event time `at`. */
export async function expectCounts(
  setting: Setting,
  positives: readonly Positive[],
  at: number,
): Promise<void> {
  expect(await setting.redis.get(setting.key('pop:at'))).toBe(String(at))
  for (const [window, minutes] of Object.entries(windows)) {
    const expected = positivesIn(positives, at, minutes)
    const found = await setting.scores(`pop:${window}`)
    expectBest(`pop:${window}`, found, expected)
  }
}

/** All there is up to 1,000, and beyond that none left out that is above one that stands there. */
function expectBest(
  key: string,
  found: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
): void {
  const wrong = [...found].filter(([item, score]) => expected.get(item) !== score)
  expect(wrong, `${key}: item and score unlike the recount`).toEqual([])
  expect(found.size, `${key}: how many items`).toBe(Math.min(BEST, expected.size))
  const least = Math.min(...found.values())
  const left = [...expected].filter(([item, count]) => !found.has(item) && count > least)
  expect(left, `${key}: left out although above the least, ${least}`).toEqual([])
}

interface List {
  readonly version: string
  readonly user: string
  readonly surface: string
  readonly cohort: string
  readonly at: number
  readonly expires: number
  readonly policy: string
  readonly model: string
  readonly experiments: Readonly<Record<string, string>>
  readonly items: readonly ListItem[]
}

interface ListItem {
  readonly id: string
  readonly score: number
  readonly p: number
  readonly src: string
  readonly x: boolean
}

export async function expectLists(setting: Setting, plays: readonly Play[]): Promise<void> {
  const finished = finishedBy(plays)
  const items = new Set(plays.map(play => play.item))
  const users = [...new Set(plays.map(play => play.user))]
  const texts = await setting.texts(users.map(user => `topk:home:u:${user}`))
  const missing = users.filter(user => !texts.has(`topk:home:u:${user}`))
  expect(missing.slice(0, 5), `${missing.length} of ${users.length} users have no list`).toEqual([])
  for (const user of users) {
    const text = texts.get(`topk:home:u:${user}`) as string
    const list = expectList(text, user, items)
    const seen = list.items.filter(item => finished.get(user)?.has(item.id))
    expect(seen, `user ${user} finished these and is offered them again`).toEqual([])
  }
  const draws = await setting.texts(Array.from({ length: 16 }, (_, n) => `topk:home:global:${n}`))
  expect(draws.size, 'independent draws of the global list').toBe(16)
  for (const text of draws.values()) expectList(text, '', items)
  expect(new Set([...draws.values()].map(text => idsOf(text))).size).toBeGreaterThan(1)
}

const idsOf = (text: string): string => (JSON.parse(text) as List).items.map(item => item.id).join()

function expectList(text: string, user: string, items: ReadonlySet<string>): List {
  const list = JSON.parse(text) as List
  expect(text.startsWith('{"version":"'), text.slice(0, 40)).toBe(true)
  expect(list).toEqual({
    version: expect.stringMatching(VERSION),
    user,
    surface: 'home',
    cohort: '',
    at: expect.any(Number),
    expires: expect.any(Number),
    policy: expect.stringMatching(/./),
    model: expect.any(String),
    // lists of a user have the built-in experiment's arm
    experiments: user === '' ? {} : { exploration: expect.stringMatching(/^(on|holdout)$/) },
    items: expect.any(Array),
  })
  expect(list.expires).toBeGreaterThan(list.at)
  expect(list.items.length).toBeGreaterThan(0)
  expect(list.items.length).toBeLessThanOrEqual(50)
  expect(Buffer.byteLength(text), `bytes of ${text}`).toBeLessThanOrEqual(MOST_BYTES)
  expect(new Set(list.items.map(item => item.id)).size).toBe(list.items.length)
  for (const item of list.items) {
    const right =
      Object.keys(item).join() === 'id,score,p,src,x' &&
      items.has(item.id) &&
      Number.isFinite(item.score) &&
      item.p > 0 &&
      item.p <= 1 &&
      SOURCES.includes(item.src) &&
      typeof item.x === 'boolean'
    if (!right) expect.fail(`list of ${user || 'global'}: ${JSON.stringify(item)}`)
  }
  return list
}

/**
 * Of 50 items with ids of seven characters. CONTRACT 2 names 3.5 KB, which its own shape holds for ids of two: an item of
 * popularity takes 77 bytes with p in full.
 */
const MOST_BYTES = 4_200

const DAY_MS = 86_400_000

/** Redis type, and the longest life that a key of that name may have. */
const names: readonly [RegExp, 'string' | 'hash' | 'zset', number][] = [
  [/^topk:home:u:.+$/, 'string', 7 * DAY_MS],
  [/^topk:home:(c:.+|global):([0-9]|1[0-5])$/, 'string', DAY_MS],
  [/^similar:.+$/, 'string', 7 * DAY_MS],
  [/^blocked$/, 'zset', Number.POSITIVE_INFINITY],
  [/^session:.+$/, 'hash', HOUR_MS + HOUR_MS / 2],
  [/^pop:5m(:.+)?$/, 'zset', HOUR_MS + 5 * 60_000],
  [/^pop:1h(:.+)?$/, 'zset', 2 * HOUR_MS],
  [/^pop:24h(:.+)?$/, 'zset', DAY_MS + HOUR_MS],
  [/^pop:(7d|trend)(:.+)?$/, 'zset', 7 * DAY_MS + HOUR_MS],
  [/^pop:at$/, 'string', Number.POSITIVE_INFINITY],
]

export async function expectKnownKeys(setting: Setting): Promise<void> {
  const wrong: string[] = []
  const keys = await setting.redisKeys()
  const states = await setting.typesAndLives(keys)
  for (const [key, { type, lifeMs }] of states) {
    const known = names.find(([name]) => name.test(key))
    if (!known) wrong.push(`${key} is no name of the contract`)
    else if (type !== known[1]) wrong.push(`${key} is a ${type}, not a ${known[1]}`)
    else if (known[2] === Number.POSITIVE_INFINITY) {
      if (lifeMs !== -1) wrong.push(`${key} has a life of ${lifeMs} ms`)
    } else if (lifeMs <= 0 || lifeMs > known[2]) wrong.push(`${key} has a life of ${lifeMs} ms`)
  }
  expect(wrong.slice(0, 5), `${wrong.length} of ${keys.length} keys`).toEqual([])
}

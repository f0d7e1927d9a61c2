/**
 * `freshet explain` and `inspect` beside a running worker and without one: the list drawn again from the log is the one that
 * the worker wrote, to the last digit, and its logits are those that the formulas of docs/learning.md give, written out here.
 * They write nothing anywhere.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest'
import { answerOf, endRuns, freshet, Run } from './command.ts'
import { type Explained, type Item, type Neighbour, recountOf } from './list-recount.ts'
import { writeLog } from './rating-log.ts'
import { eventually, Setting } from './setting.ts'

const FILMS = 30
const USERS = 30
const PATIENCE_MS = 150_000
const likes = (film: number): number => Math.max(0, USERS - film)
const film = (n: number): string => `f${n}`
const reader = 'reader'
/** Nothing but the score decides on this surface; home is as it is by default. */
const policies = {
  version: 7,
  surfaces: {
    plain: { temperature: 0, mmr: 0, creatorCap: 0, topicRun: 0, size: 20 },
  },
}
const flags = [
  '--topk.surfaces',
  'home,plain',
  '--topk.policies',
  JSON.stringify(policies),
  '--explore.holdout',
  '0',
  '--topk.size',
  '15',
]

interface List {
  readonly version: string
  readonly policy: string
  readonly items: readonly { readonly id: string; readonly score: number; readonly p: number }[]
}

let setting: Setting
let run: Run
let events = 0
/** Positives by film, as sent. */
const sent = new Map<string, number>()

const event = (userId: string, more: Readonly<Record<string, unknown>>) => ({
  key: userId,
  value: JSON.stringify({
    eventId: `explain-${++events}`,
    userId,
    ts: Date.now(),
    consent: 'full',
    ...more,
  }),
})

function watched(userId: string, itemId: string, more = {}) {
  sent.set(itemId, (sent.get(itemId) ?? 0) + 1)
  return event(userId, {
    type: 'watch',
    playId: `play-${events}`,
    itemId,
    watchedMs: 60_000,
    durationMs: 100_000,
    endReason: 'left',
    ...more,
  })
}

const send = (messages: { key: string; value: string }[]) =>
  setting.producer.send({ topic: setting.topic('events'), messages })
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const explain = async (...args: string[]) =>
  (await answerOf(setting, 'explain', reader, ...args, ...flags)) as Explained
const listOn = async (surface: string): Promise<List> => {
  const key = `topk:${surface}:u:${reader}`
  return JSON.parse((await setting.texts([key])).get(key) ?? 'null') as List
}

/** Users in pairs of films, so that films have neighbours; until the blend ranks. */
async function teach(): Promise<void> {
  for (let round = 0; ; round++) {
    await send(
      Array.from({ length: 40 }, (_, n) => {
        const userId = `late-${round}-${n}`
        const first = n % 9
        return [watched(userId, film(first)), watched(userId, film(first + 9 + (n % 2)))]
      }).flat(),
    )
    await sleep(4_000)
    const { learnt } = (await answerOf(setting, 'inspect', 'task', 'learner', '0', ...flags)) as {
      learnt: { positives: number }
    }
    if (learnt.positives >= 170) return
  }
}

/** An event that counts for nothing: a new list is drawn from what stands now. */
const stir = () => send([event(reader, { type: 'feedback', kind: 'click', itemId: film(1) })])

beforeAll(async () => {
  setting = await Setting.open()
  const begin = Math.floor(Date.now() / 1000) - 86_400
  const ratings = Array.from({ length: FILMS }, (_, n) =>
    Array.from({ length: likes(n) }, (_, u) => {
      sent.set(film(n), (sent.get(film(n)) ?? 0) + 1)
      return `u${u}::${film(n)}::9::${begin + u * 60 + n}`
    }),
  ).flat()
  const films = Array.from({ length: FILMS }, (_, n) => `${film(n)}::Film ${n} (2020)::Drama`)
  const file = writeLog(join(setting.cwd, 'log'), ratings, films)
  await answerOf(setting, 'topics', 'create')
  await answerOf(setting, 'import', file, '--format', 'movietweetings')
  run = await new Run(setting, ...flags).ready()
  await setting.taken('events', 'items')
  await send([
    watched(reader, film(3)),
    watched(reader, film(7)),
    watched(reader, film(5), { watchedMs: 100_000, endReason: 'finished' }),
    event(reader, { type: 'feedback', kind: 'hide', itemId: film(9) }),
    ...[film(12), film(12), film(14)].map(itemId =>
      event(reader, { type: 'impression', requestId: `r${events}`, itemId }),
    ),
  ])
  await teach()
  // the learner and the item tasks publish within ten seconds
  await sleep(15_000)
  await setting.taken('events', 'items')
}, 400_000)

afterAll(async () => {
  await endRuns()
  await setting?.close()
})

async function expectSameLists(): Promise<void> {
  for (const surface of ['home', 'plain']) {
    const list = await listOn(surface)
    const { listing, stored } = await explain('--surface', surface)
    expect(stored?.version).toBe(list.version)
    expect(listing.policy).toBe(list.policy)
    expect(listing.policy).toMatch(surface === 'home' ? /^blend-pl@7$/ : /^blend-greedy@7$/)
    expect(listing.list.map(({ id, score }) => [id, score])).toEqual(
      list.items.map(({ id, score }) => [id, score]),
    )
    listing.list.forEach(({ p }, k) => {
      expect(Math.abs(p / list.items[k].p - 1)).toBeLessThan(0.000_6)
    })
    if (surface === 'home') continue
    const best = [...listing.candidates].sort((a, b) => b.logit - a.logit).slice(0, 20)
    expect(list.items.map(({ score }) => score)).toEqual(best.map(({ logit }) => logit))
  }
}

it('the list drawn again is the one that the worker wrote', async () => {
  onTestFailed(() => console.error(run.output.slice(-3_000)))
  await eventually(async () => {
    await stir()
    await sleep(2_000)
    await expectSameLists()
  }, PATIENCE_MS)
}, 300_000)

it("its logits are those of the formulas, from the state's numbers alone", async () => {
  const { listing, user } = await explain('--surface', 'plain')
  const list = await listOn('plain')
  const served = new Map(list.items.map(({ id, score }) => [id, score]))
  // neither candidate nor history, and yet part of the sums
  const hidden = (await answerOf(setting, 'inspect', 'item', film(9), ...flags)) as Item
  const recount = recountOf(listing, hidden, sent)
  expect(user.positives.map(({ item }) => item)).toEqual([film(5), film(7), film(3)])
  expect(listing.history.map(({ item }) => item)).toEqual([film(5), film(7), film(3)])
  let compared = 0
  for (const candidate of listing.candidates) {
    expect(candidate.positives, candidate.item).toBe(sent.get(candidate.item) ?? 0)
    const features = recount(candidate)
    for (const [f, name] of listing.features.entries())
      expect(
        Math.abs(features[f] - candidate.features[f]),
        `${candidate.item} ${name}`,
      ).toBeLessThan(1e-4 * (1 + Math.abs(features[f])))
    const logit = listing.weights.values.reduce((sum, weight, f) => sum + weight * features[f], 0)
    const shown = { [film(12)]: 2, [film(14)]: 1 }[candidate.item] ?? 0
    const whole = logit + shown * Math.log(0.8)
    expect(Math.abs(whole - candidate.logit), candidate.item).toBeLessThan(0.003)
    const score = served.get(candidate.item)
    if (score === undefined) continue
    expect(Math.abs(whole - score), candidate.item).toBeLessThan(0.003)
    compared++
  }
  expect(compared).toBe(list.items.length)
}, 120_000)

it('says why an item stands there, and why another does not', async () => {
  const list = await listOn('plain')
  const listed = list.items.find(({ id }) => id === film(12)) ?? list.items[0]
  const of = async (item: string) => (await explain(item, '--surface', 'plain')).item!
  const stands = await of(listed.id)
  expect(stands.verdict.kind).toBe('drawn')
  expect(stands.sentence).toMatch(
    new RegExp(`^${listed.id} stands at position \\d+ of reader's list \\(p = 1\\)`),
  )
  expect(await of(film(5))).toMatchObject({
    verdict: { kind: 'excluded', reason: 'finished' },
    sentence: expect.stringMatching(/not in reader's list: reader finished it .*topk.repeat=never/),
  })
  expect(await of(film(9))).toMatchObject({ verdict: { kind: 'excluded', reason: 'hidden' } })
  const out = (await explain('--surface', 'plain')).listing.candidates.find(
    ({ item }) => !list.items.some(({ id }) => id === item),
  )
  expect((await of(out!.item)).verdict.kind).toBe('outranked')
  const text = await freshet(setting, 'explain', reader, listed.id, ...flags)
  expect(text.code).toBe(0)
  expect(text.stdout).toMatch(/covisit_next\.share|pop_all\.share/)
  expect(text.stdout).toMatch(/the state has moved on since/)
  const whole = await freshet(setting, 'explain', reader, ...flags)
  expect(whole.stdout).toMatch(/list on home: version .*blend-pl@7/)
}, 120_000)

it('inspect tells of a user, an item and a task what was sent', async () => {
  const user = (await answerOf(setting, 'inspect', 'user', reader, ...flags)) as Explained['user']
  expect(user.positives.map(({ item }) => item)).toEqual([film(5), film(7), film(3)])
  expect(user.exclusions).toMatchObject([
    { item: film(9), reason: 'hidden' },
    { item: film(5), reason: 'finished' },
  ])
  expect(user.shown).toEqual([
    expect.objectContaining({ item: film(12), last7d: 2 }),
    expect.objectContaining({ item: film(14), last7d: 1 }),
  ])
  const item = (await answerOf(setting, 'inspect', 'item', film(12), ...flags)) as Item & {
    neighbours: { items: Neighbour[] }
  }
  expect(item).toMatchObject({ item: film(12), positives: sent.get(film(12)), impressions: 2 })
  expect(item.neighbours.items.length).toBeGreaterThan(2)
  const task = (await answerOf(setting, 'inspect', 'task', 'user', '0', ...flags)) as {
    owner: { uuid: string }
    inputs: { topic: string; lag: number }[]
    stores: { name: string; rows: number }[]
  }
  expect(task.owner.uuid).toMatch(/^[0-9a-f-]{36}$/)
  expect(task.inputs.find(({ topic }) => topic === setting.topic('events'))?.lag).toBe(0)
  expect(task.stores.find(({ name }) => name === 'users')?.rows).toBeGreaterThan(0)
  for (const text of ['user reader', `item ${film(12)}`, 'task learner 0', 'task item 0'])
    expect((await freshet(setting, 'inspect', ...text.split(' '), ...flags)).code, text).toBe(0)
}, 120_000)

it('who and what is not known is said, with 1; a wrong call is 2', async () => {
  const codeOf = async (...args: string[]) => {
    const { code, stderr } = await freshet(setting, ...args, ...flags)
    return [code, stderr]
  }
  expect(await codeOf('explain', 'nobody')).toEqual([
    1,
    expect.stringMatching(/nothing is stored of user "nobody"/),
  ])
  expect(await codeOf('explain', reader, 'f999')).toEqual([
    1,
    expect.stringMatching(/item "f999" is not known/),
  ])
  expect(await codeOf('inspect', 'item', 'f999')).toEqual([1, expect.stringMatching(/not known/)])
  expect(await codeOf('inspect', 'task', 'users', '0')).toEqual([
    2,
    expect.stringMatching(/takes one of user, item/),
  ])
  expect(await codeOf('inspect', 'task', 'user', '99')).toEqual([
    2,
    expect.stringMatching(/user-99/),
  ])
  expect(await codeOf('explain', reader, '--surface', 'lobby')).toEqual([
    2,
    expect.stringMatching(/topk.surfaces has home, plain/),
  ])
}, 120_000)

it('needs no worker, and writes nothing', async () => {
  expect(await run.stop()).toBe(0)
  const before = await everything()
  await expectSameLists()
  await explain(film(12))
  for (const what of [
    ['user', reader],
    ['item', film(12)],
    ['task', 'user', '0'],
  ])
    await answerOf(setting, 'inspect', ...what, ...flags)
  expect(await everything()).toEqual(before)
}, 180_000)

/** Ends of all topics of this deployment, all consumer groups and all keys in Redis. */
async function everything(): Promise<unknown> {
  const topics = (await setting.admin.listTopics()).filter(name => name.startsWith(setting.name))
  const ends = await Promise.all(
    topics.sort().map(async topic => [topic, await setting.admin.fetchTopicOffsets(topic)]),
  )
  const { groups } = await setting.admin.listGroups()
  return {
    ends,
    groups: groups.map(({ groupId }) => groupId).filter(id => id.startsWith(setting.name)),
    redis: (await setting.redisKeys()).sort(),
  }
}

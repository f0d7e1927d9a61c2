/**
 * Redis emptied, or back from an older copy, beside workers that run or while none does; and what `freshet rebuild redis`
 * makes of an empty one. Sessions are held to the tally, lists to what may never stand in one, `blocked` to the withdrawals.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import { answerOf, type Run } from '../e2e/command.ts'
import { expectCounts } from '../e2e/expectations.ts'
import { eventually, until } from '../e2e/setting.ts'
import { FaultDeployment, SESSION_TIMEOUT_MS } from '../support/faults/deployment.ts'
import type { StoryEvent } from '../support/faults/tally.ts'
import type { RedisService } from '../support/services-redis.ts'

const GAP_MS = 30 * 60_000
const AWAY_MS = process.env.FRESHET_FAULTS_SHORT ? 5_000 : 30_000
const PATIENCE_MS = 90_000
const REMOVING = ['hide', 'dislike', 'report']
const LOST = /does not hold what/

describe('Redis that lost what it held', () => {
  let deployment: FaultDeployment
  let redis: RedisService
  let schemas: Encoder
  const events: StoryEvent[] = []
  const blocked = new Set<string>()

  beforeEach(async () => {
    deployment = await FaultDeployment.open({
      story: { stepMs: 1_000 },
      // no item is sent but those that are withdrawn
      variables: { FRESHET_CATALOG_REQUIRED: 'false' },
    })
    redis = deployment.redis as RedisService
    // it is killed in here
    deployment.setting.redis.on('error', () => undefined)
    const { registry, variables } = deployment.setting
    schemas = await Encoder.open(
      new SchemaRegistry({ url: registry.url }),
      String(variables.FRESHET_TOPICS_PREFIX),
    )
    events.length = 0
    blocked.clear()
    const take = deployment.tally.take.bind(deployment.tally)
    deployment.tally.take = event => {
      events.push(event)
      take(event)
    }
  })
  afterEach(() => deployment?.close())

  async function send(topic: string, key: string, value: Buffer | null): Promise<void> {
    const { setting } = deployment
    await setting.producer.send({ topic: setting.topic(topic), messages: [{ key, value }] })
  }

  async function withdraw(item: string): Promise<void> {
    await send('items', item, null)
    blocked.add(item)
  }

  async function bringBack(itemId: string): Promise<void> {
    const item = { itemId, title: itemId, creatorId: 'c', publishedAt: 0, durationMs: 60_000 }
    await send('items', itemId, schemas.encode('Item', { ...item, safety: 'ok' } as never))
    blocked.delete(itemId)
  }

  async function erase(userId: string): Promise<void> {
    const erasure = { eventId: `erase-${userId}`, userId, ts: deployment.story.at, reason: 'asked' }
    await send('erasures', userId, schemas.encode('Erasure', erasure as never))
  }

  /** Somebody whom the story does not know looks at something. */
  async function look(userId: string): Promise<void> {
    const base = { type: 'impression', eventId: `look-${userId}`, userId, itemId: 'i1' }
    const event = { ...base, ts: deployment.story.at, requestId: `look-${userId}`, consent: 'full' }
    await send('events', userId, Buffer.from(JSON.stringify(event)))
  }

  const keysOf = (userId: string): string[] => [`session:${userId}`, `topk:home:u:${userId}`]

  async function existing(userIds: readonly string[]): Promise<string[]> {
    const { setting } = deployment
    const keys = userIds.flatMap(keysOf)
    const found = await Promise.all(keys.map(key => setting.redis.exists(setting.key(key))))
    return keys.filter((_, i) => found[i] === 1)
  }

  /** Waits until the users' first views are there. */
  const shown = (userIds: readonly string[]) =>
    eventually(async () => {
      expect(await existing(userIds)).toHaveLength(2 * userIds.length)
    }, PATIENCE_MS)

  /** What nobody may be offered again. */
  function neverFor(): Map<string, Set<string>> {
    const never = new Map<string, Set<string>>()
    for (const { userId, itemId, consent, endReason, kind } of events) {
      const removes = endReason === 'finished' || (kind !== undefined && REMOVING.includes(kind))
      if (consent !== 'full' || !removes) continue
      never.set(userId, (never.get(userId) ?? new Set()).add(itemId))
    }
    return never
  }

  /** Sessions and lists of users whose last event is not older than this equal what they should be. */
  async function expectUsers(withinMs: number): Promise<void> {
    const { setting, tally } = deployment
    const sessions = [...tally.sessions()].filter(
      ([, fields]) => Number(fields.last_event_at) >= tally.newestAt - withinMs,
    )
    expect(sessions.length, 'users to look at').toBeGreaterThan(50)
    const found = await setting.hashes(sessions.map(([user]) => `session:${user}`))
    const wrong = sessions.filter(([user, fields]) => {
      const hash = found.get(`session:${user}`) ?? {}
      return Object.entries(fields).some(([field, value]) => hash[field] !== value)
    })
    const shownWrong = wrong
      .slice(0, 2)
      .map(([user, fields]) => ({ user, fields, found: found.get(`session:${user}`) }))
    expect(shownWrong, `${wrong.length} of ${sessions.length} sessions are wrong`).toEqual([])
    await expectLists(sessions.map(([user]) => user))
  }

  async function expectLists(users: readonly string[]): Promise<void> {
    const { setting } = deployment
    const never = neverFor()
    const texts = await setting.texts(users.map(user => `topk:home:u:${user}`))
    const without = users.filter(user => !texts.has(`topk:home:u:${user}`))
    expect(without.slice(0, 5), `${without.length} of ${users.length} have no list`).toEqual([])
    const offered: string[] = []
    for (const [key, text] of texts) {
      const { user, items } = JSON.parse(text) as { user: string; items: { id: string }[] }
      if (key !== `topk:home:u:${user}`) offered.push(`${key} is of ${user}`)
      for (const { id } of items)
        if (never.get(user)?.has(id) || blocked.has(id)) offered.push(`${user} is offered ${id}`)
    }
    expect(offered).toEqual([])
  }

  async function expectCommon(): Promise<void> {
    const { setting, tally } = deployment
    expect([...(await setting.scores('blocked')).keys()].sort()).toEqual([...blocked].sort())
    const globals = Array.from({ length: 16 }, (_, n) => `topk:home:global:${n}`)
    expect((await setting.texts(globals)).size, 'draws of the global list').toBe(16)
    const positives = tally.positives.filter(({ item }) => !blocked.has(item))
    await expectCounts(setting, positives, tally.newestAt)
  }

  const linesOf = (run: Run, pattern: RegExp): string[] =>
    run.log.map(line => line.msg).filter(line => pattern.test(line))

  async function expectAll(withinMs: number): Promise<void> {
    await deployment.caughtUp()
    await eventually(() => expectUsers(withinMs), PATIENCE_MS)
    await eventually(() => expectCommon(), PATIENCE_MS)
  }

  it('killed under load and restarted empty: is all that active users read there again?', async () => {
    const run = await deployment.run()
    const telling = deployment.tell({ perSecond: 300 })
    await telling.more(1_500)
    await withdraw('i3')
    await withdraw('i7')
    await telling.more(1_500)
    await redis.kill9()
    await until(async () => !(await ready(run)))
    await sleep(AWAY_MS)
    await redis.restart()
    await until(() => linesOf(run, LOST).length > 0)
    await telling.more(1_000)
    await telling.stop()
    await expectAll(GAP_MS)
    await until(() => ready(run))
    const { length } = linesOf(run, LOST)
    expect(length, 'tasks with views that noticed, once each').toBe(
      new Set(run.log.filter(line => LOST.test(line.msg)).map(line => line.task)).size,
    )
    expect(linesOf(run, /^waiting for Redis/)).toHaveLength(1)
    expect(linesOf(run, /^Redis .* is back after/)).toHaveLength(1)
    expect(await deployment.versions.stop()).toEqual([])
    expect(await run.stop(), run.output).toBe(0)
  }, 400_000)

  it('gone and back with all it held: does nobody write anything again?', async () => {
    const run = await deployment.run()
    const telling = deployment.tell({ perSecond: 300 })
    await telling.more(1_500)
    await telling.stop()
    await deployment.caughtUp()
    await deployment.setting.redis.save()
    await redis.restart()
    // longer than an idle task waits before it looks
    await sleep(8_000)
    await deployment.tell({ perSecond: 300 }).more(300)
    expect(linesOf(run, LOST)).toEqual([])
    const again = await deployment.run()
    await sleep(2 * SESSION_TIMEOUT_MS)
    expect(linesOf(again, LOST)).toEqual([])
    expect(await deployment.versions.stop()).toEqual([])
  }, 300_000)

  it('back from an older copy while workers run, and while none does: is it as new as the state?', async () => {
    const { setting, versions } = deployment
    let run = await deployment.run()
    const telling = deployment.tell({ perSecond: 300 })
    await telling.more(1_500)
    await withdraw('i3')
    await look('erased-1')
    await look('erased-2')
    await shown(['erased-1', 'erased-2'])
    await setting.redis.save()
    await telling.more(1_000)
    await withdraw('i5')
    await bringBack('i3')
    await erase('erased-1')
    await telling.more(500)
    await eventually(async () => {
      expect(await existing(['erased-1'])).toEqual([])
      expect([...(await setting.scores('blocked')).keys()]).toEqual(['i5'])
    }, PATIENCE_MS)
    await redis.restart()
    versions.forget()
    await until(() => linesOf(run, LOST).length > 0)
    await telling.more(500)
    await telling.stop()
    await expectAll(GAP_MS)
    await eventually(async () => expect(await existing(['erased-1'])).toEqual([]), PATIENCE_MS)

    await setting.redis.save()
    const further = deployment.tell({ perSecond: 300 })
    await further.more(800)
    await withdraw('i9')
    await erase('erased-2')
    await further.stop()
    await deployment.caughtUp()
    await eventually(async () => expect(await existing(['erased-2'])).toEqual([]), PATIENCE_MS)
    expect(await run.stop(), run.output).toBe(0)
    await redis.restart()
    versions.forget()
    run = await deployment.run()
    await expectAll(GAP_MS)
    expect(await existing(['erased-1', 'erased-2'])).toEqual([])
    expect(await versions.stop()).toEqual([])
    expect(await run.stop(), run.output).toBe(0)
  }, 400_000)

  it('rebuilt, with no worker and beside one: are the views of all users there, idle ones too?', async () => {
    const { setting, tally } = deployment
    let run = await deployment.run()
    const telling = deployment.tell({ perSecond: 400 })
    await telling.more(1_000)
    await withdraw('i3')
    await telling.more(3_800)
    await telling.stop()
    await deployment.caughtUp()
    expect(await run.stop(), run.output).toBe(0)
    const idle = [...tally.sessions().values()].filter(
      fields => Number(fields.last_event_at) < tally.newestAt - GAP_MS,
    )
    expect(idle.length, 'users that nobody refills by himself').toBeGreaterThan(30)

    await setting.redis.flushall()
    const report = (await answerOf(setting, 'rebuild', 'redis')) as Record<string, unknown>
    expect(report).toMatchObject({ kept: 0, tasks: expect.any(Number) })
    await expectAll(3 * GAP_MS)
    run = await deployment.run()
    await sleep(7_000)
    expect(linesOf(run, LOST), 'a refill although all is there').toEqual([])

    const further = deployment.tell({ perSecond: 300 })
    await setting.redis.flushall()
    const beside = (await answerOf(setting, 'rebuild', 'redis')) as { views: { session: number } }
    expect(beside.views.session).toBeGreaterThan(100)
    await further.more(300)
    await further.stop()
    await expectAll(2.5 * GAP_MS)
    expect(await deployment.versions.stop()).toEqual([])
    expect(await run.stop(), run.output).toBe(0)
  }, 400_000)

  it('written by a worker that stood still: does it bring erased users back?', async () => {
    const runs = await Promise.all([deployment.run(), deployment.run()])
    const users = Array.from({ length: 40 }, (_, n) => `erased-${n}`)
    const telling = deployment.tell({ perSecond: 300 })
    await telling.more(600)
    for (const user of users) await look(user)
    runs[0].signal('SIGSTOP')
    await sleep(SESSION_TIMEOUT_MS + 4_000)
    await Promise.all(users.map(erase))
    await deployment.setting.taken('erasures')
    await eventually(async () => expect(await existing(users)).toEqual([]), PATIENCE_MS)
    runs[0].signal('SIGCONT')
    const end = Date.now() + 10_000
    while (Date.now() < end) {
      expect(await existing(users), 'views of erased users').toEqual([])
      await sleep(100)
    }
    await telling.stop()
    await expectAll(GAP_MS)
    expect(await deployment.versions.stop()).toEqual([])
  }, 300_000)

  async function ready(run: Run): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${run.ports[0]}/readyz`)).ok
  }
})

import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import type { Outbox, TableRow, ViewWrite } from '../../streams/topology/outbox.ts'
import type { UserEvent } from '../user/event.ts'
import type { User } from '../user/user.ts'
import { contextOf, FakeItems, FakeUsers, fakeUser } from './fakes.ts'
import { topkOptions } from './options.ts'
import { createTopkStage } from './stage.ts'

interface Listed {
  readonly items: readonly { readonly id: string }[]
}
const bodyOf = (write: ViewWrite): Listed =>
  JSON.parse(write.op === 'json' ? `{${write.body}` : 'null') as Listed
const idsOf = (write: ViewWrite) => bodyOf(write).items.map(item => item.id)

function setUp(flags: Record<string, string> = {}, size = 300) {
  const items = new FakeItems({ items: size, seed: 5 })
  const users = new FakeUsers()
  const clock = { now: 1_700_000_000_000 }
  const ctx = contextOf('user', items, clock)
  const { values: options } = resolveOptions(topkOptions, { flags, environment: {}, file: {} })
  const stage = createTopkStage(ctx, {
    users,
    options,
    activeMs: 30 * 60_000,
    pseudonym: userId => ({ user: `~${userId}`, key: 'k' }),
  })
  let commits = 0
  const flush = () => {
    const writes: ViewWrite[] = []
    const rows: TableRow[] = []
    stage.flush?.({
      view: (write: ViewWrite) => writes.push(write),
      row: (_table: string, row: TableRow) => rows.push(row),
      version: `v${++commits}`,
    } as unknown as Outbox)
    return { writes, rows }
  }
  const event = (user: User | null, kind = 'watch', feedback = '') =>
    stage.process?.({ kind, user, recordTs: 77, event: { kind: feedback } } as unknown as UserEvent)
  return { items, users, clock, stage, flush, event }
}

describe("users' lists", () => {
  it('are written once a change, with the time of the record they answer', () => {
    const { users, stage, flush, event } = setUp()
    const user = users.add(fakeUser('u1', [1, 2]))
    event(user)
    event(user)
    expect(stage.tick?.(5)).toBe(false)
    const { writes } = flush()
    expect(writes).toMatchObject([
      { op: 'json', key: 'topk:home:u:u1', ttlMs: 7 * 86_400_000, recordTs: 77 },
    ])
    expect([...(user.scratch.list ?? [])]).toEqual(idsOf(writes[0]).map(Number))
    expect(flush().writes).toEqual([])
    event(null)
    stage.tick?.(5)
    expect(flush().writes).toEqual([])
  })

  it('keep the interval, but hide, dislike and report do not wait', () => {
    const { users, stage, flush, event, clock } = setUp()
    const user = users.add(fakeUser('u1', [1, 2]))
    const count = () => {
      stage.tick?.(5)
      return flush().writes.length
    }
    event(user)
    expect(count()).toBe(1)
    clock.now += 100
    event(user)
    expect(count()).toBe(0)
    event(user, 'feedback', 'like')
    expect(count()).toBe(0)
    for (const kind of ['hide', 'dislike', 'report']) {
      event(user, 'feedback', kind)
      expect(count()).toBe(1)
    }
    clock.now += 500
    expect(count()).toBe(0)
  })

  it('are drawn for each surface', () => {
    const { users, stage, flush, event } = setUp({ 'topk.surfaces': 'home,watch-next' })
    event(users.add(fakeUser('u1', [1, 2])))
    stage.tick?.(5)
    const { writes } = flush()
    expect(writes.map(write => ('key' in write ? write.key : ''))).toEqual([
      'topk:home:u:u1',
      'topk:watch-next:u:u1',
    ])
    expect(idsOf(writes[0])).not.toEqual(idsOf(writes[1]))
  })

  it('are removed where nothing is left to list, so that the reader falls back', () => {
    const { users, items, stage, flush, event } = setUp({}, 3)
    event(users.add(fakeUser('u1', [], new Set([0, 1]))))
    stage.tick?.(5)
    expect(idsOf(flush().writes[0])).toEqual(['0000002'])
    items.withdraw(2)
    stage.tick?.(5)
    expect(flush().writes).toMatchObject([{ op: 'delete', key: 'topk:home:u:u1' }])
  })

  it('K4: are made for those who came before anything could be listed', () => {
    const { users, items, stage, flush, event, clock } = setUp({}, 3)
    for (const item of [0, 1, 2]) items.withdraw(item)
    for (let n = 0; n < 30; n++) event(users.add(fakeUser(`u${n}`, [])))
    const written = () => {
      while (stage.tick?.(5));
      return flush().writes
    }
    expect(written().every(write => write.op === 'delete')).toBe(true)
    clock.now += 10_000
    expect(written(), 'one stands for all').toHaveLength(1)
    items.restore(1)
    for (let step = 0; step < 3; step++) clock.now += 2_000
    const made = [...written(), ...written()]
    clock.now += 1_000
    made.push(...written())
    expect(
      made
        .filter(write => write.op === 'json')
        .map(write => write.key)
        .sort(),
    ).toEqual(Array.from({ length: 30 }, (_, n) => `topk:home:u:u${n}`).sort())
  })

  it('are not written for who is gone', () => {
    const { users, stage, flush, event } = setUp()
    const [a, b] = [users.add(fakeUser('a', [1])), users.add(fakeUser('b', [1]))]
    event(a)
    event(b)
    users.remove('a')
    stage.tick?.(5)
    users.remove('b')
    expect(flush().writes).toEqual([])
  })

  it('K2: tell the lowest event not acknowledged, and go on from it', () => {
    const { users, stage, flush, event, clock } = setUp()
    const [a, b] = [users.add(fakeUser('a', [1])), users.add(fakeUser('b', [2]))]
    a.lastOffset = 10
    b.lastOffset = 20
    expect(stage.unfinishedFrom?.()).toBeUndefined()
    event(a)
    event(b)
    expect(stage.unfinishedFrom?.()).toBe(10)
    stage.tick?.(5)
    flush()
    expect(stage.unfinishedFrom?.()).toBe(10)
    clock.now += 100
    b.lastOffset = 30
    event(b)
    stage.delivered?.()
    expect(stage.unfinishedFrom?.()).toBe(30)
    clock.now += 500
    stage.tick?.(5)
    flush()
    stage.delivered?.()
    expect(stage.unfinishedFrom?.()).toBeUndefined()

    const after = setUp()
    for (const user of [a, b]) after.users.add({ ...user, scratch: {} })
    after.stage.resumeUnfinished?.(30)
    expect(after.stage.unfinishedFrom?.()).toBe(30)
    after.stage.tick?.(5)
    expect(after.flush().writes).toMatchObject([{ key: 'topk:home:u:b' }])
  })

  it('K2: are not acknowledged with the list before them, which was on its way when they were made', () => {
    const { users, stage, flush, event } = setUp()
    const user = users.add({ ...fakeUser('u1', [1, 2]), lastOffset: 10 })
    event(user)
    stage.tick?.(5)
    flush()
    event(user, 'feedback', 'hide')
    stage.tick?.(5)
    stage.delivered?.() // of the first
    flush()
    expect(stage.unfinishedFrom?.()).toBe(10)
    stage.delivered?.()
    expect(stage.unfinishedFrom?.()).toBeUndefined()
  })

  it('wait where too many are made and none are taken: a view store that is away costs no memory', () => {
    const { users, stage, flush, event } = setUp({}, 10)
    for (let n = 0; n < 3000; n++) event(users.add(fakeUser(`u${n}`, [1])))
    for (let n = 0; n < 1000; n++) stage.tick?.(5)
    expect(stage.tick?.(5)).toBe(false)
    expect(flush().writes).toHaveLength(2048)
    while (stage.tick?.(5));
    expect(flush().writes).toHaveLength(952)
  })

  it('lose a withdrawn item at once where they are known', () => {
    const { items, users, stage, flush, event, clock } = setUp()
    for (let u = 0; u < 30; u++) event(users.add(fakeUser(`u${u}`, [u])))
    while (stage.tick?.(5));
    const before = flush().writes
    const item = Number(idsOf(before[0])[0])
    const holders = before.filter(write => idsOf(write).map(Number).includes(item))
    expect(holders.length).toBeLessThan(30)
    items.withdraw(item)
    clock.now += 10
    while (stage.tick?.(5));
    const { writes } = flush()
    expect(writes.map(write => ('key' in write ? write.key : '')).sort()).toEqual(
      holders.map(write => ('key' in write ? write.key : '')).sort(),
    )
    for (const write of writes) expect(idsOf(write).map(Number)).not.toContain(item)
    // a withdrawal asks nothing of the input
    expect(stage.unfinishedFrom?.()).toBe(0)
    stage.delivered?.()
    expect(stage.unfinishedFrom?.()).toBeUndefined()
  })

  it('lose it within ten minutes, evenly, where they are not known since a restart', () => {
    const { items, users, stage, flush, clock } = setUp()
    for (let u = 0; u < 200; u++) users.add(fakeUser(`u${u}`, [u]))
    stage.tick?.(5)
    expect(flush().writes).toEqual([])
    items.withdraw(3)
    const perMinute: number[] = []
    for (let second = 0; second < 600; second++) {
      clock.now += 1_000
      while (stage.tick?.(5));
      perMinute[Math.floor(second / 60)] =
        (perMinute[Math.floor(second / 60)] ?? 0) + flush().writes.length
    }
    expect(perMinute.reduce((a, b) => a + b)).toBe(200)
    for (const n of perMinute.slice(0, 7)) expect(n).toBeLessThan(30)
    expect([...users.values()].every(user => !user.scratch.list?.includes(3))).toBe(true)
  })

  it('are swept after a restart if an item was withdrawn before it', () => {
    const { items, users, stage, flush, clock } = setUp()
    items.withdraw(3)
    for (let u = 0; u < 20; u++) users.add(fakeUser(`u${u}`, [u]))
    let written = 0
    for (let second = 0; second < 500; second++) {
      stage.tick?.(5)
      written += flush().writes.length
      clock.now += 1_000
    }
    expect(written).toBe(20)
  })

  it('lose an item that became restricted at once', () => {
    const { items, users, stage, flush, event, clock } = setUp()
    for (let u = 0; u < 30; u++) event(users.add(fakeUser(`u${u}`, [u])))
    while (stage.tick?.(5));
    const before = flush().writes
    const item = Number(idsOf(before[0])[0])
    const holders = before.filter(write => idsOf(write).map(Number).includes(item))
    items.restrict(item)
    clock.now += 10
    while (stage.tick?.(5));
    const { writes } = flush()
    expect(writes).toHaveLength(holders.length)
    for (const write of writes) expect(idsOf(write).map(Number)).not.toContain(item)
  })

  it('lose an item that expired: those of active users in seconds, all others within ten minutes', () => {
    const { items, users, stage, flush, event, clock } = setUp()
    for (let u = 0; u < 60; u++) event(users.add(fakeUser(`u${u}`, [u])))
    while (stage.tick?.(5));
    const before = flush().writes
    const item = Number(idsOf(before[0])[0])
    const holders = before.filter(write => idsOf(write).map(Number).includes(item))
    users.watermark.at = 1_700_000_000_000
    holders.forEach((write, n) => {
      const user = users.get((bodyOf(write) as unknown as { user: string }).user)
      if (n % 3 === 0) Object.assign(user!, { lastSeenAt: users.watermark.at - 86_400_000 })
    })
    const passive = Math.ceil(holders.length / 3)
    items.expire(item, clock.now)
    for (const second of [6, 600]) {
      const written: ViewWrite[] = []
      for (let s = 0; s < second; s++) {
        clock.now += 1_000
        while (stage.tick?.(5));
        written.push(...flush().writes)
      }
      for (const write of written) expect(idsOf(write).map(Number)).not.toContain(item)
      if (second === 6) expect(written.length).toBeGreaterThanOrEqual(holders.length - passive)
    }
    expect([...users.values()].every(user => !user.scratch.list?.includes(item))).toBe(true)
  })

  it('are sampled as slates under a pseudonym', () => {
    const { users, stage, flush, event } = setUp({ 'slates.share': '1' })
    event(users.add(fakeUser('secret', [1, 2])))
    stage.tick?.(5)
    const { rows } = flush()
    expect(rows).toMatchObject([{ user: '~secret', user_key: 'k', surface: 'home' }])
    expect(JSON.stringify(rows)).not.toContain('"secret')
  })

  it('are sampled under the version that the list has, and only if it left: a newer draw takes its place', () => {
    const { users, clock, stage, flush, event } = setUp({ 'slates.share': '1' })
    const user = users.add({ ...fakeUser('u1', [1, 2]), lastOffset: 1 })
    flush()
    event(user)
    stage.tick?.(5)
    clock.now += 600
    event(Object.assign(user, { lastOffset: 2 }))
    stage.tick?.(5)
    const { writes, rows } = flush()
    expect(writes).toHaveLength(1)
    expect(rows).toMatchObject([{ list_version: 'v2', list: idsOf(writes[0]) }])
    expect(flush().rows).toEqual([])
  })

  it('K5: makes the lists of active users again, a few at a time, and fresh events first', () => {
    const { users, clock, stage, flush, event } = setUp()
    const before = users.watermark
    before.at = 1_700_000_000_000
    const active = Array.from({ length: 100 }, (_, n) => users.add(fakeUser(`a${n}`, [])))
    users.add({ ...fakeUser('idle', []), lastSeenAt: before.at - 31 * 60_000 })
    stage.refill?.('active')
    const made: string[] = []
    const step = (): void => {
      stage.tick?.(5)
      for (const { key } of flush().writes) made.push(key.slice('topk:home:u:'.length))
    }
    step()
    expect(made.length).toBeLessThanOrEqual(24)
    const fresh = users.add(fakeUser('fresh', []))
    clock.now += 10
    event(fresh)
    step()
    expect(made.indexOf('fresh'), 'behind what waited already').toBeLessThanOrEqual(48)
    for (let n = 0; stage.refilling?.() && n < 50; n++) step()
    expect(stage.refilling?.()).toBe(false)
    expect(new Set(made)).toEqual(new Set([...active.map(user => user.id), 'fresh']))
    stage.refill?.('all')
    for (let n = 0; stage.refilling?.() && n < 50; n++) {
      clock.now += 1_000
      step()
    }
    expect(made).toContain('idle')
  })

  it('takes every list for unknown once the view store lost some: a withdrawal looks at all of them', () => {
    const { items, users, clock, stage, flush, event } = setUp({ 'topk.withdrawalSweep': '1s' })
    const user = users.add(fakeUser('u', []))
    event(user)
    stage.tick?.(5)
    expect(flush().writes).toHaveLength(1)
    stage.tick?.(5)
    clock.now += 60_000
    users.watermark.at = user.lastSeenAt + 60 * 60_000
    stage.refill?.('active')
    stage.tick?.(5)
    const listed = new Set(user.scratch.list)
    const other = Array.from({ length: items.size }, (_, n) => n).find(n => !listed.has(n)) ?? -1
    items.withdraw(other)
    for (let n = 0; n < 5; n++) {
      clock.now += 1_000
      stage.tick?.(5)
    }
    expect(flush().writes.map(({ key }) => key)).toEqual(['topk:home:u:u'])
  })
})

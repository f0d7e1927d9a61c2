/**
 * What stages write again when the view store lost something: applied to an empty store, or to an older copy, it gives what
 * the store held (C5). Both stores are real ones, in memory.
 */
import { describe, expect, it } from 'vitest'
import { Decoder } from '../schemas/decode.ts'
import { Encoder, SchemaRegistry } from '../schemas/index.ts'
import { createEmbeddedStore } from '../sinks/embedded/store.ts'
import { systemClock } from '../streams/clock.ts'
import type { FillableViewStore, ViewReader } from '../streams/sinks.ts'
import type { ViewWrite } from '../streams/topology/outbox.ts'
import { ItemCluster, plainItem } from './support/item-cluster.ts'
import { GAP, HOUR, impression, MINUTE, START, UserTask, watch } from './support/user-task.ts'

type Store = FillableViewStore & ViewReader

let seq = 0
const nextVersion = (): string => `000001-0000000000000001-${String(++seq).padStart(10, '0')}`
const open = (): Store => createEmbeddedStore({ clock: systemClock })

async function apply(store: Store, views: readonly ViewWrite[]): Promise<void> {
  await store.write(views, nextVersion())
}

/** All that a reader could see, but for the versions. */
async function contents(store: Store): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {}
  for await (const key of store.scan('')) {
    const { version: _, ...hash } = (await store.hash(key)) ?? {}
    const members = await store.zset(key, 10_000)
    const text = (await store.string(key))?.replace(/"version":"[^"]*"|"at":\d+/g, '')
    // the scores of neighbours are as of when their view was written
    if (key.startsWith('similar:')) all[key] = [...(text?.match(/"id":"[^"]*"/g) ?? [])].sort()
    else all[key] = text ?? (members.length > 0 ? members : hash)
  }
  return all
}

describe('views of items', () => {
  /** Runs a cluster; its writes go to `store`. */
  function setUp() {
    const cluster = new ItemCluster(2, { 'catalog.required': 'false' })
    const flush = async (...stores: Store[]): Promise<void> => {
      cluster.commitAll()
      for (const store of stores) await apply(store, cluster.views)
      cluster.views.length = 0
    }
    const like = (user: string, item: string): void => {
      const act = { userId: user, itemId: item, ts: cluster.now, consent: 'full' } as const
      cluster.act({ ...act, kind: 'watch', started: true, positive: true, watchedMs: 9 } as never)
    }
    const refillInto = async (store: Store): Promise<number> => {
      cluster.refill()
      let commits = 0
      for (; cluster.refilling; commits++) await flush(store)
      return commits
    }
    return { cluster, flush, like, refillInto }
  }

  it('all come back into an empty store: popularity, similar, blocked', async () => {
    const { cluster, flush, like, refillInto } = setUp()
    const before = open()
    for (let n = 0; n < 60; n++)
      for (const item of ['a', `b${n % 7}`, `c${n % 3}`]) like(`u${n}`, item)
    cluster.put('c1', plainItem('c1'))
    await flush(before)
    cluster.put('c1', null)
    cluster.put('never-seen', plainItem('never-seen', { safety: 'blocked' }))
    for (let n = 0; n < 3; n++) await flush(before)
    const held = await contents(before)
    expect(Object.keys(held)).toEqual(
      expect.arrayContaining(['blocked', 'pop:5m', 'pop:at', 'similar:a']),
    )
    const empty = open()
    await refillInto(empty)
    expect(await contents(empty)).toEqual(held)
  })

  it('leave `blocked` where an older copy has them in it', async () => {
    const { cluster, flush, refillInto } = setUp()
    const [now, copy] = [open(), open()]
    for (let n = 0; n < 3_000; n++) cluster.put(`i${n}`, plainItem(`i${n}`))
    for (const item of ['i1', 'i2', 'i3']) cluster.put(item, null)
    await flush(now, copy)
    cluster.put('i2', plainItem('i2'))
    cluster.put('i4', null)
    await flush(now)
    await refillInto(copy)
    const blocked = async (store: Store) => (await store.zset('blocked', 99)).map(m => m.member)
    expect((await blocked(now)).sort()).toEqual(['i1', 'i3', 'i4'])
    expect(await blocked(copy)).toEqual(await blocked(now))
  })
})

describe('views of users', () => {
  it('come back of those active within the gap, a slice a commit, as they are by now', async () => {
    const task = new UserTask({ unpackedUsers: 0 })
    const [now, empty] = [open(), open()]
    for (let n = 0; n < 2_500; n++)
      task.send(watch(`u${n}`, 'a', START + (n % 2) * 2 * GAP, `p${n}`, 40_000))
    task.commit()
    await apply(now, task.views())
    task.core.refill('active')
    task.send(impression('u1', 'b', START + 2 * GAP + MINUTE))
    let commits = 0
    for (; task.core.refilling; commits++) {
      task.now += 1_000
      task.forgetOutput()
      task.tick()
      task.commit()
      await apply(empty, task.views())
      expect(task.views().length).toBeLessThanOrEqual(1_001)
      await apply(now, task.views())
    }
    expect(commits).toBeGreaterThan(1)
    const held = Object.entries(await contents(now))
    const active = held.filter(([key]) => Number(key.slice('session:u'.length)) % 2 === 1)
    expect(active).toHaveLength(1_250)
    expect(await contents(empty)).toEqual(Object.fromEntries(active))
  })

  it('come back of all whose hash would still live, where everything is asked for', async () => {
    const task = new UserTask()
    for (const [user, before] of [
      ['new', 0],
      ['idle', GAP + HOUR],
      ['gone', GAP + HOUR + 1],
    ] as const)
      task.send(watch(user, 'a', START + 3 * HOUR - before, `p-${user}`, 40_000))
    task.commit()
    task.forgetOutput()
    task.core.refill('all')
    task.commit()
    expect(
      task
        .views()
        .map(view => view.key)
        .sort(),
    ).toEqual(['session:idle', 'session:new'])
  })

  it('are removed again of who was erased, unless they came back', async () => {
    const registry = new SchemaRegistry({ url: 'mock://refill' })
    const encoder = await Encoder.open(registry, 'freshet.')
    const erasures = new Decoder('erasures', registry)
    const sample = { eventId: 'e', userId: 'u', ts: START, reason: '' }
    const needs = erasures.decode(Buffer.from(encoder.encode('Erasure', sample)))
    if ('needs' in needs) await erasures.resolve(needs.needs)
    const task = new UserTask({ erasures })
    const copy = open()
    for (const user of ['erased', 'back', 'stays']) task.send(watch(user, 'a', START, user, 40_000))
    task.commit()
    await apply(copy, task.views())
    const erase = (userId: string): void => {
      const erasure = { eventId: `e-${userId}`, userId, ts: START + MINUTE, reason: '' }
      task.erase(userId, encoder.encode('Erasure', erasure), START + MINUTE)
    }
    erase('erased')
    erase('back')
    task.send(watch('back', 'b', START + 2 * MINUTE, 'again', 40_000))
    task.now += 1_000
    task.commit()
    task.forgetOutput()
    task.core.refill('active')
    task.commit()
    await apply(copy, task.views())
    expect(Object.keys(await contents(copy)).sort()).toEqual(['session:back', 'session:stays'])
    registry.close()
  })
})

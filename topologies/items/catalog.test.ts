import { describe, expect, it } from 'vitest'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import { ItemCluster, plainItem } from '../../test/support/item-cluster.ts'
import { createItemDecode } from './decode.ts'

const blocked = (cluster: ItemCluster): string[] => {
  const members = new Set<string>()
  for (const view of cluster.views) {
    if (view.op === 'zadd' && view.key === 'blocked') members.add(view.member)
    if (view.op === 'zrem' && view.key === 'blocked') members.delete(view.member)
  }
  return [...members].sort()
}

describe('the catalog', () => {
  it('keeps every field of an item', () => {
    const cluster = new ItemCluster(2)
    const item = plainItem('ä', {
      title: 'Über "uns"',
      creatorId: 'c1',
      topics: ['news', 'sport'],
      language: 'de',
      regions: ['DE', 'AT'],
      publishedAt: 1_700_000_000_000,
      expiresAt: cluster.now + 5,
      durationMs: 90_000,
      safety: 'restricted',
      attributes: { a: 'b' },
      embedding: [3, 0, 4],
    })
    cluster.put('ä', item)
    cluster.commitAll()
    for (const table of [cluster.table, cluster.followAnew(true).table]) {
      const index = table.index('ä')
      const entry = table.catalog(index)
      expect(entry).toMatchObject({
        itemId: 'ä',
        title: 'Über "uns"',
        language: 'de',
        regions: ['DE', 'AT'],
        publishedAt: 1_700_000_000_000,
        expiresAt: cluster.now + 5,
        durationMs: 90_000,
        safety: 'restricted',
      })
      expect(table.creatorName(entry?.creator ?? -1)).toBe('c1')
      expect(entry?.topics.map(t => table.topicName(t))).toEqual(['news', 'sport'])
      expect([...(table.content(index) ?? [])]).toEqual([Math.fround(0.6), 0, Math.fround(0.8)])
      expect(table.listable(index, cluster.now)).toBe(true)
      expect(table.listable(index, cluster.now + 5)).toBe(false)
    }
  })

  it('one content vector of another length locks out no other, whatever came first', () => {
    const lengths = [1, 3, 3, 2, 3, 2]
    for (const order of [
      [0, 1, 2, 3, 4, 5],
      [3, 5, 0, 4, 2, 1],
      [5, 4, 3, 2, 1, 0],
    ]) {
      const cluster = new ItemCluster(1)
      for (const n of order) {
        cluster.put(`i${n}`, plainItem(`i${n}`, { embedding: new Array(lengths[n]).fill(n + 1) }))
        cluster.commitAll()
      }
      const has = (table = cluster.table) =>
        lengths.map((_, n) => table.content(table.index(`i${n}`))?.length)
      const threes = [undefined, 3, 3, undefined, 3, undefined]
      expect(has()).toEqual(threes)
      expect(has(cluster.followAnew(true).table)).toEqual(threes)
      expect(cluster.table.content(cluster.table.index('i2'))?.[1]).toBeCloseTo(1 / Math.sqrt(3), 6)
      for (const n of [1, 2]) cluster.put(`i${n}`, plainItem(`i${n}`, { embedding: null }))
      cluster.commitAll()
      expect(has()).toEqual([undefined, undefined, undefined, 2, undefined, 2])
    }
  })

  it('refuses a vector with a NaN or of length zero, and keeps the item', () => {
    const cluster = new ItemCluster(1)
    const vectors = { first: [1, 1], nan: [Number.NaN, 1], zero: [0, 0], none: [] }
    for (const [id, embedding] of Object.entries(vectors)) {
      cluster.put(id, plainItem(id, { embedding }))
      cluster.commitAll()
    }
    const has = Object.keys(vectors).filter(id => cluster.table.content(cluster.table.index(id)))
    expect(has).toEqual(['first'])
    for (const id of Object.keys(vectors))
      expect(cluster.table.catalog(cluster.table.index(id))).toBeDefined()
  })

  it('withdrawal is state: it outlives the tombstone and restarts, until an Item with safety ok', () => {
    const cluster = new ItemCluster(1)
    const index = cluster.table.index('a')
    const listable = (): boolean => cluster.table.listable(index, cluster.now)
    cluster.put('a', plainItem('a'))
    cluster.commitAll()
    expect(listable()).toBe(true)
    cluster.put('a', null)
    expect(cluster.urgentItem(0)).toBe(true)
    cluster.commitAll()
    const since = cluster.table.withdrawnAt(index)
    expect(since).toBe(cluster.now)
    expect([...cluster.table.news]).toEqual([index])
    expect(cluster.table.catalog(index)?.title).toBe('a')
    expect(listable()).toBe(false)
    expect(blocked(cluster)).toEqual(['a'])
    cluster.restoreItem(0, true)
    cluster.now += 1_000
    cluster.put('a', plainItem('a', { safety: 'restricted' }))
    cluster.put('a', plainItem('a', { safety: 'blocked' }))
    cluster.commitAll()
    expect(listable()).toBe(false)
    expect(cluster.table.withdrawnAt(index)).toBe(since)
    expect(cluster.table.newest(5)).toEqual([])
    cluster.put('a', plainItem('a', { safety: 'ok' }))
    cluster.commitAll()
    expect(listable()).toBe(true)
    expect(cluster.table.newest(5)).toEqual([index])
    expect(blocked(cluster)).toEqual([])
    expect(cluster.followAnew(true).table.withdrawnAt(0)).toBe(0)
  })

  it('writes `blocked` again after a restore, and empties it when no list can hold the item', () => {
    const cluster = new ItemCluster(1)
    cluster.put('a', null)
    cluster.commitAll()
    cluster.views.length = 0
    cluster.restoreItem(0)
    cluster.commitAll()
    expect(blocked(cluster)).toEqual(['a'])
    cluster.now += 7 * 86_400_000 + 1
    cluster.restoreItem(0)
    cluster.act({ userId: 'u', itemId: 'b', ts: cluster.now, kind: 'impression' })
    cluster.commitAll()
    expect(blocked(cluster)).toEqual([])
    expect(cluster.table.withdrawnAt(cluster.table.index('a'))).not.toBe(0)
  })

  it('keeps items in `blocked` for their life by its own clock, whatever the records are dated', () => {
    const cluster = new ItemCluster(1)
    for (const [itemId, date] of [
      ['ahead', 400],
      ['behind', -400],
      ['now', 0],
    ] as const) {
      cluster.put(itemId, null, cluster.now + date * 86_400_000)
    }
    cluster.commitAll()
    expect(blocked(cluster)).toEqual(['ahead', 'behind', 'now'])
    cluster.now += 7 * 86_400_000 - 1
    cluster.act({ userId: 'u', itemId: 'b', ts: cluster.now, kind: 'impression' })
    cluster.commitAll()
    expect(blocked(cluster)).toEqual(['ahead', 'behind', 'now'])
    cluster.now += 2
    cluster.act({ userId: 'u', itemId: 'b', ts: cluster.now, kind: 'impression' })
    cluster.commitAll()
    expect(blocked(cluster)).toEqual([])
  })

  it('an item that expires is withdrawn by the clock, until an Item comes that expires later', () => {
    const cluster = new ItemCluster(1)
    const index = cluster.table.index('a')
    const expiresAt = cluster.now + 60_000
    cluster.put('a', plainItem('a', { safety: 'restricted', expiresAt }))
    cluster.put('later', plainItem('later', { expiresAt: expiresAt + 1_000 }))
    cluster.put('gone', plainItem('gone', { expiresAt }))
    cluster.put('gone', null)
    cluster.put('never', plainItem('never', { expiresAt: cluster.now - 30 * 86_400_000 }))
    cluster.commitAll()
    const before = cluster.table.news.length
    expect(blocked(cluster)).toEqual(['gone'])
    expect(cluster.table.listable(cluster.table.index('never'), cluster.now)).toBe(false)
    cluster.now = expiresAt - 1
    cluster.commitAll()
    expect(cluster.table.withdrawnAt(index)).toBe(0)
    cluster.restoreItem(0, true)
    cluster.now = expiresAt
    cluster.commitAll()
    expect(cluster.table.withdrawnAt(index)).toBe(expiresAt)
    expect(cluster.table.leftAt(index)).toBe(expiresAt)
    expect(cluster.table.news.slice(before)).toEqual([index])
    expect(blocked(cluster)).toEqual(['a', 'gone'])
    cluster.restoreItem(0, true)
    // a new title does not bring it back
    cluster.now += 500
    cluster.put('a', plainItem('a', { safety: 'restricted', title: 'A', expiresAt }))
    cluster.commitAll()
    expect(cluster.table.withdrawnAt(index)).toBe(expiresAt)
    cluster.put('a', plainItem('a', { safety: 'restricted', expiresAt: expiresAt + 10_000 }))
    cluster.commitAll()
    expect(cluster.table.listable(index, cluster.now)).toBe(true)
    expect(cluster.table.news.slice(before)).toEqual([index, index])
    expect(blocked(cluster)).toEqual(['gone'])
    // what was withdrawn comes back by its safety alone
    cluster.put('a', null)
    cluster.put('a', plainItem('a', { safety: 'restricted', expiresAt: expiresAt + 20_000 }))
    cluster.now = expiresAt + 20_000
    cluster.commitAll()
    cluster.put('a', plainItem('a', { safety: 'restricted', expiresAt: null }))
    cluster.commitAll()
    expect(cluster.table.listable(index, cluster.now)).toBe(false)
    expect(blocked(cluster)).toEqual(['a', 'gone', 'later'])
  })

  it('an item that comes back, also after a restore, or is sent again expires when it says', () => {
    const cluster = new ItemCluster(1)
    const [back, again] = ['back', 'again'].map(id => cluster.table.index(id))
    const expiresAt = cluster.now + 60_000
    cluster.put('back', plainItem('back', { expiresAt }))
    cluster.put('back', null)
    cluster.put('again', plainItem('again', { expiresAt: expiresAt + 5 }))
    cluster.put('again', plainItem('again', { expiresAt }))
    cluster.commitAll()
    cluster.restoreItem(0, true)
    cluster.put('back', plainItem('back', { expiresAt }))
    cluster.put('again', plainItem('again', { title: 'A', expiresAt }))
    cluster.commitAll()
    expect(cluster.table.listable(back, cluster.now)).toBe(true)
    cluster.now = expiresAt
    cluster.commitAll()
    for (const item of [back, again]) expect(cluster.table.withdrawnAt(item)).toBe(expiresAt)
    expect(blocked(cluster)).toEqual(['again', 'back'])
  })

  it('an item that becomes restricted is news, also to who comes later; one that always was is none', () => {
    const cluster = new ItemCluster(1)
    const [a, b] = ['a', 'b'].map(id => cluster.table.index(id))
    cluster.put('a', plainItem('a', { safety: 'ok' }))
    cluster.put('b', plainItem('b', { safety: 'restricted' }))
    cluster.commitAll()
    expect(cluster.table.news).toEqual([])
    cluster.put('a', plainItem('a', { safety: 'restricted' }))
    cluster.put('b', plainItem('b', { safety: 'restricted', title: 'B' }))
    cluster.commitAll()
    const since = cluster.now
    cluster.now += 1_000
    cluster.put('a', plainItem('a', { safety: 'restricted', title: 'A' }))
    cluster.commitAll()
    for (const table of [cluster.table, cluster.followAnew(true).table]) {
      expect(table.news).toEqual([table.index('a')])
      expect(table.leftAt(table.index('a'))).toBe(since)
      expect(table.withdrawnAt(table.index('a'))).toBe(0)
    }
    expect(cluster.table.leftAt(b)).toBe(0)
    expect(blocked(cluster)).toEqual([])
    cluster.put('a', plainItem('a', { safety: 'ok' }))
    cluster.commitAll()
    expect(cluster.table.leftAt(a)).toBe(0)
  })

  it('lists unknown items while the items topic is empty, and always or never as the option says', () => {
    const auto = new ItemCluster(1)
    const index = auto.table.index('x')
    expect(auto.table.listable(index, 0)).toBe(true)
    auto.put('unheard of', null)
    auto.commitAll()
    expect(auto.table.listable(index, 0)).toBe(true)
    expect(auto.table.listable(auto.table.index('unheard of'), 0)).toBe(false)
    auto.put('other', plainItem('other'))
    auto.commitAll()
    expect(auto.table.listable(index, 0)).toBe(false)
    expect(new ItemCluster(1, { 'catalog.required': 'true' }).table.listable(0, 0)).toBe(false)
  })
})

describe('records of the items topic', () => {
  const key = 'item-1'
  const partition = partitionOfText(key, 4)
  const elsewhere = ['a', 'b', 'c', 'd', 'e'].find(id => partitionOfText(id, 4) !== partition) ?? ''
  const decode = createItemDecode(
    { partition, partitions: 4 },
    {
      decode: value =>
        value?.length === 0
          ? { bad: 'DECODE_FAILED', message: 'empty' }
          : value?.toString() === 'new'
            ? { needs: 7 }
            : { kind: 'item', record: plainItem(String(value)) },
      resolve: () => Promise.resolve(),
    },
  )
  const record = (k: string | null, value: string | null): LogRecord => ({
    offset: 5,
    timestamp: 9,
    key: k === null ? null : Buffer.from(k),
    value: value === null ? null : Buffer.from(value),
    headers: [],
  })

  it('are items or tombstones', () => {
    expect(decode(record(key, key))).toMatchObject({ ok: { itemId: key, at: 9, offset: 5 } })
    expect(decode(record(key, null))).toEqual({ ok: { itemId: key, at: 9, offset: 5, item: null } })
    expect(decode(record(key, 'new'))).toHaveProperty('waitFor')
  })

  it.each([
    ['KEY_MISSING', null, key],
    ['KEY_MISSING', '', key],
    ['KEY_FRAMED', '\0\0\0\0\u0001item-1', key],
    ['KEY_MISMATCH', key, 'item-2'],
    ['PARTITION_MISMATCH', elsewhere, elsewhere],
    ['PARTITION_MISMATCH', elsewhere, null],
    ['FIELD_INVALID', 'x'.repeat(257), 'x'],
    ['DECODE_FAILED', key, ''],
  ])('%s', (code, k, value) => {
    expect(decode(record(k, value))).toMatchObject({ bad: code })
  })
})

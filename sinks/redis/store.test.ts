import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../streams/clock.ts'
import type { Logger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { type RedisService, startRedis } from '../../test/support/services.ts'
import { pause, until } from '../../test/support/until.ts'
import { allScripts } from './scripts.ts'
import { slotOf, versionKeyOf } from './slot.ts'
import { createRedisStore, type RedisStore } from './store.ts'

const version = (seq: number): string => `000001-0000000000000001-${String(seq).padStart(10, '0')}`
const session = (user: string, n: number): ViewWrite => ({
  op: 'hash',
  key: `session:${user}`,
  fields: ['watches', `${n}`],
  ttlMs: 60_000,
})

const lines: string[] = []
const log: Logger = {
  info: (_, text) => void lines.push(`info ${text}`),
  warn: (_, text) => void lines.push(`warn ${text}`),
  error: (_, text) => void lines.push(`error ${text}`),
}
const stores: RedisStore[] = []
const open = (url: string): RedisStore => {
  const store = createRedisStore({ url, log, clock: systemClock, metrics: noMetrics })
  stores.push(store)
  return store
}
const clusterUrl = ({ urls }: RedisService): string =>
  `redis+cluster://${urls.map(url => new URL(url).host).join(',')}`

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  lines.length = 0
})

describe('Redis view store on one server', () => {
  let server: RedisService
  let redis: Redis
  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.url, { retryStrategy: () => 20 })
    redis.on('error', () => undefined) // the server is killed in here
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })

  it('writes key, version first and life as the contract says (R3)', async () => {
    const store = open(server.url)
    await store.write(
      [
        { op: 'json', key: 'topk:home:u:u1', body: '"user":"u1"}', ttlMs: 60_000 },
        session('u1', 3),
        { op: 'zset', key: 'pop:5m', members: ['a'], scores: [1], ttlMs: 60_000 },
        { op: 'zadd', key: 'blocked', member: 'i1', score: 5 },
        { op: 'string', key: 'pop:at', value: '17', ttlMs: 0 },
      ],
      version(1),
    )
    expect(await redis.get('freshet:topk:home:u:u1')).toBe(
      `{"version":"${version(1)}","user":"u1"}`,
    )
    expect(await redis.hgetall('freshet:session:u1')).toEqual({ watches: '3', version: version(1) })
    const lives = async (key: string): Promise<boolean> => {
      const left = await redis.pttl(key)
      return left > 0 && left <= 60_000
    }
    for (const key of ['topk:home:u:u1', 'session:u1', 'pop:5m'])
      expect(await lives(`freshet:${key}`)).toBe(true)
    expect(await lives('{freshet:pop:5m}:version')).toBe(true)
    expect(await redis.pttl('freshet:blocked')).toBe(-1)
    expect(await redis.pttl('freshet:pop:at')).toBe(-1)
    expect((await redis.keys('freshet:*')).sort()).toEqual(
      ['blocked', 'pop:5m', 'pop:at', 'session:u1', 'topk:home:u:u1'].map(key => `freshet:${key}`),
    )
  })

  it('loads its scripts again when the server forgot them', async () => {
    const store = open(server.url)
    await store.write([session('u2', 1)], version(1))
    await redis.script('FLUSH')
    await store.write(
      [session('u2', 2), { op: 'zadd', key: 'blocked', member: 'x', score: 1 }],
      version(2),
    )
    expect(await redis.hget('freshet:session:u2', 'watches')).toBe('2')
  })

  it('waits through a killed server, says so once, and sends the whole commit again (R1, R5)', async () => {
    const store = open(server.url)
    await store.write([session('u3', 1)], version(1))
    await server.kill9()
    const commit = Array.from({ length: 3000 }, (_, i) => session(`v${i}`, i))
    const pending = store.write(commit, version(2))
    await until(() => store.waiting() !== undefined)
    expect(store.waiting()).toMatch(/^Redis 127\.0\.0\.1:\d+ since \d{4}-.*\(.+\)$/)
    await until(async () => (store.waiting() ?? '').includes('ECONNREFUSED'))
    await server.restart()
    await pending
    expect(store.waiting()).toBeUndefined()
    expect((await redis.keys('freshet:session:v*')).length).toBe(3000)
    expect(lines.map(line => line.replace(/127.*/, ''))).toEqual([
      'warn waiting for Redis ',
      'info Redis ',
    ])
  })

  it('settles when the server dies in the middle of many commits', async () => {
    const store = open(server.url)
    const commit = (n: number) => Array.from({ length: 2000 }, (_, i) => session(`w${i}`, n))
    const writing = (async () => {
      for (let n = 1; n <= 30; n++) await store.write(commit(n), version(n))
    })()
    await until(async () => (await redis.exists('freshet:session:w1')) === 1)
    await server.kill9()
    await server.restart()
    await writing
    for (const i of [0, 1, 999, 1999])
      expect(await redis.hget(`freshet:session:w${i}`, 'watches')).toBe('30')
  })

  it('waits while memory is full, with the reason', async () => {
    const store = open(server.url)
    await redis.config('SET', 'maxmemory', '1')
    const pending = store.write([session('u4', 2)], version(2))
    try {
      await until(() => (store.waiting() ?? '').includes('OOM'))
    } finally {
      await redis.config('SET', 'maxmemory', '0')
    }
    await pending
    expect(await redis.hget('freshet:session:u4', 'watches')).toBe('2')
  })

  it('waits while the server is a replica, as after a failover, and goes on by itself', async () => {
    const store = open(server.url)
    await redis.replicaof('127.0.0.1', '1')
    const pending = store.write([session('u7', 2)], version(2))
    try {
      await until(() => (store.waiting() ?? '').includes('READONLY'))
    } finally {
      await redis.replicaof('NO', 'ONE')
    }
    await pending
    expect(await redis.hget('freshet:session:u7', 'watches')).toBe('2')
    expect(lines.filter(line => line.startsWith('warn'))).toHaveLength(1)
  })

  it('waits for hours as for seconds: one line, the time since when, and nothing held but the write', async () => {
    const hour = { at: systemClock.now(), tries: 0 }
    const store = createRedisStore({
      url: server.url,
      log,
      metrics: noMetrics,
      clock: {
        ...systemClock,
        now: () => hour.at,
        sleep: async ms => {
          hour.tries++
          hour.at += 600_000
          await systemClock.sleep(ms / 10)
        },
      },
    })
    stores.push(store)
    await server.kill9()
    const since = new Date(hour.at).toISOString()
    const pending = store.write([session('u8', 1)], version(1))
    await until(() => hour.tries >= 6)
    expect(store.waiting()).toContain(since)
    await server.restart()
    await pending
    expect(lines).toHaveLength(2)
    expect(lines[1]).toMatch(/is back after [3-9]\d{3}\.\d s/)
    expect(await redis.hget('freshet:session:u8', 'watches')).toBe('1')
  })

  it('takes any user id at the price of any other: one with braces has its version key without a search', async () => {
    const store = open(server.url)
    const ids = Array.from({ length: 3_000 }, (_, n) => `}{${n}`)
    const writes = ids.map(id => session(id, 1))
    const deletes = ids.map(id => ({ op: 'delete' as const, key: `session:${id}` }))
    await store.write(writes, version(1))
    await store.write(deletes, version(2))
    await store.write(writes, version(1))
    expect(await redis.exists(...ids.map(id => `freshet:session:${id}`))).toBe(0)
    await store.write(writes, version(3))
    expect(await redis.exists(...ids.map(id => `freshet:session:${id}`))).toBe(3_000)
  })

  it('refuses a key of another type, naming what to do', async () => {
    const store = open(server.url)
    await redis.lpush('freshet:session:foreign', 'x')
    await expect(store.write([session('foreign', 1)], version(1))).rejects.toMatchObject({
      code: 'DEPENDENCY_UNSUITABLE',
      message: expect.stringContaining('another program wrote a key'),
    })
  })

  it('refuses to go on without the password, and takes it from the URL', async () => {
    await redis.config('SET', 'requirepass', 'secret%1')
    try {
      const store = open(server.url)
      const refused = {
        code: 'DEPENDENCY_UNSUITABLE',
        message: expect.stringContaining('PASSWORD@'),
      }
      await expect(store.write([session('u5', 1)], version(1))).rejects.toMatchObject(refused)
      const wrong = open(server.url.replace('//', '//:nope@'))
      await expect(wrong.ping()).rejects.toMatchObject(refused)
      const right = open(server.url.replace('//', '//:secret%251@'))
      await right.write([session('u5', 1)], version(1))
      expect(await right.hash('session:u5')).toMatchObject({ watches: '1' })
    } finally {
      const admin = new Redis(server.url, { password: 'secret%1' })
      await admin.config('SET', 'requirepass', '')
      admin.disconnect()
    }
  })

  it('pings: what doctor wants to know, or one sentence', async () => {
    expect(await open(server.url).ping()).toMatchObject({
      cluster: false,
      version: expect.stringMatching(/^\d+\.\d+/),
      maxBytes: 0,
      evictionPolicy: 'noeviction',
    })
    await expect(open('redis://127.0.0.1:1').ping()).rejects.toMatchObject({
      code: 'DEPENDENCY_UNREACHABLE',
      message: expect.stringContaining('127.0.0.1:1'),
    })
  })

  it('ends a waiting write when it is closed', async () => {
    const store = createRedisStore({
      url: 'redis://127.0.0.1:1',
      log,
      clock: systemClock,
      metrics: noMetrics,
    })
    const pending = store.write([session('u6', 1)], version(1))
    await until(() => store.waiting() !== undefined)
    await store.close()
    await expect(pending).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

describe('Redis view store on a cluster', () => {
  it('follows slots that move between nodes, half moved ones too, and says when it was told a single server (R4)', async () => {
    const cluster = await startRedis({ cluster: true })
    const nodes = cluster.urls.map(url => new Redis(url))
    const store = open(clusterUrl(cluster))
    const users = Array.from({ length: 300 }, (_, i) => `u${i}`)
    await store.write(
      users.map(user => session(user, 1)),
      version(1),
    )
    const sizes = await Promise.all(nodes.map(node => node.dbsize()))
    expect(Math.min(...sizes)).toBeGreaterThan(50)

    const slot = slotOf('freshet:session:u7')
    const ids = await Promise.all(nodes.map(async node => String(await node.cluster('MYID'))))
    const owners = await Promise.all(
      nodes.map(node => node.call('CLUSTER', 'COUNTKEYSINSLOT', slot)),
    )
    const from = owners.findIndex(count => Number(count) > 0)
    const to = (from + 1) % 3
    await nodes[to].call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from])
    await nodes[from].call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to])
    await nodes[from].call(
      'MIGRATE',
      '127.0.0.1',
      new URL(cluster.urls[to]).port,
      'freshet:session:u7',
      0,
      5000,
    )
    await store.write(
      users.map(user => session(user, 2)),
      version(2),
    )
    for (const node of [nodes[to], nodes[from], nodes[3 - from - to]])
      await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to])
    await store.write(
      users.map(user => session(user, 3)),
      version(3),
    )
    for (const user of users)
      expect(await store.hash(`session:${user}`)).toEqual({ watches: '3', version: version(3) })

    const single = open(cluster.url)
    await expect(
      single.write(
        users.map(user => session(user, 1)),
        version(4),
      ),
    ).rejects.toMatchObject({
      message: expect.stringContaining('redis+cluster://'),
    })
    for (const node of nodes) node.disconnect()
    await store.close()
    await cluster.stop()
  })
})

describe("a task's mark on a cluster", () => {
  it('stands on every node: a node that lost its part is seen, a slot that moves is not taken for a loss (R7)', async () => {
    const cluster = await startRedis({ cluster: true })
    const nodes = cluster.urls.map(url => new Redis(url))
    const store = open(clusterUrl(cluster))
    let lost = 0
    let seq = 0
    const write = async (conditions: { fromVersion?: string; fromThrough?: string }) => {
      seq++
      lost = 0
      await store.write([session('u1', seq)], version(seq), {
        task: 'user-0',
        through: `${seq}`,
        fromVersion: conditions.fromVersion ?? '',
        fromThrough: conditions.fromThrough ?? '',
        lost: () => {
          lost++
        },
      })
      return lost
    }
    expect(await write({})).toBe(0)
    const marks = await Promise.all(nodes.map(node => node.keys('{freshet:shown:*')))
    expect(marks.map(keys => keys.length)).toEqual([1, 1, 1])
    expect(await write({ fromVersion: version(1) })).toBe(0)
    for (const [i, node] of nodes.entries()) {
      await node.flushall()
      expect(await write({ fromVersion: version(seq) }), `node ${i} emptied`).toBe(1)
      expect(await write({})).toBe(0)
    }
    expect(await write({ fromThrough: `${seq}` }), 'a new owner').toBe(0)

    const [mark] = marks[0]
    const slot = slotOf(mark)
    const ids = await Promise.all(nodes.map(async node => String(await node.cluster('MYID'))))
    await nodes[1].call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[0])
    await nodes[0].call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[1])
    await nodes[0].call('MIGRATE', '127.0.0.1', new URL(cluster.urls[1]).port, mark, 0, 5000)
    expect(await write({ fromVersion: version(seq) }), 'while the slot moves').toBe(0)
    for (const node of [nodes[1], nodes[0], nodes[2]])
      await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', ids[1])
    for (let n = 0; n < 5; n++) {
      expect(await write({ fromVersion: version(seq) }), 'after the slot has moved').toBe(0)
      await pause(50)
    }
    for (const node of nodes) node.disconnect()
    await store.close()
    await cluster.stop()
  })
})

describe('slots and scripts', () => {
  it('computes the slots of the specification', () => {
    expect(slotOf('123456789')).toBe(0x31c3 & 16383)
    expect(slotOf('{user1000}.following')).toBe(slotOf('user1000'))
    expect(slotOf('foo{}{bar}')).not.toBe(slotOf('bar'))
    expect(slotOf('foo{{bar}}zap')).toBe(slotOf('{bar'))
  })

  it('keeps the version key in the slot of its key, whatever braces it has', () => {
    const odd = ['pop:5m', 'a{b', 'a}b', 'a{}b', 'a{t}b', '}{', 'pop:5m:{x}']
    const many = Array.from({ length: 20_000 }, (_, n) => `freshet:session:}${n}`)
    for (const key of [...odd, ...many]) {
      expect(slotOf(versionKeyOf(key))).toBe(slotOf(key))
      expect(versionKeyOf(key).startsWith('{'), 'runs into no view').toBe(true)
    }
    expect(new Set(many.map(versionKeyOf)).size).toBe(many.length)
  })

  it('has one script a kind of versioned write', () => {
    expect(new Set(allScripts.map(({ sha1 }) => sha1)).size).toBe(allScripts.length)
  })
})

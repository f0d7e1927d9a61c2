/**
 * What every view store must do (streams/sinks.ts): one suite for Redis, a Redis Cluster and the embedded store.
 * `open` gives a store over the same rows each time it is called, so that two writers can be set against each other.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { FillableViewStore, ViewMark, ViewReader } from '../../streams/sinks.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'

type Store = FillableViewStore & ViewReader

const versionOf = (seq: number, token = 1234): string =>
  `000001-${String(token).padStart(16, '0')}-${String(seq).padStart(10, '0')}`

const day = 86_400_000
const kinds = ['json', 'hash', 'zset', 'string'] as const
type Kind = (typeof kinds)[number]

function writeOf(kind: Kind, key: string, n: number, ttlMs = day): ViewWrite {
  if (kind === 'json') return { op: 'json', key, body: `"n":${n},"items":[]}`, ttlMs }
  if (kind === 'hash') return { op: 'hash', key, fields: ['n', `${n}`, `only${n % 3}`, 'é'], ttlMs }
  if (kind === 'string') return { op: 'string', key, value: `${n}`, ttlMs }
  return { op: 'zset', key, members: [`m${n}`, 'both'], scores: [n, 0.5], ttlMs }
}

/** The value and, where the kind shows it, the version. */
async function readBack(store: Store, kind: Kind, key: string): Promise<unknown> {
  if (kind === 'json') return store.json(key)
  if (kind === 'hash') return store.hash(key)
  if (kind === 'string') return store.string(key)
  return store.zset(key, 10)
}

function expected(kind: Kind, n: number, version: string): unknown {
  if (kind === 'json') return { version, n, items: [] }
  if (kind === 'string') return `${n}`
  if (kind === 'hash') return { version, n: `${n}`, [`only${n % 3}`]: 'é' }
  const rows = [
    { member: `m${n}`, score: n },
    { member: 'both', score: 0.5 },
  ]
  return rows.sort((a, b) => b.score - a.score)
}

const absent = (kind: Kind): unknown => (kind === 'zset' ? [] : null)

export function viewStoreContract(
  name: string,
  start: () => Promise<{ open(): Promise<Store>; stop(): Promise<void> }>,
): void {
  describe(`view store: ${name}`, () => {
    let parts: Awaited<ReturnType<typeof start>>
    let store: Store
    let other: Store
    let runs = 0

    beforeAll(async () => {
      parts = await start()
      store = await parts.open()
      other = await parts.open()
    })
    afterAll(async () => {
      await store.close()
      await other.close()
      await parts.stop()
    })

    it('gives back what was written, of every kind, and null for what is not there', async () => {
      await store.write(
        [
          {
            op: 'json',
            key: 'topk:home:u:ü1',
            body: '"user":"ü1","items":[{"id":"i9"}]}',
            ttlMs: day,
          },
          { op: 'json', key: 'empty', body: '}', ttlMs: day },
          {
            op: 'hash',
            key: 'session:u1',
            fields: ['watches', '3', 'last_items', '["i1"]'],
            ttlMs: day,
          },
          { op: 'zset', key: 'pop:5m', members: ['a', 'b', 'c'], scores: [1, 3, 2.25], ttlMs: day },
          { op: 'string', key: 'pop:at', value: '1790000000000', ttlMs: 0 },
          { op: 'zadd', key: 'blocked', member: 'i7', score: 1790000000123 },
          { op: 'zadd', key: 'blocked', member: 'i8', score: 1790000000456 },
          { op: 'zrem', key: 'blocked', member: 'i7' },
        ],
        versionOf(1),
      )
      expect(await other.json('topk:home:u:ü1')).toEqual({
        version: versionOf(1),
        user: 'ü1',
        items: [{ id: 'i9' }],
      })
      expect(await other.json('empty')).toEqual({ version: versionOf(1) })
      expect(await other.hash('session:u1')).toEqual({
        watches: '3',
        last_items: '["i1"]',
        version: versionOf(1),
      })
      expect(await other.zset('pop:5m', 2)).toEqual([
        { member: 'b', score: 3 },
        { member: 'c', score: 2.25 },
      ])
      expect(await other.string('pop:at')).toBe('1790000000000')
      expect(await other.zset('blocked', 10)).toEqual([{ member: 'i8', score: 1790000000456 }])
      expect(await other.json('nothing')).toBeNull()
      expect(await other.hash('nothing')).toBeNull()
      expect(await other.string('nothing')).toBeNull()
      expect(await other.zset('nothing', 10)).toEqual([])
    })

    it('replaces a value whole: old fields and members are gone', async () => {
      for (const kind of kinds) {
        await store.write([writeOf(kind, `whole:${kind}`, 1)], versionOf(1))
        await store.write([writeOf(kind, `whole:${kind}`, 2)], versionOf(2))
        expect(await store.hash('whole:hash').then(fields => fields?.only1)).toBeUndefined()
        expect(await readBack(store, kind, `whole:${kind}`)).toEqual(
          expected(kind, 2, versionOf(2)),
        )
      }
    })

    it('sorts equal scores by member, backwards', async () => {
      const members = ['a', 'é', 'b', 'z', '\u{1f600}', '\uffee']
      const scores = members.map(() => 7)
      await store.write([{ op: 'zset', key: 'ties', members, scores, ttlMs: day }], versionOf(1))
      const byBytes = [...members].sort((a, b) => Buffer.compare(Buffer.from(b), Buffer.from(a)))
      expect((await store.zset('ties', 10)).map(row => row.member)).toEqual(byBytes)
    })

    it('takes a sorted set larger than a script may unpack', async () => {
      const members = Array.from({ length: 9000 }, (_, i) => `i${i}`)
      const scores = members.map((_, i) => i)
      await store.write([{ op: 'zset', key: 'large', members, scores, ttlMs: day }], versionOf(1))
      const all = await store.zset('large', 10_000)
      expect(all).toHaveLength(9000)
      expect(all[0]).toEqual({ member: 'i8999', score: 8999 })
    })

    it('ends a life, and a value without one stays', async () => {
      await store.write(
        [
          ...kinds.map(kind => writeOf(kind, `short:${kind}`, 1, 30)),
          { op: 'string', key: 'long:string', value: 'x', ttlMs: 0 },
        ],
        versionOf(1),
      )
      const gone = async (): Promise<boolean> =>
        (await store.string('short:string')) === null &&
        (await store.json('short:json')) === null &&
        (await store.hash('short:hash')) === null &&
        (await store.zset('short:zset', 1)).length === 0
      while (!(await gone())) await new Promise(resolve => setTimeout(resolve, 10))
      expect(await store.string('long:string')).toBe('x')
      for await (const key of store.scan('short:')) throw new Error(`${key} should be gone`)
      await store.write([writeOf('zset', 'short:zset', 3)], versionOf(0))
      expect(await store.zset('short:zset', 1)).toHaveLength(1)
    })

    it('lists keys by prefix', async () => {
      const keys = Array.from({ length: 2500 }, (_, i) => `scan:a*:${i}`)
      await store.write(
        [...keys, 'scan:b'].map(key => ({ op: 'string', key, value: '1', ttlMs: 0 })),
        versionOf(1),
      )
      const found: string[] = []
      for await (const key of store.scan('scan:a*')) found.push(key)
      expect(found.sort()).toEqual([...keys].sort())
      const all = new Set<string>()
      for await (const key of store.scan('scan:a*', true)) all.add(key)
      expect([...all].sort()).toEqual([...keys].sort())
    })

    it('writes thousands in one call, and two of one key in order', async () => {
      const writes: ViewWrite[] = []
      for (let n = 0; n < 6000; n++) writes.push(writeOf('hash', `many:${n % 5999}`, n))
      await store.write(writes, versionOf(1))
      expect(await store.hash('many:0')).toEqual(expected('hash', 5999, versionOf(1)))
      expect(await store.hash('many:5998')).toEqual(expected('hash', 5998, versionOf(1)))
    })

    it('keeps the newest version whatever the order; a delete takes only what is not newer, and for good', async () => {
      const step = fc.record({
        kind: fc.constantFrom(...kinds),
        key: fc.constantFrom('k', 'k{t}', 'k}{'),
        seq: fc.integer({ min: 0, max: 12 }),
        remove: fc.integer({ min: 0, max: 4 }).map(n => n === 0),
        first: fc.boolean(),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
          const run = `seq${runs++}`
          const model = new Map<string, { seq: number; gone: boolean }>()
          for (const { kind, key, seq, remove, first } of steps) {
            const full = `${run}:${kind}:${key}`
            const write: ViewWrite = remove ? { op: 'delete', key: full } : writeOf(kind, full, seq)
            await (first ? store : other).write([write], versionOf(seq))
            const stored = model.get(full)
            if (stored && stored.seq > seq) continue
            model.set(full, { seq, gone: remove })
          }
          for (const { kind, key } of steps) {
            const stored = model.get(`${run}:${kind}:${key}`)
            const wanted =
              stored === undefined || stored.gone
                ? absent(kind)
                : expected(kind, stored.seq, versionOf(stored.seq))
            expect(await readBack(store, kind, `${run}:${kind}:${key}`)).toEqual(wanted)
          }
        }),
        { numRuns: 40 },
      )
    })

    it('keeps the newest of two writers that write at once', async () => {
      const commits = fc.array(
        fc.record({ token: fc.integer({ min: 9, max: 11 }), seq: fc.integer({ min: 0, max: 9 }) }),
        { minLength: 1, maxLength: 12 },
      )
      await fc.assert(
        fc.asyncProperty(commits, commits, async (mine, theirs) => {
          const run = `race${runs++}`
          const rank = (c: { token: number; seq: number }): number => c.token * 10 + c.seq
          const send = async (to: Store, list: typeof mine): Promise<void> => {
            for (const commit of list)
              await to.write(
                kinds.map(kind => writeOf(kind, `${run}:${kind}`, rank(commit))),
                versionOf(commit.seq, commit.token),
              )
          }
          await Promise.all([send(store, mine), send(other, theirs)])
          const newest = [...mine, ...theirs].sort((a, b) => rank(b) - rank(a))[0]
          for (const kind of kinds)
            expect(await readBack(store, kind, `${run}:${kind}`)).toEqual(
              expected(kind, rank(newest), versionOf(newest.seq, newest.token)),
            )
        }),
        { numRuns: 30 },
      )
    })

    it('hides what was deleted from every reader, and takes what is newer', async () => {
      const key = 'k'.repeat(20)
      for (const kind of kinds) {
        await store.write([writeOf(kind, `gone:${kind}:${key}`, 2)], versionOf(2))
        await store.write([{ op: 'delete', key: `gone:${kind}:${key}` }], versionOf(3))
        await other.write([writeOf(kind, `gone:${kind}:${key}`, 1)], versionOf(1))
        expect(await readBack(store, kind, `gone:${kind}:${key}`)).toEqual(absent(kind))
        expect(await store.string(`gone:json:${key}`)).toBeNull()
        expect(await store.hash(`gone:hash:${key}`)).toBeNull()
      }
      for await (const found of store.scan('gone:')) throw new Error(`${found} should be gone`)
      for (const kind of kinds) {
        await other.write([writeOf(kind, `gone:${kind}:${key}`, 4)], versionOf(4))
        expect(await readBack(store, kind, `gone:${kind}:${key}`)).toEqual(
          expected(kind, 4, versionOf(4)),
        )
      }
    })

    it('lets no older owner undo what a newer one did with a member of a set', async () => {
      const member = fc.constantFrom('a', 'b', 'c{x}')
      const step = fc.record({
        what: fc.constantFrom('add', 'remove', 'clear'),
        members: fc.array(member, { minLength: 1, maxLength: 3 }),
        seq: fc.integer({ min: 1, max: 9 }),
        first: fc.boolean(),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async steps => {
          const key = `members${runs++}`
          const present = new Map<string, number>()
          const decided = new Map<string, number>()
          for (const { what, members, seq, first } of steps) {
            const [one] = members
            const write: ViewWrite =
              what === 'clear'
                ? { op: 'zclear', key, members }
                : what === 'add'
                  ? { op: 'zadd', key, member: one, score: seq }
                  : { op: 'zrem', key, member: one }
            await (first ? store : other).write([write], versionOf(seq))
            for (const name of what === 'clear' ? members : [one]) {
              if ((decided.get(name) ?? 0) > seq) continue
              if (what === 'add') present.set(name, seq)
              else present.delete(name)
              if (what !== 'clear') decided.set(name, seq)
            }
          }
          const found = (await other.zset(key, 10)).map(row => [row.member, row.score])
          expect(new Map(found as [string, number][])).toEqual(present)
        }),
        { numRuns: 40 },
      )
    })

    it('fills only where nothing as new stands, deletes included', async () => {
      for (const kind of kinds) {
        const keys = ['absent', 'older', 'same', 'newer', 'deleted'].map(of => `fill:${kind}:${of}`)
        const [absentKey, older, same, newer, deleted] = keys
        await store.write([writeOf(kind, older, 1)], versionOf(4))
        await store.write([writeOf(kind, same, 1), { op: 'delete', key: deleted }], versionOf(5))
        await store.write([writeOf(kind, newer, 1)], versionOf(6))
        expect(
          await other.fill(
            keys.map(key => writeOf(kind, key, 2)),
            versionOf(5),
          ),
        ).toBe(3)
        for (const key of [absentKey, older])
          expect(await readBack(store, kind, key)).toEqual(expected(kind, 2, versionOf(5)))
        expect(await readBack(store, kind, same)).toEqual(expected(kind, 1, versionOf(5)))
        expect(await readBack(store, kind, newer)).toEqual(expected(kind, 1, versionOf(6)))
        expect(await readBack(store, kind, deleted)).toEqual(absent(kind))
      }
    })

    describe('marks', () => {
      let task = ''
      /** Writes with a mark; was something lost? */
      async function loses(to: Store, seq: number, given: Partial<ViewMark>): Promise<boolean> {
        let lost = false
        await to.write([writeOf('hash', `${task}:key`, seq)], versionOf(seq), {
          task,
          through: given.through ?? versionOf(seq),
          fromVersion: given.fromVersion ?? '',
          fromThrough: given.fromThrough ?? '',
          lost: () => {
            lost = true
          },
        })
        return lost
      }

      beforeEach(() => {
        task = `task{}-${runs++}`
      })

      it('are where they were left as long as nothing was lost, for owner and next owner', async () => {
        expect(await loses(store, 1, {})).toBe(false)
        expect(await loses(store, 2, { fromVersion: versionOf(1) })).toBe(false)
        expect(await loses(store, 2, { fromVersion: versionOf(1) })).toBe(false)
        expect(await loses(other, 3, { fromThrough: versionOf(2) })).toBe(false)
        expect(await loses(other, 4, { fromVersion: versionOf(3) })).toBe(false)
      })

      it('tell of what is absent or older, again and again until set without conditions', async () => {
        expect(await loses(other, 1, { fromThrough: versionOf(0) })).toBe(true)
        expect(await loses(store, 1, {})).toBe(false)
        expect(await loses(other, 3, { fromThrough: versionOf(2) })).toBe(true)
        expect(await loses(store, 4, { fromVersion: versionOf(2) })).toBe(true)
        expect(await loses(store, 5, { fromVersion: versionOf(1) })).toBe(false)
        expect(await store.hash(`${task}:key`)).toMatchObject({ version: versionOf(5) })
        await store.unmark(task)
        expect(await loses(store, 6, { fromVersion: versionOf(5) })).toBe(true)
        expect(await loses(store, 7, { fromVersion: versionOf(5) })).toBe(true)
        expect(await loses(store, 8, {})).toBe(false)
        expect(await loses(store, 9, { fromVersion: versionOf(8) })).toBe(false)
      })

      it('do not go back for an owner of before, who hears of no loss', async () => {
        await loses(store, 1, {})
        await loses(other, 5, { fromThrough: versionOf(1) })
        expect(await loses(store, 2, { fromVersion: versionOf(1) })).toBe(false)
        expect(await loses(store, 3, {})).toBe(false)
        expect(await loses(other, 6, { fromVersion: versionOf(5) })).toBe(false)
      })

      it('are no view: readers do not see them', async () => {
        await store.write([], versionOf(1), {
          task,
          through: '1',
          fromVersion: '',
          fromThrough: '',
          lost: () => expect.fail('nothing to lose'),
        })
        for await (const key of store.scan('')) expect(key).not.toContain(task)
      })
    })

    it('refuses work once closed', async () => {
      const third = await parts.open()
      await third.close()
      await expect(third.write([writeOf('json', 'late', 1)], versionOf(1))).rejects.toMatchObject({
        code: 'CLOSED',
      })
    })
  })
}

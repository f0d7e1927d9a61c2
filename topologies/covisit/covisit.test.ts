import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { TaskContext } from '../../streams/topology/stage.ts'
import { ItemCluster, plainItem } from '../../test/support/item-cluster.ts'
import type { UserEvent } from '../user/event.ts'
import { BoardAdder, emptyBoard, nthLargest, sortBoard } from './neighbours.ts'
import { PendingEdges } from './pending-edges.ts'
import { weightUnit } from './rows.ts'
import { fiveDigits, similarBody } from './similar.ts'
import { createCovisitUserStage } from './user-stage.ts'
import { readVisits, Visits } from './visits.ts'

const t0 = 1_780_000_000_000

interface Positive {
  readonly user: string
  readonly item: string
}

/** Every pair of a user's distinct positives, by their distance in order of first sight. */
function naive(positives: readonly Positive[]): Map<string, number> {
  const histories = new Map<string, string[]>()
  for (const { user, item } of positives) {
    const history = histories.get(user) ?? []
    if (!history.includes(item)) histories.set(user, [...history, item])
  }
  const sums = new Map<string, number>()
  for (const history of histories.values())
    for (let i = 0; i < history.length; i++)
      for (let j = 0; j < history.length; j++) {
        const k = Math.abs(i - j) - 1
        if (k < 0 || k >= 23) continue
        const key = `${history[i]}>${history[j]}`
        sums.set(key, (sums.get(key) ?? 0) + Math.round(4096 * 0.8 ** k))
      }
  return sums
}

function published(cluster: ItemCluster): Map<string, number> {
  const found = new Map<string, number>()
  for (let i = 0; i < cluster.table.size; i++) {
    const row = cluster.table.neighbours(i)
    for (let n = 0; n < (row?.size ?? 0); n++)
      found.set(
        `${cluster.table.idOf(i)}>${cluster.table.idOf(row?.items[n] ?? -1)}`,
        (row?.weights[n] ?? 0) * weightUnit,
      )
  }
  return found
}

const watch = (
  cluster: ItemCluster,
  user: string,
  itemId: string,
  consent = 'full' as const,
): void => cluster.act({ userId: user, itemId, ts: t0, kind: 'watch', positive: true, consent })

const always = { 'covisit.publishInterval': 0, 'covisit.publishThreshold': 0 }

describe('co-visitation', () => {
  it('equals a naive recount over partitions and restores in the middle', () => {
    const step = fc.oneof(
      {
        weight: 10,
        arbitrary: fc.record({
          user: fc.nat(5).map(n => `u${n}`),
          item: fc.nat(40).map(n => `i${n}`),
        }),
      },
      { weight: 1, arbitrary: fc.nat(2) },
      { weight: 1, arbitrary: fc.nat(2).map(restore => ({ restore })) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), steps => {
        const cluster = new ItemCluster(3, always)
        const positives: Positive[] = []
        for (const s of steps) {
          if (typeof s === 'number') {
            cluster.commitUser(s)
            cluster.commitItem(s)
          } else if ('restore' in s) {
            cluster.commitItem(s.restore)
            cluster.restoreItem(s.restore, true)
          } else {
            positives.push(s)
            watch(cluster, s.user, s.item)
          }
        }
        cluster.commitAll()
        expect(new Map([...published(cluster)].sort())).toEqual(
          new Map([...naive(positives)].sort()),
        )
      }),
      { numRuns: 12 },
    )
  })

  it('sends each co-visit to the owners of both items, once each, and keeps rounds apart', () => {
    const visits = new Visits()
    const minuteOf = (i: number): number => 29_000_000 + ((i * 37) % 1_000)
    for (let round = 0; round < 2; round++) {
      const expected: string[] = []
      for (let i = 0; i < 3_000; i++) {
        const item = (i * 7919) % 6_130
        visits.add(item, minuteOf(i))
        for (let k = 0; k < i % 23; k++) {
          const other = (i * 104_729 + k * 31) % 5_990
          visits.follow(other)
          for (const owner of new Set([item % 3, other % 3]))
            expected.push(`${owner} ${item} ${other} ${k} ${owner === item % 3} ${minuteOf(i)}`)
        }
      }
      const writers = [new ByteWriter(), new ByteWriter(), new ByteWriter()]
      visits.drain(
        item => item % 3,
        item => `i${item}`,
        partition => writers[partition],
      )
      const found: string[] = []
      writers.forEach((writer, owner) => {
        const idFrom = (r: ByteReader, size: number): number => Number(r.rawString(size).slice(1))
        readVisits(new ByteReader(writer.copy()), idFrom, (item, other, k, whole, minute) => {
          found.push(`${owner} ${item} ${other} ${k} ${whole} ${minute}`)
        })
      })
      expect(found.sort()).toEqual(expected.sort())
      expect(visits.size).toBe(0)
    }
  })

  it('brings waiting edges together by row, in order of arrival', () => {
    const pending = new PendingEdges()
    for (let round = 0; round < 2; round++) {
      const expected = new Map<number, number[]>()
      for (let i = 0; i < 20_000; i++) {
        const row = (i * i) % 4_001
        pending.add(row, i, i % 7, i / 3, i / 5)
        expected.set(row, [...(expected.get(row) ?? []), i, i % 7, i / 3, i / 5])
      }
      const found = new Map<number, number[]>()
      pending.take((row, { columns, weights, next, recent }, from, to) => {
        const edges: number[] = []
        for (let at = from; at < to; at++)
          edges.push(columns[at], weights[at], next[at], recent[at])
        found.set(row, edges)
      })
      expect([...found]).toEqual([...expected])
      expect(pending.size).toBe(0)
    }
  })

  it('keeps the strongest of a full board; equal weights by id', () => {
    const idOf = (item: number): string => `i${String(item).padStart(3, '0')}`
    const adder = new BoardAdder(8, idOf)
    const board = emptyBoard()
    for (let item = 0; item < 16; item++) adder.addOne(board, 15 - item, item < 4 ? 5 : 1, 0, 0)
    expect(board.size).toBe(16)
    adder.addOne(board, 99, 1, 0, 0)
    sortBoard(board, idOf)
    expect([...board.items.subarray(0, board.size)]).toEqual([12, 13, 14, 15, 0, 1, 2, 3, 99])
  })

  it('gives the same board whether edges come one by one or many at once', () => {
    const idOf = (item: number): string => `i${(item * 37) % 101}`
    const edge = fc.record({ item: fc.nat(60), weight: fc.integer({ min: 1, max: 5 }) })
    fc.assert(
      fc.property(fc.array(fc.array(edge, { maxLength: 60, size: 'max' })), groups => {
        const many = new BoardAdder(8, idOf)
        const single = new BoardAdder(8, idOf)
        const [a, b] = [emptyBoard(), emptyBoard()]
        for (const group of groups) {
          const columns = Int32Array.from(group, ({ item }) => item)
          const weights = Int32Array.from(group, ({ weight }) => weight)
          const next = Float64Array.from(group, ({ weight }) => weight / 3)
          const recent = Float64Array.from(group, ({ item }) => item / 7)
          many.add(a, { columns, weights, next, recent }, 0, group.length)
          for (const { item, weight } of group) single.addOne(b, item, weight, weight / 3, item / 7)
        }
        expect([...a.items.subarray(0, a.size)]).toEqual([...b.items.subarray(0, b.size)])
        expect([...a.weights.subarray(0, a.size)]).toEqual([...b.weights.subarray(0, b.size)])
        sortBoard(a, idOf)
        const sorted = Array.from({ length: b.size }, (_, i) => ({ i, id: idOf(b.items[i]) }))
          .sort((x, y) => b.weights[y.i] - b.weights[x.i] || (x.id < y.id ? -1 : 1))
          .map(({ i }) => [b.items[i], b.weights[i], b.next[i], b.recent[i]])
        expect(
          Array.from({ length: a.size }, (_, i) => [
            a.items[i],
            a.weights[i],
            a.next[i],
            a.recent[i],
          ]),
        ).toEqual(sorted)
      }),
    )
  })

  it('writes views that JSON reads: best first, five digits, ids of any text, nothing that may not be listed', () => {
    const ids = ['plain-1', 'ü "quoted"\\', 'c', 'd', 'self\n']
    const board = emptyBoard()
    const adder = new BoardAdder(8, item => ids[item])
    for (const [item, weight] of [
      [0, 4096],
      [1, 9000],
      [2, 3277],
      [3, 3277],
    ])
      adder.addOne(board, item, weight, 0, 0)
    const items = {
      idOf: (item: number) => ids[item],
      positives: (item: number) => item * 3,
      listable: (item: number) => item !== 2,
    }
    expect(JSON.parse(`{${similarBody(4, board, 2, items, 77)}`)).toEqual({
      item: ids[4],
      at: 77,
      items: [
        { id: ids[1], score: Number((9000 / 4096 / Math.sqrt(8)).toPrecision(5)) },
        { id: ids[0], score: Number((1 / Math.sqrt(5)).toPrecision(5)) },
      ],
    })
    fc.assert(
      fc.property(fc.double({ min: 1e-4, max: 1e9, noNaN: true }), x => {
        const found = fiveDigits(x)
        expect(Math.abs(found - x)).toBeLessThanOrEqual(5.01e-5 * x)
        expect(String(found).replace(/^0\.0*|\.|0+$/g, '').length).toBeLessThanOrEqual(5)
      }),
    )
  })

  it('selects the n-th largest', () => {
    const numbers = fc.array(fc.nat(20), { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(numbers, fc.nat(39), (all, at) => {
        const n = 1 + (at % all.length)
        const sorted = [...all].sort((a, b) => b - a)
        expect(nthLargest(Float64Array.from(all), all.length, n)).toBe(sorted[n - 1])
      }),
    )
  })

  it('publishes a row at most once an interval and only if it grew, with its view', () => {
    const cluster = new ItemCluster(1)
    const written = (): number =>
      cluster.logs[0].at(-1)?.records.filter(r => r.key?.[0] === 4).length ?? 0
    watch(cluster, 'u', 'a')
    watch(cluster, 'u', 'b')
    cluster.commitAll()
    expect(written()).toBe(2)
    expect(cluster.view('similar:a')).toEqual({
      op: 'json',
      key: 'similar:a',
      body: `"item":"a","at":${cluster.now},"items":[{"id":"b","score":0.44721}]}`,
      ttlMs: 7 * 86_400_000,
    })
    cluster.now += 1_000
    watch(cluster, 'v', 'a')
    watch(cluster, 'v', 'b')
    cluster.commitAll()
    expect(written()).toBe(0)
    cluster.now += 9_000
    watch(cluster, 'w', 'c')
    cluster.commitAll()
    expect(written()).toBe(2)
    expect(published(cluster).get('a>b')).toBe(2 * weightUnit)
    cluster.views.length = 0
    cluster.now += 4 * 86_400_000
    watch(cluster, 'w2', 'c')
    cluster.commitAll()
    expect(cluster.views.filter(v => v.key.startsWith('similar')).length).toBe(2)
  })

  it('counts nothing of a viewer without full consent', () => {
    const cluster = new ItemCluster(1, always)
    for (const item of ['a', 'b'])
      cluster.act({
        userId: 'u',
        itemId: item,
        ts: t0,
        kind: 'watch',
        positive: true,
        consent: 'contextual',
      })
    cluster.commitAll()
    expect(published(cluster).size).toBe(0)
  })

  it('rewrites the views that hold a withdrawn item at once, and removes its own', () => {
    const cluster = new ItemCluster(3)
    for (let u = 0; u < 10; u++)
      for (const item of ['gone', `a${u}`, `b${u}`]) watch(cluster, `u${u}`, item)
    cluster.commitAll()
    const holding = (): string[] =>
      Array.from(
        { length: cluster.table.size },
        (_, i) => `similar:${cluster.table.idOf(i)}`,
      ).filter(key => {
        const write = cluster.view(key)
        return write?.op === 'json' && write.body.includes('"id":"gone"')
      })
    expect(holding().length).toBe(20)
    cluster.put('gone', plainItem('gone', { safety: 'blocked' }))
    for (let round = 0; round < 3; round++)
      for (let p = 0; p < 3; p++) if (cluster.urgentItem(p)) cluster.commitItem(p)
    expect(holding()).toEqual([])
    expect(cluster.view('similar:gone')).toBeUndefined()
    for (let p = 0; p < 3; p++) expect(cluster.urgentItem(p)).toBe(false)
    cluster.put('gone', plainItem('gone'))
    cluster.commitAll()
    cluster.commitAll()
    expect(cluster.view('similar:gone')).toBeDefined()
  })

  it('input waits for a commit once its packets hold a mebibyte, whether its ids are long or many', () => {
    for (const [length, atMost] of [
      [250, 200],
      [6, 4_500],
    ]) {
      const cluster = new ItemCluster(1)
      const stage = createCovisitUserStage(
        { partitionsOf: () => 1, table: () => cluster.table } as unknown as TaskContext,
        () => false,
      )
      const item = (n: number): number => cluster.table.index(`${n}`.padStart(length, '0'))
      let n = 0
      for (; !stage.full?.() && n < 10_000; n++)
        stage.process?.({
          ...{ kind: 'watch', userId: 'u', firstPositive: true, item: item(n), ts: t0 },
          user: { positives: { length: 30, item: (k: number) => item(n * 30 + k) } },
        } as unknown as UserEvent)
      expect(n).toBeLessThanOrEqual(atMost)
      const w = new ByteWriter()
      stage.flush?.({ delta: () => w } as unknown as Outbox)
      expect(w.length).toBeLessThan(1.1 * 1024 * 1024)
      expect(w.length).toBeGreaterThan(200_000)
      expect(stage.full?.()).toBe(false)
    }
  })

  it('writes the views of the last batch again after a restore', () => {
    const cluster = new ItemCluster(1)
    watch(cluster, 'u', 'a')
    watch(cluster, 'u', 'b')
    cluster.commitAll()
    cluster.views.length = 0
    cluster.restoreItem(0)
    cluster.commitItem(0)
    expect(cluster.views.map(v => v.key).sort()).toEqual(['similar:a', 'similar:b'])
  })
})

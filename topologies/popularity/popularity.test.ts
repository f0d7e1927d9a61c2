import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { type Act, ItemCluster, plainItem } from '../../test/support/item-cluster.ts'
import { halfLivesMs } from './decay.ts'
import { windowsMinutes } from './windows.ts'

const t0 = 1_780_000_000_000
const windowNames: Record<string, number> = Object.fromEntries(
  windowsMinutes.map(({ name, minutes }) => [name, minutes]),
)

/** The contract's windows, counted anew from all acts. */
function recount(acts: readonly Act[], window: string, cohort: string): [string, number][] {
  const counted = acts.filter(act => act.consent !== 'none' && counts(act))
  const at = Math.floor(Math.max(...counted.map(act => act.ts)) / 60_000)
  const sums = new Map<string, number>()
  for (const { itemId, ts, ...act } of counted) {
    const minute = Math.floor(ts / 60_000)
    if (!act.positive || (cohort !== '' && act.cohort !== cohort)) continue
    if (minute > at - windowNames[window] && minute <= at)
      sums.set(itemId, (sums.get(itemId) ?? 0) + 1)
  }
  return [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
}

/** A repeated heartbeat brings nothing to count. */
const counts = (act: Act): boolean =>
  act.kind === 'impression' || !!act.started || !!act.positive || (act.watchedMs ?? 0) > 0

const act = fc.record({
  userId: fc.nat(9).map(n => `u${n}`),
  itemId: fc.nat(7).map(n => `item ${n}`),
  pass: fc.oneof(fc.nat(2_000), fc.nat(400_000), fc.nat(40_000_000)),
  late: fc.oneof(fc.constant(0), fc.nat(100_000), fc.nat(86_000_000)),
  kind: fc.constantFrom('impression' as const, 'watch' as const, 'watch' as const),
  cohort: fc.constantFrom('', 'de', 'young ü'),
  positive: fc.boolean(),
  started: fc.boolean(),
  watchedMs: fc.nat(60_000),
  consent: fc.constantFrom('full' as const, 'contextual' as const, 'none' as const),
})
const step = fc.oneof(
  { weight: 12, arbitrary: act },
  { weight: 2, arbitrary: fc.nat(2).map(user => ({ user })) },
  { weight: 2, arbitrary: fc.nat(2).map(item => ({ item })) },
  { weight: 1, arbitrary: fc.record({ restore: fc.nat(2), compacted: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant('global' as const) },
)

describe('popularity', () => {
  it('equals a recount over partitions, disorder, late events and restores in the middle', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 120, size: 'max' }), steps => {
        const cluster = new ItemCluster(3)
        const acts: Act[] = []
        let now = t0
        for (const s of steps) {
          if (s === 'global') cluster.commitGlobal()
          else if ('user' in s) cluster.commitUser(s.user)
          else if ('item' in s) cluster.commitItem(s.item)
          else if ('restore' in s) {
            cluster.commitItem(s.restore)
            cluster.restoreItem(s.restore, s.compacted)
          } else {
            now += s.pass
            const positive = s.kind === 'watch' && s.positive
            const made = {
              ...s,
              ts: now - s.late,
              positive,
              started: s.kind === 'watch' && s.started,
            }
            acts.push(made)
            cluster.act(made)
          }
        }
        cluster.commitAll()
        const counted = acts.filter(a => a.consent !== 'none' && counts(a))
        if (counted.length === 0) {
          expect(cluster.view('pop:at')).toBeUndefined()
          return
        }
        const at = Math.max(...counted.map(a => a.ts))
        expect(cluster.view('pop:at')).toMatchObject({ value: String(at), ttlMs: 0 })
        expect(cluster.table.countedUntil).toBe(at)
        for (const { name, minutes } of windowsMinutes)
          for (const cohort of ['', 'de', 'young ü']) {
            const key = cohort === '' ? `pop:${name}` : `pop:${name}:${cohort}`
            const expected = recount(acts, name, cohort)
            expect(cluster.zset(key) ?? []).toEqual(expected)
            const write = cluster.view(key)
            if (write) expect(write).toMatchObject({ ttlMs: minutes * 60_000 + 3_600_000 })
          }
        for (let i = 0; i < 8; i++) {
          const index = cluster.table.index(`item ${i}`)
          const own = counted.filter(a => a.itemId === `item ${i}`)
          expect(cluster.table.positives(index)).toBe(own.filter(a => a.positive).length)
          expect(cluster.table.impressions(index)).toBe(
            own.filter(a => a.kind === 'impression').length,
          )
          halfLivesMs.forEach((halfLife, h) => {
            const expected = own
              .filter(a => a.positive)
              .reduce((s, a) => s + 2 ** ((Math.floor(a.ts / 60_000) * 60_000 - at) / halfLife), 0)
            const found = cluster.table.decayed(h, index, at)
            expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-5 * expected + 1e-30)
          })
        }
      }),
      { numRuns: 40 },
    )
  })

  it('a window ends with the minute of the newest event and has whole minutes', () => {
    for (const { name, minutes } of windowsMinutes) {
      const cluster = new ItemCluster(2)
      const at = t0 - (t0 % 60_000) + 59_999
      const first = at - 59_999 - (minutes - 1) * 60_000
      const times = { newest: at, first, before: first - 1 }
      for (const [itemId, ts] of Object.entries(times))
        cluster.act({ userId: 'u', itemId, ts, kind: 'watch', positive: true })
      cluster.commitAll()
      expect(cluster.zset(`pop:${name}`)).toEqual([
        ['first', 1],
        ['newest', 1],
      ])
    }
  })

  it('a table made anew from the compacted changelog equals the live one', () => {
    const cluster = new ItemCluster(2)
    for (let i = 0; i < 3_000; i++) {
      const item = `i${(i * i) % 37}`
      cluster.act({
        userId: `u${i % 11}`,
        itemId: item,
        ts: t0 + i * 171_000 - ((i * 7) % 13) * 60_000,
        kind: i % 3 === 0 ? 'impression' : 'watch',
        positive: i % 3 === 1,
        cohort: i % 2 ? 'a' : '',
        watchedMs: 1_000,
      })
      cluster.now += 1_000
      if (i % 50 === 0) cluster.commitAll()
      if (i % 400 === 0) cluster.put(item, plainItem(item, { publishedAt: i }))
      if (i === 1_600) cluster.put('i4', null)
    }
    cluster.commitAll()
    const { table, windows } = cluster.followAnew(true)
    expect(windows.at).toBe(cluster.windows.at)
    const live = cluster.windows.windows
    for (let c = 0; c < live.cohortCount; c++)
      for (let b = 0; b < windowsMinutes.length; b++) {
        const named = (w: typeof live): [string, number][] => {
          const best = w.best(w.cohorts.index(live.cohorts.nameOf(c)), b, 1000, () => false)
          return best.items.map((item, i) => [w.items.nameOf(item), best.scores[i]])
        }
        expect(named(windows.windows)).toEqual(named(live))
      }
    const ids = (t: typeof table, indices: readonly number[]): string[] =>
      indices.map(i => t.idOf(i))
    for (let h = 0; h < halfLivesMs.length; h++)
      expect(ids(table, table.popular(h, 20))).toEqual(
        ids(cluster.table, cluster.table.popular(h, 20)),
      )
    expect(ids(table, table.newest(10))).toEqual(ids(cluster.table, cluster.table.newest(10)))
    expect(table.size).toBe(cluster.table.size)
    for (let i = 0; i < table.size; i++) {
      const j = cluster.table.index(table.idOf(i))
      expect(table.positives(i)).toBe(cluster.table.positives(j))
      expect(table.rate(i)).toBeCloseTo(cluster.table.rate(j), 9)
      expect(table.withdrawnAt(i)).toBe(cluster.table.withdrawnAt(j))
      const named = (t: typeof table, k: number): unknown => {
        const row = t.neighbours(k)
        return row && [ids(t, [...row.items.subarray(0, row.size)]), row.weights.slice(0, row.size)]
      }
      expect(named(table, i)).toEqual(named(cluster.table, j))
    }
  })

  it('hours are kept for the longest window and the grace, then removed from the changelog', () => {
    const cluster = new ItemCluster(1)
    const positive = (itemId: string, ts: number): void =>
      cluster.act({ userId: 'u', itemId, ts, kind: 'watch', positive: true, consent: 'contextual' })
    positive('a', t0)
    cluster.commitAll()
    positive('b', t0 + 9 * 86_400_000)
    cluster.commitAll()
    cluster.commitAll()
    const rows = cluster.logs[0].flatMap(batch => batch.records.filter(r => r.key?.[0] === 3))
    expect(rows.filter(r => r.value === null).map(r => r.key?.subarray(-1).toString())).toEqual([
      'a',
    ])
    positive('c', t0)
    cluster.commitAll()
    expect(cluster.table.positives(cluster.table.index('c'))).toBe(1)
    expect(cluster.zset('pop:7d')).toEqual([['b', 1]])
  })

  it('writes only what changed, and again before its life is over', () => {
    const cluster = new ItemCluster(1)
    cluster.act({ userId: 'u', itemId: 'a', ts: t0, kind: 'watch', positive: true, cohort: 'x' })
    cluster.commitAll()
    expect(cluster.views.filter(v => v.op === 'zset').length).toBe(10)
    cluster.views.length = 0
    cluster.commitAll()
    expect(cluster.views).toEqual([])
    cluster.now += 17 * 60_000
    cluster.commitAll()
    expect(cluster.views.map(v => v.key).sort()).toEqual(['pop:5m', 'pop:5m:x'])
  })

  it('removes the set of a window that has emptied, also after a restart', () => {
    const cluster = new ItemCluster(1)
    cluster.act({ userId: 'u', itemId: 'a', ts: t0, kind: 'watch', positive: true })
    cluster.commitAll()
    cluster.act({ userId: 'u', itemId: 'b', ts: t0 + 600_000, kind: 'impression' })
    cluster.commitUser(0)
    cluster.commitItem(0)
    cluster.restartGlobal()
    cluster.commitGlobal()
    expect(cluster.views.at(-1)).toMatchObject({ key: 'pop:at', value: String(t0 + 600_000) })
    expect(cluster.views.findLast(v => v.key === 'pop:5m')).toEqual({ op: 'delete', key: 'pop:5m' })
    expect(cluster.zset('pop:1h')).toEqual([['a', 1]])
  })

  it('what was withdrawn long ago is not asked for again with each commit', () => {
    const cluster = new ItemCluster(2)
    for (let n = 0; n < 50; n++) {
      cluster.act({ userId: 'u', itemId: `i${n}`, ts: t0, kind: 'watch', positive: true })
      cluster.put(`i${n}`, null)
    }
    for (let n = 0; n < 3; n++) cluster.commitAll()
    const asked = vi.spyOn(cluster.table, 'withdrawnAt')
    cluster.commitAll()
    expect(asked).not.toHaveBeenCalled()
  })

  it('a withdrawn item leaves every set with the next commit, without waiting for it, and may come back', () => {
    const cluster = new ItemCluster(2)
    for (const itemId of ['a', 'b'])
      cluster.act({ userId: 'u', itemId, ts: t0, kind: 'watch', positive: true, cohort: 'x' })
    cluster.commitAll()
    cluster.put('a', null)
    const owner = [0, 1].find(p => cluster.urgentItem(p)) ?? -1
    expect(owner).toBeGreaterThanOrEqual(0)
    expect(cluster.urgentGlobal()).toBe(false)
    cluster.commitItem(owner)
    expect(cluster.urgentGlobal()).toBe(true)
    cluster.commitItem(owner)
    expect(cluster.urgentItem(owner)).toBe(false)
    cluster.commitGlobal()
    for (const name of ['5m', '1h', '24h', '7d', 'trend', '5m:x', 'trend:x'])
      expect(cluster.zset(`pop:${name}`)?.map(([id]) => id)).toEqual(['b'])
    cluster.put('a', plainItem('a'))
    cluster.commitAll()
    for (const name of ['5m', '7d', 'trend:x'])
      expect(cluster.zset(`pop:${name}`)?.map(([id]) => id)).toEqual(['a', 'b'])
  })
})

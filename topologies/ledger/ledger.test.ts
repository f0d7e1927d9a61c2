/**
 * The ledger against a recount of the events, through the tasks as the recommender composes them: whatever the commits, the
 * restarts and the order over partitions and users.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hash53 } from '../../streams/serde/hash.ts'
import { run, type Shown, type World, world } from '../../test/support/ledger-world.ts'
import type { Recommender } from '../../test/support/recommender.ts'
import { DAY, HOUR, MINUTE } from '../../test/support/user-task.ts'
import { tQuantile } from '../drift/statistics/student.ts'

const bucketOf = (user: string): number => hash53(`bucket ${user}`) % 64

interface Wanted {
  readonly value: number
  readonly low: number | null
  readonly high: number | null
  readonly n: number
}

/** A ratio of sums over buckets of users, with its interval, straight from the definition. */
function ratio(
  rows: readonly { readonly user: string; readonly a: number; readonly b: number }[],
  isShare: boolean,
): Wanted | undefined {
  const a = new Map<number, number>()
  const b = new Map<number, number>()
  for (const row of rows) {
    const g = bucketOf(row.user)
    a.set(g, (a.get(g) ?? 0) + row.a)
    b.set(g, (b.get(g) ?? 0) + row.b)
  }
  const filled = [...b].filter(([, n]) => n > 0).map(([g]) => g)
  const n = filled.reduce((sum, g) => sum + (b.get(g) ?? 0), 0)
  if (n === 0) return undefined
  const value = filled.reduce((sum, g) => sum + (a.get(g) ?? 0), 0) / n
  const errors = filled.map(g => (a.get(g) ?? 0) - value * (b.get(g) ?? 0))
  const G = filled.length
  const squares = errors.reduce((sum, e) => sum + e * e, 0)
  if (G < 2 || squares < 1e-24) return { value, low: null, high: null, n }
  const half = (tQuantile(0.05, G - 1) * Math.sqrt((G / (G - 1)) * squares)) / n
  return {
    value,
    low: Math.max(0, value - half),
    high: isShare ? Math.min(1, value + half) : value + half,
    n,
  }
}

function ndcg(shown: readonly Shown[]): number {
  const dcg = (gains: readonly number[]): number =>
    gains.slice(0, 10).reduce((sum, gain, k) => sum + gain / Math.log2(k + 2), 0)
  const best = dcg(shown.map(each => each.graded).sort((a, b) => b - a))
  return best === 0 ? 0 : dcg(shown.map(each => each.graded)) / best
}

function recount(made: World, sizeMs: number): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>()
  const isMinute = sizeMs === MINUTE
  type Of = Pick<Shown, 'policy' | 'surface' | 'cohort' | 'arms'>
  const groups = new Map<
    string,
    { shown: Shown[]; sessions: World['sessions']; requests: World['requests'] }
  >()
  const each = (
    at: number,
    of: Of,
    put: (group: {
      shown: Shown[]
      sessions: World['sessions']
      requests: World['requests']
    }) => void,
  ): void => {
    const start = Math.floor(at / sizeMs) * sizeMs
    const names = new Set<string>()
    for (const policy of ['', of.policy])
      for (const surface of ['', of.surface])
        for (const arm of ['', ...of.arms]) {
          const named = [policy, surface, arm].filter(name => name !== '').length
          if (!isMinute || named < 2) names.add([start, policy, arm, surface, ''].join('|'))
        }
    if (!isMinute)
      for (const policy of ['', of.policy])
        names.add([start, policy, '', '', `cohort=${of.cohort}`].join('|'))
    for (const name of names) {
      const group = groups.get(name) ?? { shown: [], sessions: [], requests: [] }
      groups.set(name, group)
      put(group)
    }
  }
  for (const { at, shown } of made.requests) {
    for (const one of shown) each(one.at, one, group => group.shown.push(one))
    each(at, shown[0], group => group.requests.push({ at, shown }))
  }
  for (const session of made.sessions)
    each(session.end, session.first, group => group.sessions.push(session))
  for (const [name, { shown, sessions, requests }] of groups) {
    const put = (metric: string, found: Wanted | undefined): void => {
      if (found) wanted.set(`${name}|${metric}`, found)
    }
    const flag = (metric: string, of: (one: Shown) => boolean): void =>
      put(
        metric,
        ratio(
          shown.map(one => ({ user: one.user, a: of(one) ? 1 : 0, b: 1 })),
          true,
        ),
      )
    flag('ctr', one => one.clicked)
    flag('positive_rate', one => one.positive)
    flag('report_rate', one => one.reported)
    flag('explore_share', one => one.explored)
    const of = (metric: string, a: (one: Shown) => number, isShare: boolean): void =>
      put(
        metric,
        ratio(
          shown.map(one => ({ user: one.user, a: a(one), b: 1 })),
          isShare,
        ),
      )
    of('watch_time', one => one.watchedMs / 1000, false)
    of('watch_time_weighted', one => Math.round(one.watchedMs * one.graded) / 1000, false)
    of('watched_share', one => one.graded, true)
    put(
      'completion_rate',
      ratio(
        shown.map(one => ({ user: one.user, a: one.completed ? 1 : 0, b: one.clicked ? 1 : 0 })),
        true,
      ),
    )
    const list = requests.map(({ shown: all }) => all)
    put(
      'ndcg@10',
      ratio(
        list.map(all => ({ user: all[0].user, a: ndcg(all), b: 1 })),
        true,
      ),
    )
    put(
      'mrr',
      ratio(
        list.map(all => {
          const first = all.find(one => one.positive)
          return { user: all[0].user, a: first ? 1 / (1 + first.position) : 0, b: 1 }
        }),
        true,
      ),
    )
    const session = (
      metric: string,
      a: (s: World['sessions'][number]) => number,
      isShare = false,
    ): void =>
      put(
        metric,
        ratio(
          sessions.map(s => ({ user: s.user, a: a(s), b: 1 })),
          isShare,
        ),
      )
    session('session_length', s => (s.end - s.start) / 1000)
    session('session_depth', s => s.shown)
    session('session_plays', s => s.plays)
    session('session_watch_time', s => s.watchedMs / 1000)
    const within = { '1h': HOUR, '6h': 6 * HOUR, '1d': DAY, '7d': 7 * DAY }
    for (const [label, ms] of Object.entries(within)) {
      if (isMinute && label !== '1h') continue
      if (sizeMs === HOUR && label === '7d') continue
      session(`return_${label}`, s => (s.next > 0 && s.next - s.end <= ms ? 1 : 0), true)
    }
    if (!isMinute && shown.length > 0 && !name.includes('cohort='))
      put('coverage', {
        value: new Set(shown.map(one => one.item)).size,
        low: null,
        high: null,
        n: shown.length,
      })
  }
  return wanted
}

function figures(recommender: Recommender, sizeMs: number): Map<string, Wanted> {
  const found = new Map<string, Wanted>()
  for (const [key, row] of recommender.sent.rows) {
    if (!key.startsWith('quality|') || Number(row.window_end) - Number(row.window_start) !== sizeMs)
      continue
    const { value, low, high, n } = row as unknown as Wanted
    const name = [row.window_start, row.policy, row.arm, row.surface, row.segment, row.metric]
    found.set(name.join('|'), { value, low, high, n })
  }
  return found
}

/** Depend on the catalog and on what is known of items when a label is told. */
const notOfEvents = /novelty|repeat_rate|new_items|restricted|creators|hide_rate/

function compare(made: World, recommender: Recommender): number {
  let compared = 0
  for (const sizeMs of [MINUTE, HOUR, DAY]) {
    const wanted = recount(made, sizeMs)
    const found = figures(recommender, sizeMs)
    for (const [name, { value, low, high, n }] of wanted) {
      const row = found.get(name)
      expect(row, `${name} of ${sizeMs}`).toBeDefined()
      if (!row) continue
      expect(row.n, name).toBe(n)
      // shares watched and the figures of lists are taken to 2^-30
      expect(Math.abs(row.value - value), name).toBeLessThan(2e-9 * Math.max(1, Math.abs(value)))
      // where all users are alike the interval is nothing, or rounding
      for (const [a, b] of [
        [row.low, low],
        [row.high, high],
      ])
        if (a === null || b === null)
          expect(Math.abs((a ?? value) - (b ?? value)), `${name} ${a} ${b}`).toBeLessThan(1e-7)
        else expect(Math.abs(a - b), name).toBeLessThan(1e-7 * Math.max(1, Math.abs(b)))
      compared++
    }
    const more = [...found.keys()].filter(name => !wanted.has(name) && !notOfEvents.test(name))
    expect(more).toEqual([])
  }
  return compared
}

describe('the ledger', () => {
  it('equals a recount of the events, in minutes, hours and days', () => {
    const made = world(1, 16, 8)
    expect(compare(made, run(made, 1, 0))).toBeGreaterThan(1000)
  }, 60_000)

  it('L1: whatever the commits and restarts, of a compacted log too', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), seed => {
        const made = world(seed, 8, 5)
        compare(made, run(made, seed, 4))
      }),
      { numRuns: 3, endOnFailure: true },
    )
  }, 120_000)
})

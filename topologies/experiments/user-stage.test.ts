/** What counts for whom, by example; the statistic task behind it. */
import { beforeAll, describe, expect, it } from 'vitest'
import { assign, type Experiment } from '../../schemas/index.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { type Composition, compose, Recommender } from '../../test/support/recommender.ts'
import { DAY, HOUR, type JsonEvent, MINUTE, START } from '../../test/support/user-task.ts'

const rank7: Experiment = {
  experiment: 'rank7',
  salt: '',
  arms: ['a', 'b'].map(name => ({ name, share: 0.5, overrides: {} })),
  control: 'a',
  metrics: ['ctr'],
  guardrails: { report_rate: 0.5, slow_lists: 0.01 },
  start: 0,
  end: null,
}

let composition: Composition
beforeAll(async () => {
  composition = await compose(
    { 'explore.holdout': '0', 'experiments.minUsers': '2' },
    'sessions,labels,topk,drift,experiments',
    [rank7],
  )
})

let number = 0

class World {
  readonly inner: Recommender
  now = START
  private users: string[] = []

  constructor(of = composition) {
    this.inner = new Recommender({ composition: of, now: () => this.now })
  }

  /** The k-th user of an arm. */
  user(arm: string, k = 0): string {
    for (let n = 0; this.users.length < 400; n++) this.users.push(`u${n}`)
    return this.users.filter(user => assign(rank7, user) === arm)[k]
  }

  send(event: { readonly userId: string; readonly ts: number } & Record<string, unknown>): void {
    this.inner.arrive({ eventId: `n${number++}`, itemId: 'i1', ...event } as JsonEvent)
    this.inner.users[0].take()
  }

  show(userId: string, ts: number, arm: string, more = {}): void {
    this.send({
      type: 'impression',
      userId,
      ts,
      experiments: { rank7: arm },
      requestId: `${ts}`,
      ...more,
    })
  }

  /** The newest row of each metric and arm, at `ts`. */
  rows(ts: number): Map<string, TableRow> {
    for (const at of [ts, ts + 10 * MINUTE]) {
      this.send({ type: 'feedback', userId: 'nobody', ts: at, kind: 'click' })
      this.inner.tickAll()
      this.inner.commitAll()
    }
    const newest = new Map<string, TableRow>()
    for (const row of this.inner.sent.rows.values()) {
      if (row.experiment !== 'rank7') continue
      const key = `${row.metric} ${row.arm}`
      if (Number(newest.get(key)?.time ?? 0) < Number(row.time)) newest.set(key, row)
    }
    return newest
  }
}

describe('exposed users', () => {
  it('count in the arm that the hash deals; any other arm is nobody', () => {
    const world = new World()
    world.show(world.user('a'), START, 'a')
    world.show(world.user('a', 1), START, 'b')
    world.show(world.user('b'), START, 'zz')
    world.show(world.user('b', 1), START, 'b', { consent: 'contextual' })
    world.show(world.user('b', 2), START, 'b')
    world.show(world.user('b', 2), START + 1, 'a')
    const rows = world.rows(START + HOUR)
    expect(rows.get('watch_time a')?.n).toBe(1)
    expect(rows.get('watch_time b')?.n).toBe(1)
    expect(rows.get('report_rate b')?.mean).toBe(0)
  })

  it('click and watch as labels have it, within ten minutes; reports, sessions, days by events', () => {
    const world = new World()
    const user = world.user('b')
    const other = world.user('a')
    world.show(other, START, 'a')
    world.show(user, START, 'b', { itemId: 'x' })
    world.show(user, START + 1, 'b', { itemId: 'y' })
    world.send({ type: 'feedback', userId: user, ts: START + MINUTE, itemId: 'x', kind: 'click' })
    world.send({
      type: 'feedback',
      userId: user,
      ts: START + 2 * MINUTE,
      itemId: 'y',
      kind: 'report',
    })
    const play = { type: 'watch', userId: user, itemId: 'x', playId: 'p', requestId: `${START}` }
    world.send({ ...play, ts: START + 3 * MINUTE, watchedMs: 40_000, seq: 1 })
    world.send({ ...play, ts: START + 4 * MINUTE, watchedMs: 90_500, seq: 2 })
    world.send({ type: 'feedback', userId: user, ts: START + 23 * HOUR, kind: 'like' })
    const rows = world.rows(START + 3 * DAY)
    const mean = (metric: string, arm = 'b') => rows.get(`${metric} ${arm}`)?.mean
    expect(mean('ctr')).toBe(0.5)
    expect(mean('watch_time')).toBe(90)
    expect(mean('positives')).toBe(1)
    expect(mean('report_rate')).toBe(0.5)
    expect(mean('sessions')).toBe(2)
    expect(mean('session_depth')).toBe(0.5)
    expect(mean('session_length')).toBe(240)
    expect(mean('dau')).toBe(1)
    expect([mean('return_1d'), mean('return_1d', 'a')]).toEqual([1, 0])
    expect(mean('sessions', 'a')).toBe(1)
    // one user an arm: no interval, and it says so
    expect(rows.get('ctr b')).toMatchObject({
      effect: 0.5,
      low: null,
      p: null,
      p_adjusted: null,
      reason: 'fewer than 2 users in an arm',
    })
    expect(rows.get('ctr a')).toMatchObject({ effect: null, reason: 'control' })
    expect(rows.get('verdict b')).toMatchObject({ guardrail_verdict: 'hold', n: 1 })
    expect(rows.has('verdict a')).toBe(false)
  })

  it('an arm without users: null and why', () => {
    const world = new World()
    world.show(world.user('b'), START, 'b')
    const row = world.rows(START + HOUR).get('watch_time b')
    expect(row).toMatchObject({
      n: 1,
      effect: null,
      reason: 'the control has no users',
      srm_p: null,
    })
  })

  it('who is erased is counted no further, and stands in the sums', () => {
    const world = new World()
    const user = world.user('b')
    world.show(user, START, 'b')
    world.inner.arriveErasure(user, START + MINUTE)
    world.inner.users[0].take()
    const rows = world.rows(START + 2 * DAY)
    expect(rows.get('watch_time b')?.n).toBe(1)
    expect(rows.get('return_1d b')?.n).toBe(0)
    const held = [...world.inner.users[0].rows().keys()].filter(key => key.startsWith('37'))
    expect(held).toEqual([])
  })

  it('whose definition is not known for a while are not counted anew when it is back', async () => {
    const own = await compose(
      { 'explore.holdout': '0' },
      'sessions,labels,topk,drift,experiments',
      [rank7],
    )
    const world = new World(own)
    const user = world.user('b')
    world.show(user, START, 'b')
    own.book.apply('rank7', null)
    for (const hours of [1, 2, 22]) world.rows(START + hours * HOUR)
    own.book.apply('rank7', rank7)
    world.show(user, START + 23 * HOUR, 'b')
    world.rows(START + 23 * HOUR)
    own.book.apply('rank7', null)
    world.rows(START + 25 * HOUR)
    own.book.apply('rank7', rank7)
    const back = world.rows(START + 26 * HOUR)
    const told = (metric: string) => [back.get(metric)?.n, back.get(metric)?.mean]
    expect(told('sessions b')).toEqual([1, 2])
    expect(told('return_1d b')).toEqual([1, 1])
    own.book.apply('rank7', null)
    for (const days of [2, 3, 4]) world.rows(START + days * DAY)
    const held = [...world.inner.users[0].rows().keys()].filter(key => key.startsWith('37'))
    expect(held).toEqual([])
  })
})

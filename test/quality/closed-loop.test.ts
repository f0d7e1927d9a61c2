import { describe, expect, it } from 'vitest'
import { createWorld } from '../../bin/simulator/world.ts'
import { resolveOptions } from '../../streams/options.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { topologyOptions } from '../../topologies/options.ts'
import { coverage, gini, NewItemCurve } from './loop/exposure.ts'
import { Informed } from './loop/informed.ts'
import { Lists } from './loop/lists.ts'
import { closedLoop } from './loop/loop.ts'
import { meanReward, PageRewards } from './loop/rewards.ts'

const startTs = Date.UTC(2026, 0, 5)

describe('exposure', () => {
  it('has the Gini coefficient of its definition: half the mean difference over the mean', () => {
    const random = randomFrom(3)
    const counts = Array.from({ length: 60 }, () => Math.floor(random() ** 3 * 50))
    let differences = 0
    for (const a of counts) for (const b of counts) differences += Math.abs(a - b)
    const mean = counts.reduce((sum, x) => sum + x, 0) / counts.length
    expect(gini(counts)).toBeCloseTo(differences / counts.length ** 2 / (2 * mean), 12)
    expect(gini([5, 5, 5, 5])).toBeCloseTo(0, 12)
    expect(coverage([0, 3, 0, 1])).toBe(0.5)
  })

  it('counts a new item in the step that its impressions have reached', () => {
    const curve = new NewItemCurve([0, 2, 3])
    curve.page(['new'], ['new'])
    curve.follow('new')
    for (let n = 0; n < 5; n++) curve.page(['new', 'old'], n % 2 === 0 ? ['new'] : ['old'])
    expect(curve.steps()).toEqual([
      { from: 0, shown: 2, fair: 1 },
      { from: 2, shown: 1, fair: 1 },
      { from: 3, shown: 2, fair: 1 },
    ])
  })
})

describe('what a page is worth', () => {
  const world = createWorld({ seed: 4, startTs, users: 50, items: 40 })
  const viewers = world.users.map(({ id }) => id)
  const [viewer] = viewers
  const chance = (id: string, user = viewer) => world.truth.expectedReward(user, id, startTs)
  const items = Array.from({ length: 40 }, (_, i) => `i${i}`)

  it('equals a recount for each policy, over what the viewer has not finished', () => {
    const rewards = new PageRewards(world.truth, viewers)
    rewards.rank(startTs)
    const best = [...items].sort((a, b) => chance(b) - chance(a))
    const overAll = (id: string) => viewers.reduce((sum, user) => sum + chance(id, user), 0)
    const bestOfAll = [...items].sort((a, b) => overAll(b) - overAll(a))
    rewards.done(viewer, best[0])
    rewards.done(viewer, bestOfAll[1])
    for (const id of ['i7', 'i7', 'i9']) rewards.positive(id)
    const open = rewards.page(viewer, ['i3', 'i5'], startTs)
    const isOpen = (id: string) => id !== best[0] && id !== bestOfAll[1]
    expect(open.map(({ itemId }) => itemId)).toEqual(best.filter(isOpen))
    const worth = (ids: string[]) => {
      const [one, two] = ids.filter(isOpen)
      const second = 1 / 1.12 // position 1 is looked at once in 1.12
      return (chance(one) + second * chance(two)) / (1 + second)
    }
    const found = rewards.take()
    expect(found.pages).toBe(1)
    expect(found.served).toBeCloseTo(worth(['i3', 'i5']), 12)
    expect(found.oracle).toBeCloseTo(worth(best), 12)
    expect(found.bestOfAll).toBeCloseTo(worth(bestOfAll), 12)
    expect(found.counted).toBeCloseTo(worth(['i7', 'i9']), 12)
    const all = items.filter(isOpen)
    expect(found.random).toBeCloseTo(all.reduce((sum, id) => sum + chance(id), 0) / all.length, 12)
    expect(meanReward([])).toBe(0)
  })
})

describe('who knows all but the taste', () => {
  it("believes by Bayes' rule, and shows what is best on average", () => {
    const informed = new Informed(2)
    // two tastes: one for a, one for b; c is fair to both
    informed.know(
      new Map([
        ['a', Float64Array.of(0.8, 0.1)],
        ['b', Float64Array.of(0.1, 0.7)],
        ['c', Float64Array.of(0.5, 0.5)],
      ]),
    )
    const any = () => true
    expect(informed.page('u', 3, any)).toEqual(['c', 'a', 'b'])
    // shown b at the top and not taken: .9 against .3, so the first taste has .75
    informed.shown('u', 'b', 0)
    expect(informed.page('u', 1, any)).toEqual(['a']) // .625 against .5
    // a at position 1, looked at once in 1.12, taken: .75 x .8 against .25 x .1
    informed.shown('u', 'a', 1)
    informed.positive('u', 'a', 1)
    // 24 to 1 for the first taste; then b is taken at the top: .1 against .7, so 24 to 7
    informed.shown('u', 'b', 0)
    informed.positive('u', 'b', 0)
    expect(informed.page('u', 3, any)).toEqual(['a', 'c', 'b']) // .64, .5, .24
    // and once more: 24 to 49
    informed.shown('u', 'b', 0)
    informed.positive('u', 'b', 0)
    expect(informed.page('u', 2, id => id !== 'c')).toEqual(['b', 'a']) // .50, .33
    expect(informed.page('other', 1, any)).toEqual(['c'])
  })
})

describe('lists as they are read', () => {
  const body = (user: string) => `"user":"${user}","policy":"p","items":[]}`
  const who = { userId: 'u', cohort: 'de', surface: 'home', ts: 1_000 }

  it("are the user's own while they live, then the cohort's, then global ones", () => {
    const lists = new Lists()
    const write = (key: string, ttlMs: number) =>
      lists.write({ op: 'json', key: `topk:home:${key}`, body: body(key), ttlMs }, 0)
    expect(lists.read(who, 0)).toBeUndefined()
    write('global:15', 9_000)
    expect(lists.read(who, 0.99)).toMatchObject({ user: 'global:15' })
    expect(lists.read(who, 0)).toBeUndefined()
    write('c:de:0', 8_000)
    expect(lists.read(who, 0)).toMatchObject({ user: 'c:de:0' })
    write('u:u', 1_500)
    expect(lists.read(who, 0)).toMatchObject({ user: 'u:u' })
    expect(lists.read({ ...who, ts: 2_000 }, 0)).toMatchObject({ user: 'c:de:0' })
    lists.write({ op: 'delete', key: 'topk:home:c:de:0' }, 0)
    expect(lists.read({ ...who, ts: 2_000 }, 0)).toBeUndefined()
  })
})

describe('the closed loop', () => {
  const { values: options } = resolveOptions(topologyOptions, {
    flags: { 'global.commitInterval': '60s' },
    environment: {},
    file: {},
  })
  const run = (seed: number) =>
    closedLoop({
      ...{ seed, options, users: 60, items: 80, events: 1_600, every: 400, ratePerSecond: 0.05 },
    })

  it('gives the same report for the same seed (Q1), and bounds that no policy may leave', async () => {
    const [one, again, other] = [await run(1), await run(1), await run(2)]
    expect(again).toEqual(one)
    expect(other.points).not.toEqual(one.points)
    expect(one.refused).toBe(0)
    const last = one.points[3]
    expect(last.events).toBe(1_600)
    for (const { served, oracle, bestOfAll, random } of one.points) {
      expect(served).toBeLessThanOrEqual(oracle)
      expect(bestOfAll).toBeLessThanOrEqual(oracle)
      expect(random).toBeLessThan(bestOfAll)
    }
    expect(Math.max(...one.points.map(({ own }) => own))).toBeGreaterThan(0.5)
    expect(last.coverage).toBeGreaterThan(0)
    // lists for those without one of their own are there once something was watched
    expect(last.unlisted).toBe(0)
    expect(last.informed).toBeGreaterThan(last.random)
  }, 60_000)
})

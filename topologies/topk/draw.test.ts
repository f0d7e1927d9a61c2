import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { MINUTE, START, UserTask, watch } from '../../test/support/user-task.ts'
import type { CatalogEntry } from '../items/table.ts'
import { FINISHED } from '../user/user-state.ts'
import { bucketOf, cohortHash, contextHash } from './exploration.ts'
import { FakeItems, type FakeUser, fakeUser } from './fakes.ts'
import { topkOptions } from './options.ts'
import { propensitiesOf } from './propensities.ts'
import { Recommender } from './recommend.ts'
import { candidateSources } from './retrieve/candidates.ts'
import type { Scorer } from './score.ts'
import { drawOfRow, slateRow } from './slates-row.ts'

const optionsOf = (policies: unknown, flags: Record<string, string> = {}) =>
  resolveOptions(topkOptions, {
    flags: { 'topk.policies': JSON.stringify(policies), 'explore.holdout': '0', ...flags },
    environment: {},
    file: {},
  }).values

interface Drawn {
  readonly items: number[]
  readonly p: number[]
  readonly score: number[]
  readonly explored: boolean[]
  readonly policy: string
  readonly again: number[]
}

function drawFor(
  recommender: Recommender,
  items: FakeItems,
  user: FakeUser | null,
  seed = 1,
): Drawn {
  recommender.prepare(user, items.countedUntil, `subject ${seed}`)
  const slate = recommender.draw('home', `subject ${seed}`)
  const at = Array.from({ length: slate.count }, (_, k) => k)
  const row = slateRow(recommender, { user: 'x', key: 'k' }, 'home', 1)
  return {
    items: at.map(k => recommender.itemOf(slate.picked[k])),
    p: at.map(k => slate.p[k]),
    score: at.map(k => slate.score[k]),
    explored: at.map(
      k =>
        slate.explored[k] === 1 ||
        candidateSources[recommender.sourceOf(slate.picked[k])] === 'explore',
    ),
    policy: recommender.policy,
    again: propensitiesOf(drawOfRow(row, recommender.surfaces[0].rules)),
  }
}

const scorerOf = (score: (candidate: number) => number): Scorer => ({
  name: 'test',
  model: '',
  score({ candidates }, logits) {
    for (let i = 0; i < candidates.count; i++) logits[i] = score(i)
  },
})

/** Finite, and another for each candidate. */
const byPlace = scorerOf(i => Math.round(1_000 * Math.sin(i)) / 1_000)

const withCatalog = (items: FakeItems, change: (index: number) => Partial<CatalogEntry>) => {
  for (const [index, entry] of items.catalogs)
    items.catalogs.set(index, { ...entry, ...change(index) })
  return items
}

describe('what a ranker gets wrong', () => {
  const wild = fc.oneof(
    fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e300, -1e300),
    fc.double({ min: -20, max: 20, noNaN: true }),
  )

  it('D1: never reaches a list: no NaN, no empty list, p in (0, 1] that can be computed again', () => {
    const items = new FakeItems({ items: 120, seed: 1 })
    fc.assert(
      fc.property(
        fc.array(wild, { minLength: 1, maxLength: 30 }),
        fc.constantFrom('plackett-luce', 'epsilon', 'thompson'),
        (logits, policy) => {
          const options = optionsOf({ surfaces: { home: { policy, size: 20, samples: 4 } } })
          const recommender = new Recommender(
            options,
            items,
            scorerOf(i => logits[i % logits.length]),
          )
          const { p, score, items: listed, again } = drawFor(recommender, items, fakeUser('u', [3]))
          expect(listed.length).toBeGreaterThan(0)
          expect(new Set(listed).size).toBe(listed.length)
          for (const x of p) expect(x > 0 && x <= 1).toBe(true)
          for (const x of score) expect(Number.isFinite(x)).toBe(true)
          if (policy !== 'thompson')
            again.forEach((x, k) => {
              expect(Math.abs(x - p[k])).toBeLessThanOrEqual(1e-9)
            })
        },
      ),
      { numRuns: 80 },
    )
  })

  it('D1: leaves a candidate without a number out, and takes all as equal where none has one', () => {
    const items = new FakeItems({ items: 120, seed: 1 })
    const one = new Recommender(
      optionsOf({}),
      items,
      scorerOf(i => (i === 0 ? Number.NaN : 0)),
    )
    const some = drawFor(one, items, null)
    expect(some.items).not.toContain(one.candidates.items[0])
    const without = new Recommender(
      optionsOf({ surfaces: { home: { mmr: 0, creatorCap: 0 } } }),
      items,
      scorerOf(() => Number.NaN),
    )
    const none = drawFor(without, items, null)
    expect(new Set(none.score)).toEqual(new Set([0]))
    expect(none.items.length).toBe(Math.min(50, without.traits.count))
  })

  it('is right of no candidate, of one, and of all by one creator', () => {
    const gone = new FakeItems({ items: 3, seed: 1 })
    for (const item of [0, 1, 2]) gone.withdraw(item)
    expect(drawFor(new Recommender(optionsOf({}), gone), gone, fakeUser('u', [])).items).toEqual([])
    const one = new FakeItems({ items: 1, seed: 1 })
    expect(drawFor(new Recommender(optionsOf({}), one), one, null)).toMatchObject({
      items: [0],
      p: [1],
    })
    const same = withCatalog(new FakeItems({ items: 60, seed: 1 }), () => ({ creator: 4 }))
    expect(drawFor(new Recommender(optionsOf({}), same), same, null).items.length).toBe(5)
  })
})

describe('a user with 100,000 watches', () => {
  it('has a list, without what was finished of late', () => {
    const task = new UserTask()
    const watches = 100_000
    const size = 8_000
    task.send(watch('u', '0', START, 'p', 40_000, { endReason: 'finished' }))
    const user = task.users.get('u')
    if (user === undefined) throw new Error('the user is not known')
    // as the events would leave it
    for (let k = 0; k < watches; k++) {
      const item = k % size
      user.state.exclude(item, FINISHED, START + k * MINUTE)
      if (!user.state.likes(item)) user.state.addPositive(item, START + k * MINUTE)
    }
    const items = new FakeItems({ items: size + 1_000, seed: 3, nearest: () => [5, 8_500] })
    const recommender = new Recommender(optionsOf({}), items)
    recommender.prepare(user, items.countedUntil, 's')
    const slate = recommender.draw('home', 's')
    const listed = Array.from({ length: slate.count }, (_, k) =>
      recommender.itemOf(slate.picked[k]),
    )
    expect(listed.length).toBe(50)
    const late = new Set(Array.from({ length: 2_000 }, (_, k) => (watches - 1 - k) % size))
    expect(listed.filter(item => late.has(item))).toEqual([])
    for (const k of listed.keys()) expect(slate.p[k] > 0 && slate.p[k] <= 1).toBe(true)
  })
})

describe('exploration', () => {
  it('gives contexts their epsilons, names them, and has p by them', () => {
    const items = new FakeItems({ items: 400, seed: 2 })
    const epsilons = [0, 0.1, 0.5]
    const options = optionsOf({
      version: 7,
      context: ['device'],
      surfaces: { home: { policy: 'epsilon', epsilons } },
    })
    const recommender = new Recommender(options, items, byPlace)
    const seen = new Set<string>()
    for (let u = 0; u < 30; u++) {
      const user = fakeUser(`u${u}`, [u])
      const context = contextHash({ device: `d${u}` }, ['device'])
      // every third has sent nothing since the restart
      if (u % 3 > 0) user.scratch.contextHash = context
      Object.assign(user, { cohort: `cohort ${u}` })
      const { p, policy, again } = drawFor(recommender, items, user, u)
      const bucket = bucketOf('', 'home', u % 3 > 0 ? context : cohortHash(user.cohort), 3)
      expect(policy).toBe(`test-eps${['0', '.1', '.5'][bucket]}@7`)
      again.forEach((x, k) => {
        expect(Math.abs(x - p[k])).toBeLessThanOrEqual(1e-9)
      })
      seen.add(policy)
    }
    expect(seen.size).toBe(3)
  })

  it('ends where the budget of the list or of the day is spent: the best, p = 1', () => {
    const items = new FakeItems({ items: 400, seed: 2 })
    const options = optionsOf({
      surfaces: {
        home: { size: 15, policy: 'epsilon', epsilon: 0.9, explore: { perList: 4, perDay: 6 } },
      },
    })
    const recommender = new Recommender(options, items, byPlace)
    const today = Math.floor(1_700_000_000_000 / 86_400_000)
    for (const [shown, left] of [
      [0, 4],
      [3, 3],
      [6, 0],
      [9, 0],
    ] as const) {
      const user = fakeUser('u', [5])
      user.scratch.explored = { day: today, bySurface: [shown] }
      const { explored, policy, p, again } = drawFor(recommender, items, user, shown)
      expect(policy).toBe(`test-eps.9-b${left}@1`)
      expect(explored.filter(Boolean).length).toBe(left)
      const last = explored.lastIndexOf(true)
      expect(p.slice(last + 1).every(x => x === 1)).toBe(true)
      again.forEach((x, k) => {
        expect(Math.abs(x - p[k])).toBeLessThanOrEqual(1e-9)
      })
    }
    // yesterday's are forgotten
    const user = fakeUser('u', [5])
    user.scratch.explored = { day: today - 1, bySurface: [6] }
    expect(drawFor(recommender, items, user).policy).toBe('test-eps.9-b4@1')
  })

  it('draws for the holdout warmly, and says so', () => {
    const items = new FakeItems({ items: 400, seed: 2 })
    const options = optionsOf({}, { 'explore.holdout': '1', 'explore.holdoutTemperature': '50' })
    const recommender = new Recommender(options, items, byPlace)
    const { policy, p } = drawFor(recommender, items, fakeUser('u', [5]))
    expect(policy).toBe('test-holdout@1')
    for (const [k, x] of p.entries()) {
      const alike = 1 / (recommender.traits.count - k)
      expect(x / alike).toBeGreaterThan(0.6)
      expect(x / alike).toBeLessThan(1.6)
    }
    expect(drawFor(recommender, items, null).policy).toBe('test-pl@1')
  })

  it('thompson prefers what is watched more often where shown, and tries what is hardly known', () => {
    const items = new FakeItems({ items: 40, seed: 2, bare: 1 })
    items.impressions = index => (index === 3 ? 4 : 1_000)
    items.positives = index => (index === 3 ? 0 : index === 5 ? 100 : 50)
    const options = optionsOf({
      surfaces: {
        home: {
          policy: 'thompson',
          size: 5,
          creatorCap: 0,
          topicRun: 0,
          rateWeight: 1,
          candidates: 60,
        },
      },
    })
    const recommender = new Recommender(
      options,
      items,
      scorerOf(() => 0),
    )
    const first = new Map<number, number>()
    for (let seed = 0; seed < 400; seed++) {
      const { items: listed, policy } = drawFor(recommender, items, null, seed)
      expect(policy).toBe('test-ts32@1')
      first.set(listed[0], (first.get(listed[0]) ?? 0) + 1)
    }
    const known = (first.get(7) ?? 0) + 1
    expect(first.get(5) ?? 0).toBeGreaterThan(250)
    expect(first.get(3) ?? 0).toBeGreaterThan(5 * known)
  })
})

describe('surfaces that share candidates', () => {
  it('thompson draws the same after a surface without rates as alone, also where rates weigh nothing', () => {
    const items = new FakeItems({ items: 500, seed: 2 })
    const { values } = resolveOptions(topkOptions, {
      flags: {
        'topk.surfaces': 'plain,rated',
        'topk.policies': JSON.stringify({
          surfaces: { plain: { temperature: 0 }, rated: { policy: 'thompson', rateWeight: 0 } },
        }),
        'topk.mmr': '0',
      },
      environment: {},
      file: {},
    })
    const drawn = (surfaces: readonly string[]) => {
      const recommender = new Recommender(values, items)
      recommender.prepare(null, items.countedUntil, 's')
      for (const surface of surfaces) recommender.draw(surface, 's')
      const { slate, traits } = recommender
      const shares = [...traits.alpha.subarray(0, traits.count)]
      return { picked: [...slate.picked.slice(0, 20)], p: [...slate.p.slice(0, 20)], shares }
    }
    expect(drawn(['plain', 'rated'])).toEqual(drawn(['rated']))
  })
})

describe('rules of a surface', () => {
  it('are kept: fresh items at the top, groups in every prefix, caps', () => {
    const now = 1_700_000_000_000
    const items = withCatalog(new FakeItems({ items: 300, seed: 5 }), index => ({
      language: index % 9 === 0 ? 'gsw' : 'en',
      attributes: { label: index % 4 === 0 ? 'independent' : 'other' },
      publishedAt: now - (index % 5 === 0 ? 1 : 30) * 86_400_000,
      topics: [index % 3],
    }))
    const surface = {
      size: 30,
      fresh: { atLeast: 3, ofFirst: 10, youngerThan: '7d' },
      floors: [
        { group: 'local', share: 0.2, after: 4 },
        { group: 'label', share: 0.1, after: 0 },
      ],
      caps: [{ group: 'topical', most: 6 }],
    }
    const options = optionsOf({
      groups: {
        local: { language: 'gsw' },
        label: { attributes: { label: 'independent' } },
        topical: { topic: 't0', creator: Array.from({ length: 20 }, (_, c) => `c${c}`) },
      },
      surfaces: { home: surface },
    })
    const recommender = new Recommender(options, items)
    const topical = (item: number) => {
      const entry = items.catalog(item)
      return entry !== undefined && entry.topics[0] === 0 && entry.creator < 20
    }
    for (let seed = 0; seed < 25; seed++) {
      const { items: listed, p, again } = drawFor(recommender, items, fakeUser('u', [seed]), seed)
      expect(listed.slice(0, 10).filter(item => item % 5 === 0).length).toBeGreaterThanOrEqual(3)
      expect(listed.filter(topical).length).toBeLessThanOrEqual(6)
      for (let length = 1; length <= listed.length; length++) {
        const prefix = listed.slice(0, length)
        if (length > 4)
          expect(prefix.filter(item => item % 9 === 0).length).toBeGreaterThanOrEqual(
            Math.floor(length / 5),
          )
        expect(prefix.filter(item => item % 4 === 0).length).toBeGreaterThanOrEqual(
          Math.floor(length / 10),
        )
      }
      again.forEach((x, k) => {
        expect(Math.abs(x - p[k])).toBeLessThanOrEqual(1e-9)
      })
    }
  })

  it('look at the session alone with the profile short-form', () => {
    const items = new FakeItems({ items: 2_000, seed: 5 })
    const recommender = new Recommender(
      optionsOf({ surfaces: { home: { profile: 'short-form' } } }),
      items,
    )
    const sources = (startedAt: number) => {
      const user = fakeUser('u', [50, 60, 70])
      user.session.startedAt = startedAt
      const { items: listed } = drawFor(recommender, items, user)
      expect(listed.length).toBe(20)
      return new Set(
        Array.from(recommender.candidates.source.subarray(0, recommender.candidates.count), s =>
          String(candidateSources[s]),
        ),
      )
    }
    expect(sources(0).has('covisit')).toBe(true)
    expect(sources(1_700_000_000_001).has('covisit')).toBe(false)
  })
})

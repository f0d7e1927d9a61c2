import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { FakeItems, type FakeWorld, fakeUser } from './fakes.ts'
import { listBody } from './list.ts'
import { topkOptions } from './options.ts'
import { propensitiesOf } from './propensities.ts'
import { Recommender } from './recommend.ts'
import { candidateSources } from './retrieve/candidates.ts'
import { addFeature, type Scorer } from './score.ts'
import { drawOfRow, slateRow } from './slates-row.ts'

interface Listed {
  readonly user: string
  readonly items: readonly { id: string; score: number; p: number; src: string; x: boolean }[]
}

const optionsOf = (flags: Record<string, string>) =>
  resolveOptions(topkOptions, { flags, environment: {}, file: {} }).values

function listOf(world: FakeWorld | FakeItems, user = fakeUser('u', []), flags = {}) {
  const items = world instanceof FakeItems ? world : new FakeItems(world)
  const options = optionsOf(flags)
  const recommender = new Recommender(options, items)
  recommender.prepare(user, items.countedUntil, user.id)
  const slate = recommender.draw('home', user.id)
  const { policy, model } = recommender
  const at = items.countedUntil
  const head = { user: user.id, surface: 'home', cohort: 'de', at, expires: at + 1, policy, model }
  const body = listBody(head, slate, recommender, options['topk.format'])
  const list = JSON.parse(`{"version":"v",${body}`) as Listed & Record<string, unknown>
  return { list, recommender, items, body, options }
}

describe('a list', () => {
  it('has the shape of the contract', () => {
    const { list, body } = listOf({ items: 2_000, seed: 1 }, fakeUser('u "1"', [5, 9, 3]))
    expect(Object.keys(list)).toEqual([
      'version',
      'user',
      'surface',
      'cohort',
      'at',
      'expires',
      'policy',
      'model',
      'experiments',
      'items',
    ])
    expect(list).toMatchObject({ user: 'u "1"', policy: 'mix-pl@1', experiments: {} })
    expect(list.items).toHaveLength(50)
    for (const item of list.items) {
      expect(Object.keys(item)).toEqual(['id', 'score', 'p', 'src', 'x'])
      expect(candidateSources as readonly string[]).toContain(item.src)
      expect(item.x).toBe(item.src === 'explore')
    }
    expect(body).not.toMatch(/NaN|Infinity|null/)
  })

  it('has candidates of every source, each named', () => {
    const { recommender } = listOf({ items: 5_000, seed: 2 }, fakeUser('u', [50, 90, 30]))
    const { candidates } = recommender
    const named = new Set([...candidates.source.subarray(0, candidates.count)])
    expect([...named].map(s => candidateSources[s]).sort()).toEqual([
      'content',
      'covisit',
      'embedding',
      'explore',
      'popularity',
    ])
    expect(candidates.count).toBeGreaterThan(100)
  })

  it('is the same for the same seed, and another for another', () => {
    const user = fakeUser('u', [50, 90, 30])
    const world = { items: 2_000, seed: 2 }
    expect(listOf(world, user).body).toBe(listOf(world, user).body)
    expect(listOf(world, user, { 'topk.seed': '2' }).body).not.toBe(listOf(world, user).body)
  })

  it('never holds what the user may not get or what is withdrawn, and nothing twice', () => {
    const some = fc.array(fc.nat({ max: 79 }), { maxLength: 60 })
    fc.assert(
      fc.property(fc.nat(), some, some, some, (seed, history, excluded, withdrawn) => {
        const items = new FakeItems({ items: 80, seed })
        for (const item of new Set(withdrawn)) items.withdraw(item)
        const user = fakeUser('u', [...new Set(history)].slice(0, 30), new Set(excluded), item =>
          item === 7 ? 8 : 0,
        )
        const { list } = listOf(items, user)
        const listed = list.items.map(item => Number(item.id))
        const never = new Set([...excluded, ...withdrawn, 7])
        expect(listed.filter(item => never.has(item))).toEqual([])
        expect(new Set(listed).size).toBe(listed.length)
      }),
      { numRuns: 200 },
    )
  })

  it('is weighed by the bucket of the history that its surface looks at', () => {
    const items = new FakeItems({ items: 100, seed: 1 })
    const buckets: number[] = []
    const scorer = {
      name: 'test',
      model: '',
      score: ({ bucket }: { bucket: number }) => buckets.push(bucket),
    }
    const user = fakeUser(
      'u',
      Array.from({ length: 30 }, (_, n) => n),
    )
    for (const history of ['all', 'session']) {
      const flags = { 'topk.policies': JSON.stringify({ surfaces: { home: { history } } }) }
      const recommender = new Recommender(optionsOf(flags), items, scorer as unknown as Scorer)
      // positives are a second apart, the newest at 1.7e12
      for (const before of [-1, 2_500, 1e9]) {
        Object.assign(user.session, { startedAt: 1_700_000_000_000 - before })
        recommender.prepare(user, items.countedUntil, 's')
      }
    }
    expect(buckets).toEqual([3, 3, 3, 0, 1, 3])
  })

  it('restricted items take no places of others, where no surface may show them', () => {
    const items = new FakeItems({ items: 2_000, seed: 1 })
    for (let h = 0; h < items.halfLivesMs.length; h++)
      for (const index of items.popular(h, 30))
        items.catalogs.set(index, { ...items.catalogs.get(index)!, safety: 'restricted' })
    for (const user of [null, fakeUser('u', [5, 17, 300])]) {
      const recommender = new Recommender(optionsOf({}), items)
      recommender.prepare(user, items.countedUntil, 's')
      const { candidates } = recommender
      for (let k = 0; k < candidates.count; k++)
        expect(items.catalog(candidates.items[k])?.safety).toBe('ok')
      const slate = recommender.draw('home', 's')
      const sources = Array.from({ length: slate.count }, (_, k) =>
        recommender.sourceOf(slate.picked[k]),
      )
      expect(sources).toContain(candidateSources.indexOf('popularity'))
    }
  })

  it('holds restricted items only on surfaces that may show them', () => {
    const items = new FakeItems({ items: 100, seed: 4 })
    for (const [index, entry] of items.catalogs)
      items.catalogs.set(index, { ...entry, safety: index % 2 ? 'restricted' : 'ok' })
    const count = (flags: Record<string, string>) =>
      listOf(items, fakeUser('u', []), flags).list.items.filter(item => Number(item.id) % 2).length
    expect(count({})).toBe(0)
    expect(count({ 'topk.restricted': 'home' })).toBeGreaterThan(5)
    expect(count({ 'topk.restricted': 'kids' })).toBe(0)
  })

  it('is never spoilt by NaN: nothing counted, one item, no history, equal or absurd counts', () => {
    const check = (items: FakeItems, history: readonly number[]) => {
      const { list } = listOf(items, fakeUser('u', history, new Set()))
      for (const { p, score } of list.items) {
        expect(p > 0 && p <= 1).toBe(true)
        expect(Number.isFinite(score)).toBe(true)
      }
      return list.items.length
    }
    expect(check(new FakeItems({ items: 1, seed: 1 }), [])).toBe(1)
    expect(check(new FakeItems({ items: 1, seed: 1 }), [0])).toBe(1)
    expect(check(new FakeItems({ items: 60, seed: 1, bare: 1 }), [1, 2])).toBeGreaterThan(20)
    expect(check(new FakeItems({ items: 1, seed: 1, bare: 1 }), [])).toBe(1)
    for (const count of [1e-300, 5, 1e300, Number.POSITIVE_INFINITY, Number.NaN]) {
      const items = new FakeItems({ items: 60, seed: 1 })
      items.decayed = () => count
      expect(check(items, [1, 2])).toBeGreaterThan(20)
    }
    const wild = new FakeItems({ items: 60, seed: 1 })
    wild.bias.fill(Number.NaN)
    wild.output.fill(1e30)
    expect(check(wild, [1, 2])).toBeGreaterThan(20)
  })

  it('is as small as its format promises', () => {
    const user = fakeUser('u1234567', [5, 9, 3])
    const world = new FakeItems({ items: 2_000, seed: 1 })
    const version = '{"version":"000001-0000000000001234-0000000042",'.length
    const bytes = (idLength: number, format: string) => {
      world.idOf = index => String(index + 1e9).slice(-idLength)
      return version + Buffer.byteLength(listOf(world, user, { 'topk.format': format }).body)
    }
    // names of fields take 2,150 B of it, whatever stands in them
    expect(bytes(4, 'json')).toBeLessThanOrEqual(3_584)
    expect(bytes(8, 'json')).toBeLessThanOrEqual(3_740)
    expect(bytes(10, 'json')).toBeLessThanOrEqual(3_840)
    expect(bytes(8, 'compact')).toBeLessThanOrEqual(1_700)
    expect(bytes(10, 'compact')).toBeLessThanOrEqual(1_800)
    const { list } = listOf(world, user, { 'topk.format': 'compact' })
    const plain = listOf(world, user).list.items
    expect(list).toMatchObject({
      ids: plain.map(item => item.id),
      scores: plain.map(item => item.score),
      p: plain.map(item => item.p),
      x: plain.flatMap((item, k) => (item.x ? [k] : [])),
    })
    expect(list.src).toHaveLength(50)
  })

  it('has p that a sampled draw gives again, over its way through JSON', () => {
    const user = fakeUser('u', [5, 9, 3])
    for (const flags of [
      {},
      { 'topk.mmr': '0' },
      { 'topk.policy': 'epsilon' },
      { 'topk.temperature': '0' },
      { 'topk.temperature': '0.005' },
      { 'topk.creatorCap': '1', 'topk.topicRun': '1', 'topk.temperature': '2' },
    ]) {
      const { recommender, list } = listOf({ items: 300, seed: 3 }, user, flags)
      const row = JSON.parse(
        JSON.stringify(slateRow(recommender, { user: 'x', key: 'k' }, 'home', 1)),
      ) as ReturnType<typeof slateRow>
      const again = propensitiesOf(drawOfRow(row, recommender.rules))
      expect(again.length).toBe(list.items.length)
      again.forEach((p, k) => {
        // four digits in the list, and 1 only where it is
        expect(Math.abs(list.items[k].p / p - 1)).toBeLessThanOrEqual(5.001e-4)
        expect(list.items[k].p === 1).toBe(p === 1)
        expect(Math.abs(row.propensities[k] - p)).toBeLessThanOrEqual(1e-12)
      })
    }
  })
})

describe('a feature', () => {
  it('is log(s n / sum s + .05) - log .05, and 0 under the guard', () => {
    const logits = new Float64Array(3)
    expect(addFeature(Float64Array.from([1, 3, 0]), 3, 2, logits)).toBe(true)
    expect([...logits]).toEqual(
      [1, 3, 0].map(s => expect.closeTo(2 * (Math.log((s * 3) / 4 + 0.05) - Math.log(0.05)), 12)),
    )
    const none = new Float64Array(3)
    expect(addFeature(Float64Array.from([1e-21, 0, 0]), 3, 2, none)).toBe(false)
    expect(addFeature(Float64Array.from([Number.NaN, -1, Number.NaN]), 3, 2, none)).toBe(false)
    expect([...none]).toEqual([0, 0, 0])
  })
})

import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { FakeItems, fakeUser } from '../topk/fakes.ts'
import { topkOptions } from '../topk/options.ts'
import { Recommender } from '../topk/recommend.ts'
import { candidateSources } from '../topk/retrieve/candidates.ts'
import type { LabelFact } from '../user/labels-port.ts'
import { ageFeature, at, creatorBucket, itemBucket, sourceNumber } from './features.ts'
import { emptyImpression, readImpression, responsesChannel, writeImpression } from './impression.ts'
import { responseLearnerStage } from './learner-stage.ts'
import { responseOptions } from './options.ts'
import { chunkSize, parts } from './rows.ts'
import { ResponseScores } from './serve.ts'
import { responseUserStage } from './user-stage.ts'
import { ResponseWeights } from './weights.ts'

const NOW = Date.UTC(2026, 0, 5)
const defaults = resolveOptions(
  { ...responseOptions, ...topkOptions },
  { flags: {}, environment: {}, file: {} },
).values

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))

function fact(more: Partial<LabelFact> = {}): LabelFact {
  return {
    userId: 'u',
    item: 1,
    prediction: 0.5,
    meanScore: 0,
    positive: false,
    graded: 0,
    target: 0.25,
    position: 3,
    propensity: 0.125,
    source: 'covisit',
    timesShown: 2,
    surface: 'home',
    cohort: '',
    model: '',
    shownAt: NOW,
    finalAt: NOW,
    ...more,
  }
}

/** Items named i0, i1, ...; item k is of creator k % 10, published k hours before. */
class SmallCatalog {
  readonly size = 1_000
  response = new ResponseWeights()
  index(id: string): number {
    return Number(id.slice(1))
  }
  idOf(index: number): string {
    return `i${index}`
  }
  catalog(index: number) {
    return index >= 500 ? undefined : { creator: index % 10, publishedAt: NOW - index * 3_600_000 }
  }
  creatorName(creator: number): string {
    return `c${creator}`
  }
}

function learner(options: Partial<typeof defaults> = {}, items: unknown = new SmallCatalog()) {
  const context = { now: () => NOW, table: () => items, metrics: noMetrics, log: silentLogger }
  return responseLearnerStage({ ...defaults, ...options }, context as unknown as TaskContext)
}

const packetOf = (facts: readonly LabelFact[]): ByteReader => {
  const w = new ByteWriter()
  for (const each of facts) writeImpression(`i${each.item}`, each, each.target ?? 0, w)
  return new ByteReader(w.copy())
}

type Rows = { key: Buffer; value: Buffer }[]

function rowsOf(stage: Stage<never>): Rows {
  stage.flush?.({} as Outbox)
  const [store] = stage.stores as unknown as readonly Store<Row>[]
  return store.take(1e9).map(row => {
    const key = new ByteWriter()
    const value = new ByteWriter()
    store.spec.writeKey(row, key)
    store.spec.writeValue(row, value)
    return { key: key.copy(), value: value.copy() }
  })
}

function restore(stage: Stage<never>, rows: Rows): Stage<never> {
  const [store] = stage.stores as unknown as readonly Store<Row>[]
  for (const { key, value } of rows) store.spec.restore(new ByteReader(key), new ByteReader(value))
  stage.restored?.([])
  return stage
}

function follow(rows: Rows, into = new ResponseWeights()): ResponseWeights {
  for (const { key, value } of rows) into.apply(new ByteReader(key), new ByteReader(value))
  return into
}

const impressions = (n: number, seed: number): LabelFact[] => {
  const random = randomFrom(seed)
  return Array.from({ length: n }, (_, k) =>
    fact({
      item: Math.floor(random() * 600),
      shownAt: NOW + k,
      prediction: random() < 0.2 ? null : random() * 4 - 2,
      propensity: random() < 0.2 ? null : random(),
      position: Math.floor(random() * 40),
      source: candidateSources[Math.floor(random() * 7)],
      timesShown: Math.floor(random() * 6),
      target: random(),
    }),
  )
}

describe('an impression for the learner', () => {
  it('comes back as it was sent, and is refused in another layout', () => {
    const sent = fact({ prediction: null })
    const into = emptyImpression()
    const payload = packetOf([sent, fact({ propensity: null })])
    expect(payload.left).toBeLessThan(80)
    readImpression(payload, into)
    expect(into).toMatchObject({ itemId: 'i1', shownAt: NOW, score: null, propensity: 0.125 })
    expect(into).toMatchObject({ position: 3, target: 0.25, timesShown: 2, source: 1 })
    readImpression(payload, into)
    expect(into).toMatchObject({ score: 0.5, propensity: null })
    expect(payload.left).toBe(0)
    expect(() => readImpression(new ByteReader(Buffer.from([9, 0])), into)).toThrow(/layout 9/)
  })

  it('is sent once its target is known, and not of users who are held out', () => {
    const stage = responseUserStage({
      items: { idOf: index => `i${index}` },
      isHeldOut: userId => userId === 'held',
    })
    const sent = new ByteWriter()
    const out = { delta: () => sent } as unknown as Outbox
    stage.label(fact({ userId: 'held' }))
    stage.label(fact({ target: null }))
    stage.flush?.(out)
    expect(sent.length).toBe(0)
    stage.label(fact())
    stage.flush?.(out)
    stage.flush?.(out)
    expect(sent.copy()).toEqual(packetOf([fact()]).buffer)
  })
})

describe('the response learner', () => {
  it('goes on from its rows as if nothing had happened, and followers have its weights', () => {
    const first = learner()
    first.receive?.(responsesChannel, packetOf(impressions(3_000, 1)))
    const rows = rowsOf(first)
    const second = restore(learner(), rows)
    expect(rowsOf(second)).toEqual([])
    for (const stage of [first, second])
      stage.receive?.(responsesChannel, packetOf(impressions(1_000, 2)))
    const [a, b] = [rowsOf(first), rowsOf(second)].map(
      all => new Map(all.map(({ key, value }) => [key.toString('hex'), value.toString('hex')])),
    )
    expect(b).toEqual(a)
    const followed = follow(rows)
    const once = new ByteReader(rows.find(({ key }) => key[0] === parts.dense)!.value, 1)
    expect(followed.learnt).toBe(once.uint())
    expect(followed.learnt).toBe(3_000)
    expect(followed.dense.some(weight => weight !== 0)).toBe(true)
    const bucket = itemBucket('i7')
    const chunk = rows.find(
      ({ key }) =>
        key[0] === parts.items && new ByteReader(key, 1).uint() === Math.floor(bucket / chunkSize),
    )!
    const inChunk = new ByteReader(chunk.value, 1 + (bucket % chunkSize) * 8)
    expect(followed.items[bucket]).toBe(inChunk.f32())
  })

  it('serves nothing below the minimum, then more and more, up to the declared weight', () => {
    const options = { 'response.minImpressions': 1_000, 'response.weight': 0.5 }
    const stage = learner(options)
    const strengths = [500, 500, 500, 500, 1_000].map((n, k) => {
      stage.receive?.(responsesChannel, packetOf(impressions(n, k)))
      return follow(rowsOf(stage)).strength
    })
    expect(strengths).toEqual([0, 0, 0.25, 0.5, 0.5])
  })

  it('takes a sample above its rate, and nothing that is not a number', () => {
    const stage = learner({ 'response.maxPerSecond': 100 })
    stage.receive?.(responsesChannel, packetOf(impressions(5_000, 1)))
    const { learnt } = follow(rowsOf(stage))
    expect(learnt).toBeGreaterThan(100)
    expect(learnt).toBeLessThan(100 * (1 + Math.log(50)) * 1.3)
    const other = learner()
    other.receive?.(
      responsesChannel,
      packetOf([fact({ prediction: Number.NaN }), fact({ prediction: Number.POSITIVE_INFINITY })]),
    )
    expect(rowsOf(other)).toEqual([])
  })

  it('is refused where a newer version wrote the rows', () => {
    const stage = learner()
    stage.receive?.(responsesChannel, packetOf(impressions(10, 1)))
    for (const { key, value } of rowsOf(stage)) {
      value[0] = 2
      expect(() => follow([{ key, value }])).toThrow(/layout 2/)
    }
  })

  it('does not learn from what it served itself: lists made with it teach the same as lists without', () => {
    const random = randomFrom(17)
    const effects = Array.from({ length: 100 }, () => (random() - 0.5) * 1.6)
    const stage = learner({ 'response.minImpressions': 5_000, 'response.maxPerSecond': 1e9 })
    const table = new ResponseWeights()
    const served = (item: number, source: number) =>
      table.strength === 0
        ? 0
        : table.adjustment(
            source,
            ageFeature({ publishedAt: NOW - item * 3_600_000 }, NOW),
            -1,
            creatorBucket(`c${item % 10}`),
            itemBucket(`i${item}`),
          )
    for (let round = 0; round < 80; round++) {
      const facts = Array.from({ length: 1_000 }, () => {
        const item = Math.floor(random() * 100)
        const choice = (random() - 0.5) * 4
        const prediction = choice + served(item, 1)
        const target = random() < sigmoid(-1 + 0.5 * choice + effects[item]) ? 1 : 0
        return fact({ item, prediction, target, position: 0, timesShown: 0, propensity: null })
      })
      stage.receive?.(responsesChannel, packetOf(facts))
      follow(rowsOf(stage), table)
    }
    expect(table.strength).toBe(1)
    expect(table.dense[at.slope]).toBeCloseTo(0.5 - 1, 1)
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
    const given = effects.map((_, item) => served(item, 1))
    const wanted = effects.map(effect => effect / 0.5)
    const off = given.map((value, k) => value - mean(given) - (wanted[k] - mean(wanted)))
    expect(Math.sqrt(mean(off.map(value => value ** 2)))).toBeLessThan(0.25)
  })
})

describe('a list', () => {
  const logitsOf = (items: FakeItems, user = fakeUser('u', [5, 9, 3])) => {
    const recommender = new Recommender(defaults, items)
    recommender.prepare(user, items.countedUntil, 'u')
    const { count, logit } = recommender.traits
    recommender.draw('home', 'u')
    return {
      ids: Array.from({ length: recommender.slate.count }, (_, k) =>
        recommender.idOf(recommender.slate.picked[k]),
      ),
      p: [...recommender.slate.p],
      scores: [...recommender.slate.score],
      logits: [...logit.subarray(0, count)],
    }
  }
  const withWeights = (weights: ResponseWeights): FakeItems =>
    Object.assign(new FakeItems({ items: 2_000, seed: 1 }), { response: weights })

  it('is the same, bit for bit, while the model is off', () => {
    const plain = logitsOf(new FakeItems({ items: 2_000, seed: 1 }))
    const stage = learner()
    stage.receive?.(responsesChannel, packetOf(impressions(5_000, 1)))
    const off = follow(rowsOf(stage))
    expect(off.strength).toBe(0)
    expect(off.learnt).toBe(5_000)
    expect(logitsOf(withWeights(off))).toEqual(plain)
    expect(logitsOf(withWeights(new ResponseWeights()))).toEqual(plain)
    const on = follow(rowsOf(stage), off)
    on.strength = 1
    expect(logitsOf(withWeights(on))).not.toEqual(plain)
  })

  it('gets the item part of the response logit, at position 0', () => {
    const stage = learner({ 'response.minImpressions': 1_000, 'response.maxPerSecond': 1e9 })
    stage.receive?.(responsesChannel, packetOf(impressions(20_000, 3)))
    const weights = follow(rowsOf(stage))
    expect(weights.strength).toBe(1)
    const items = withWeights(weights)
    const user = fakeUser('u', [5, 9, 3])
    const candidates = {
      items: Int32Array.from([4, 17, 1_999]),
      source: Uint8Array.from([0, 1, 5]),
      count: 3,
    }
    const logits = Float64Array.from([1, -2, 0.5, 7])
    expect(new ResponseScores(items).add(user, candidates, items.countedUntil, logits)).toBe(true)
    const expected = [4, 17, 1_999].map((item, k) => {
      const entry = items.catalog(item)!
      const { dense } = weights
      const hours = (items.countedUntil - entry.publishedAt) / 3_600_000
      const own =
        dense[2 + sourceNumber(candidateSources[candidates.source[k]])] +
        (dense[9] * Math.log(1 + hours)) / 8 +
        weights.creators[creatorBucket(items.creatorName(entry.creator))] +
        weights.items[itemBucket(items.idOf(item))]
      const rate = Math.min(3, Math.max(1, 1 / (1 + dense[1])))
      return [1, -2, 0.5][k] + own * rate
    })
    expect(logits[3]).toBe(7)
    const why = new ResponseScores(items).explain(user, 17, 1, items.countedUntil)!
    const { source, age, shown, creator, item, strength, rate, added } = why
    expect(added).toBeCloseTo(strength * rate * (source + age + shown + creator + item), 12)
    expect(-2 + added).toBeCloseTo(expected[1], 12)
    expect(
      new ResponseScores(new FakeItems({ items: 20, seed: 1 })).explain(user, 17, 1, 0),
    ).toBeUndefined()
    for (let k = 0; k < 3; k++) expect(Math.abs(logits[k] - expected[k])).toBeLessThan(0.00051)
    for (const logit of logits) expect(logit).toBe(Math.round(logit * 1000) / 1000)
  })

  it('never takes more than three logits of response, and survives items and creators that it does not know', () => {
    const weights = new ResponseWeights()
    weights.strength = 1
    weights.dense[at.source] = 1e6
    weights.dense[at.source + 1] = -1e6
    expect(weights.adjustment(0, Number.NaN, -1, -1, -1)).toBe(3)
    expect(weights.adjustment(1, 0.5, 11, 3, 5)).toBe(-3)
    weights.dense[at.slope] = -1
    expect(weights.adjustment(0, Number.NaN, -1, -1, -1)).toBe(9)
  })
})

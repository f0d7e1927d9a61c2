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
import { Covisit } from '../topk/retrieve/covisit.ts'
import type { Scorer } from '../topk/score.ts'
import type { LabelFact } from '../user/labels-port.ts'
import { Answers, covisitAnswer, packAnswers } from './answers.ts'
import { at, creatorBucket, itemBucket, sourceNumber, topicBucket } from './features.ts'
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

function fact(more: Partial<LabelFact> = {}): LabelFact {
  return {
    userId: 'u',
    request: {} as LabelFact['request'],
    item: 1,
    explore: false,
    clicked: false,
    completed: false,
    returned: null,
    watchedMs: 0,
    durationMs: 0,
    feedback: 0,
    prediction: 0.5,
    answers: packAnswers(1.5, -0.25, 2),
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
    return index >= 500
      ? undefined
      : { creator: index % 10, topics: [index % 7], publishedAt: NOW - index * 3_600_000 }
  }
  creatorName(creator: number): string {
    return `c${creator}`
  }
  topicName(topic: number): string {
    return `t${topic}`
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
      answers: packAnswers(random() * 4 - 2, random() * 2 - 1, random() * 3),
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
    const sent = fact({ answers: packAnswers(-8, 7.9375, 0) })
    const into = emptyImpression()
    const payload = packetOf([sent, fact({ propensity: null })])
    expect(payload.left).toBeLessThan(80)
    readImpression(payload, into)
    expect(into).toMatchObject({
      itemId: 'i1',
      shownAt: NOW,
      answers: sent.answers,
      propensity: 0.125,
    })
    expect(into).toMatchObject({ position: 3, target: 0.25, timesShown: 2, source: 1 })
    readImpression(payload, into)
    expect(into).toMatchObject({ answers: fact().answers, propensity: null })
    expect(payload.left).toBe(0)
    expect(() => readImpression(new ByteReader(Buffer.from([9, 0])), into)).toThrow(/layout 9/)
  })

  it('is sent once its target is known, not of users who are held out, nor where the answers are not known', () => {
    const stage = responseUserStage({
      items: { idOf: index => `i${index}` },
      isHeldOut: userId => userId === 'held',
    })
    const sent = new ByteWriter()
    const out = { delta: () => sent } as unknown as Outbox
    stage.label(fact({ userId: 'held' }))
    stage.label(fact({ target: null }))
    stage.label(fact({ answers: -1 }))
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
      packetOf([fact({ target: Number.NaN }), fact({ target: Number.POSITIVE_INFINITY })]),
    )
    expect(rowsOf(other)).toEqual([])
  })

  it('is refused where a newer version wrote the rows', () => {
    const stage = learner()
    stage.receive?.(responsesChannel, packetOf(impressions(10, 1)))
    for (const { key, value } of rowsOf(stage)) {
      value[0] = 3
      expect(() => follow([{ key, value }])).toThrow(/layout 3/)
    }
  })

  it('begins anew where an older version wrote the rows', () => {
    const stage = learner({ 'response.minImpressions': 10 })
    stage.receive?.(responsesChannel, packetOf(impressions(100, 1)))
    const rows = rowsOf(stage)
    for (const { value } of rows) value[0] = 1
    expect(follow(rows)).toMatchObject({ strength: 0, learnt: 0 })
    const second = restore(learner(), rows)
    second.receive?.(responsesChannel, packetOf(impressions(50, 2)))
    expect(follow(rowsOf(second)).learnt).toBe(50)
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

  it('keeps the logits of a pushed model as they are: it has the last word', () => {
    const weights = new ResponseWeights()
    weights.strength = 1
    weights.dense.fill(0.5)
    const items = withWeights(weights)
    const logitsBy = (model: string): Set<number> => {
      const score: Scorer['score'] = ({ candidates }, logits) =>
        void logits.fill(0.25, 0, candidates.count)
      const recommender = new Recommender(defaults, items, { name: 'ranker', model, score })
      recommender.prepare(fakeUser('u', [5, 9, 3]), items.countedUntil, 'u')
      recommender.draw('home', 'u')
      const { count, logit } = recommender.traits
      return new Set(logit.subarray(0, count))
    }
    expect(logitsBy('3f9a02c1')).toEqual(new Set([0.25]))
    expect(logitsBy('').size).toBeGreaterThan(1)
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
    const covisit = new Covisit()
    const history = Int32Array.from([5, 9, 3])
    covisit.accumulate({ items, history, length: 3, countedUntil: items.countedUntil })
    const fixed = [0.2, -0.4, 0]
    const listed = {
      ask: {},
      user,
      now: items.countedUntil,
      covisit,
      filter: { logWeight: (item: number) => fixed[[4, 17, 1_999].indexOf(item)] },
    }
    new ResponseScores(items).add(listed, candidates, logits)
    const answers = new Answers(items)
    answers.begin(user)
    const expected = [4, 17, 1_999].map((item, k) => {
      const entry = items.catalog(item)!
      const { dense } = weights
      const hours = (items.countedUntil - entry.publishedAt) / 3_600_000
      const own =
        dense[1 + sourceNumber(candidateSources[candidates.source[k]])] +
        (dense[8] * Math.log(1 + hours)) / 8 +
        dense[42] * answers.content(item) +
        dense[43] * answers.vector(item) +
        dense[44] * covisitAnswer(covisit, item) +
        (entry.topics.length > 0
          ? weights.topics[topicBucket(items.topicName(entry.topics[0]))]
          : 0) +
        weights.creators[creatorBucket(items.creatorName(entry.creator))] +
        weights.items[itemBucket(items.idOf(item))]
      return 0.1 * ([1, -2, 0.5][k] - fixed[k]) + fixed[k] + own
    })
    expect(logits[3]).toBe(7)
    const why = new ResponseScores(items).explain(listed, 17, 1)!
    const { strength, kept, added, ...terms } = why
    const sum = Object.values(terms).reduce((all, term) => all + term, 0)
    expect(added).toBeCloseTo(strength * sum, 12)
    expect(kept * (-2 - fixed[1]) + fixed[1] + added).toBeCloseTo(expected[1], 12)
    expect(
      new ResponseScores(new FakeItems({ items: 20, seed: 1 })).explain(listed, 17, 1),
    ).toBeUndefined()
    for (let k = 0; k < 3; k++) expect(Math.abs(logits[k] - expected[k])).toBeLessThan(0.00051)
    for (const logit of logits) expect(logit).toBe(Math.round(logit * 1000) / 1000)
  })

  it('is never more than 20 logits from where it was, and survives what it does not know', () => {
    const weights = new ResponseWeights()
    weights.strength = 1
    weights.dense[at.source] = 1e6
    weights.dense[at.source + 1] = -1e6
    const looked = {
      ...{ source: 0, age: Number.NaN, shown: -1, content: 0, vector: 0, covisit: 0 },
      ...{ topic: -1, creator: -1, item: -1 },
    }
    expect(weights.adjustment(looked)).toBe(20)
    expect(weights.adjustment({ ...looked, source: 1, topic: 2, creator: 3, item: 5 })).toBe(-20)
  })
})

/** Random records of freshet's topics, for property tests. Each is valid: what it holds passes the checks. */
import fc from 'fast-check'
import type { Feedback, Impression, Item, Watch } from '../../schemas/index.ts'

const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
const text = fc.string({ unit: 'grapheme', maxLength: 60 })
const texts = fc.dictionary(
  fc.string({ unit: 'grapheme', maxLength: 12 }).filter(key => key !== '__proto__'),
  text,
  { noNullPrototype: true, maxKeys: 4 },
)
const ts = fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2200, 0, 1) })
// avsc writes no long beyond 2^53 - 2
const duration = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1 })
const natural = fc.nat()
const float = fc.float({ noNaN: true, min: -1e9, max: 1e9 }).map(value => value + 0)
const consent = fc.constantFrom('full', 'contextual', 'none')
const shared = {
  eventId: id,
  userId: id,
  itemId: id,
  ts,
  surface: text,
  cohort: text,
  context: texts,
  experiments: texts,
  consent,
}

export const impressions: fc.Arbitrary<Impression> = fc.record({
  ...shared,
  requestId: fc.oneof(fc.constant(''), id),
  position: natural,
  slateSize: natural,
  policy: text,
  modelVersion: text,
  listVersion: fc.option(text),
  listIndex: fc.option(natural),
  candidateSource: fc.constantFrom(
    'popularity',
    'covisit',
    'knn',
    'embedding',
    'content',
    'explore',
    'other',
  ),
  score: fc.option(float),
  propensity: fc.option(fc.double({ min: 1e-30, max: 1, noNaN: true })),
  explore: fc.boolean(),
})

export const watches: fc.Arbitrary<Watch> = fc.record({
  ...shared,
  requestId: fc.option(id),
  playId: id,
  seq: natural,
  watchedMs: fc.integer({ min: 0, max: 86_400_000 }),
  durationMs: duration,
  endReason: fc.constantFrom('none', 'finished', 'skipped', 'left'),
})

export const feedbacks: fc.Arbitrary<Feedback> = fc.record({
  ...shared,
  requestId: fc.option(id),
  kind: fc.constantFrom(
    'click',
    'like',
    'dislike',
    'hide',
    'share',
    'save',
    'follow',
    'report',
    'other',
  ),
  value: fc.double({ noNaN: true, min: -1e9, max: 1e9 }).map(value => value + 0),
})

export const items: fc.Arbitrary<Item> = fc.record({
  itemId: id,
  title: text,
  creatorId: fc.oneof(fc.constant(''), id),
  topics: fc.array(text, { maxLength: 4 }),
  language: text,
  regions: fc.array(text, { maxLength: 3 }),
  publishedAt: duration,
  expiresAt: fc.option(duration),
  durationMs: duration,
  safety: fc.constantFrom('ok', 'restricted', 'blocked'),
  attributes: texts,
  embedding: fc.option(fc.array(float, { maxLength: 8 })),
})

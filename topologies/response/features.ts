/**
 * What the response model looks at in an impression, as coordinates of its weights. The numbers stand in the weights' row:
 * a new coordinate is a new layout (rows.ts).
 *
 * Position 0 is where all is measured from: it has no coordinate, so that serving at position 0 means leaving position out.
 * Intercept, position and surface are the same for all candidates of a list and are never served.
 */
import type { CandidateSource } from '../../schemas/index.ts'
import { hash53 } from '../../streams/serde/hash.ts'

const sources: readonly CandidateSource[] = [
  'popularity',
  'covisit',
  'knn',
  'embedding',
  'content',
  'explore',
  'other',
]

const HOUR = 3_600_000
/** Positions with a coordinate of their own; behind them one, by the logarithm of the distance. */
const ownPositions = 20
const surfaceBuckets = 8
const mostShown = 4

/** First coordinate of each feature. */
export const at = {
  intercept: 0,
  source: 1,
  age: 8,
  ageUnknown: 9,
  /** Shown before once, twice, three times, more often. */
  shown: 10,
  position: 14,
  surface: 34,
  /** What the user's own answers say (answers.ts): by content, by learnt vectors, by co-visits. */
  content: 42,
  vector: 43,
  covisit: 44,
} as const
export const denseCount = 45

/** Where the answers stand, by name. */
export const answerNames = ['content', 'vector', 'covisit'] as const

/** Topics, creators and items have a weight each, by hash: two of a bucket share it. */
export const topicBuckets = 1_024
export const creatorBuckets = 4_096
export const itemBuckets = 32_768

/** Non-zero coordinates of one impression; reused, `count` are valid. */
export class Features {
  readonly index = new Int32Array(10)
  readonly value = new Float64Array(10)
  count = 0
  /** Bucket; -1: unknown. */
  topic = -1
  creator = -1
  item = -1

  clear(): void {
    this.count = 0
    this.topic = -1
    this.creator = -1
    this.item = -1
  }

  add(index: number, value: number): void {
    this.index[this.count] = index
    this.value[this.count++] = value
  }
}

export function sourceNumber(source: CandidateSource): number {
  const number = sources.indexOf(source)
  return number < 0 ? sources.length - 1 : number
}

/** log(1 + age in hours) / 8: about 1 after four months. NaN where it is not known when the item was published. */
export function ageFeature(
  item: { readonly publishedAt: number } | undefined,
  now: number,
): number {
  if (item === undefined || item.publishedAt <= 0) return Number.NaN
  return Math.log1p(Math.max(0, now - item.publishedAt) / HOUR) / 8
}

/** Times shown before as a coordinate; -1: never. */
export function shownCoordinate(timesShown: number): number {
  return timesShown <= 0 ? -1 : at.shown + Math.min(mostShown, timesShown) - 1
}

export function addPosition(position: number, to: Features): void {
  if (position <= 0) return
  if (position < ownPositions) to.add(at.position + position - 1, 1)
  else to.add(at.position + ownPositions - 1, Math.log(position - ownPositions + 2))
}

export function surfaceBucket(surface: string): number {
  return hash53(surface) % surfaceBuckets
}

export function creatorBucket(creator: string): number {
  return hash53(creator, 1) % creatorBuckets
}

export function topicBucket(topic: string): number {
  return hash53(topic, 3) % topicBuckets
}

export function itemBucket(itemId: string): number {
  return hash53(itemId, 2) % itemBuckets
}

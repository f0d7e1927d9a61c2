/**
 * Computes a candidate's features (features.ts) for one user at one time. The same code serves the learner, which asks for a
 * positive and its negatives, and lists, which ask for their candidates: what is learnt is what is served.
 *
 * Hot: one call a candidate; nothing is allocated.
 */
import type { ItemTable } from '../items/table.ts'
import type { Content } from '../topk/retrieve/content.ts'
import { type Covisit, covisitScorers } from '../topk/retrieve/covisit.ts'
import type { Embedding } from '../topk/retrieve/embedding.ts'
import { featureCount, indexOfFeature } from './features.ts'

const delta = 0.05
const logDelta = Math.log(delta)
const leastSum = 1e-20

/** What the features of a user's candidates are computed from; sources are prepared for the user. */
export interface Viewed {
  readonly items: ItemTable
  readonly history: Int32Array
  readonly length: number
  readonly perSource: number
  /** Event time, ms. */
  readonly countedUntil: number
}

export interface Sources {
  readonly covisit: Covisit
  readonly embedding: Embedding
  readonly content: Content
}

export const tastes = 3
/** Of the user's items, those that make the taste. */
const tasteWindow = 24
/** Idle time of an item that nobody liked yet: a year, so that it does not look as if just watched. */
const neverMs = 365 * 86_400_000
const twelveHours = 2
const thirtyDays = 4

const at = {
  covisit: indexOfFeature('covisit.share'),
  embedding: indexOfFeature('embedding.logit'),
  content: indexOfFeature('content.cosine'),
  item: indexOfFeature('item.age'),
  taste: indexOfFeature('taste.popular'),
}

export class FeatureRows {
  private viewed: Viewed | undefined
  private sources: Sources | undefined
  private readonly countSums: Float64Array
  private readonly countMaxima: Float64Array
  private readonly scores = new Float64Array(covisitScorers)
  private readonly value = new Float64Array(tastes)
  /** Mean of the user's items less the mean of all. */
  private readonly taste = new Float64Array(tastes)

  constructor() {
    this.countSums = new Float64Array(at.covisit / 2)
    this.countMaxima = new Float64Array(at.covisit / 2)
  }

  /** Starts on a user whose sources are prepared. @param means the mean taste values of all positives. */
  begin(viewed: Viewed, sources: Sources, means: ArrayLike<number>): void {
    this.viewed = viewed
    this.sources = sources
    const { items, countedUntil: now } = viewed
    const halfLives = items.halfLivesMs.length
    for (let h = 0; h < halfLives; h++) {
      const first = items.popular(h, 1)
      this.countSums[h] = items.decayedSum(h, now)
      this.countMaxima[h] = first.length === 0 ? 0 : items.decayed(h, first[0], now)
    }
    this.countSums[halfLives] = items.counted.positives
    this.countMaxima[halfLives] = items.counted.most
    sources.covisit.measure()
    this.taste.fill(0)
    const n = Math.min(viewed.length, tasteWindow)
    for (let k = 0; k < n; k++) {
      this.tasteOf(viewed.history[k], this.value)
      for (let t = 0; t < tastes; t++) this.taste[t] += (this.value[t] - means[t]) / n
    }
  }

  /** What an item says of a taste: popular, new, trending. */
  tasteOf(item: number, into: Float64Array): void {
    const { items, countedUntil: now } = this.viewed!
    into[0] = Math.log1p(items.positives(item))
    into[1] = this.age(item)
    const c = items.decayed(twelveHours, item, now)
    const d = items.decayed(thirtyDays, item, now)
    into[2] = Math.log((60 * c + 1) / (d + 1))
  }

  /** log(1 + hours since the first positive); 0 before it. */
  private age(item: number): number {
    const { items, countedUntil: now } = this.viewed!
    const first = items.firstPositiveAt(item)
    return first > 0 ? Math.log1p(Math.max(0, now - first) / 3_600_000) : 0
  }

  /** Writes `featureCount` numbers from `to` on, all finite. */
  write(item: number, into: Float32Array | Float64Array, to: number): void {
    const { items, countedUntil: now } = this.viewed!
    const { covisit } = this.sources!
    const n = items.counted.items
    into.fill(0, to, to + featureCount)
    const positives = items.positives(item)
    if (positives > 0) {
      const halfLives = items.halfLivesMs.length
      for (let h = 0; h < halfLives; h++)
        pair(
          items.decayed(h, item, now),
          n,
          this.countSums[h],
          this.countMaxima[h],
          into,
          to + 2 * h,
        )
      pair(
        positives,
        n,
        this.countSums[halfLives],
        this.countMaxima[halfLives],
        into,
        to + 2 * halfLives,
      )
    }
    if (covisit.scoresOf(item, this.scores))
      for (let f = 0; f < covisitScorers; f++)
        pair(this.scores[f], n, covisit.sums[f], covisit.maxima[f], into, to + at.covisit + 2 * f)
    this.writeVectors(item, into, to)
    const last = items.lastPositiveAt(item)
    const idleMs = last > 0 ? Math.max(0, now - last) : neverMs
    into[to + at.item] = 0.1 * this.age(item)
    into[to + at.item + 1] = 0.1 * Math.log1p(idleMs / 60_000)
    into[to + at.item + 2] = 0.1 * Math.log1p(positives)
    this.tasteOf(item, this.value)
    for (let t = 0; t < tastes; t++) into[to + at.taste + t] = 0.1 * this.taste[t] * this.value[t]
  }

  private writeVectors(item: number, into: Float32Array | Float64Array, to: number): void {
    const { embedding, content } = this.sources!
    const viewed = this.viewed!
    if (embedding.present) {
      const logit = Math.min(0, (embedding.logit(viewed, item) ?? 0) - embedding.largest)
      into[to + at.embedding] = logit
      into[to + at.embedding + 1] = Math.exp(logit)
    }
    if (content.present) into[to + at.content] = content.similarity(viewed, item)
  }
}

function pair(
  score: number,
  n: number,
  sum: number,
  max: number,
  into: Float32Array | Float64Array,
  to: number,
): void {
  if (!(score > 0 && sum > leastSum && sum < Number.POSITIVE_INFINITY)) return
  into[to] = Math.log((score * n) / sum + delta) - logDelta
  into[to + 1] = Math.sqrt(Math.min(1, score / max))
}

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
import { leastSum, logShareDelta, shareDelta } from '../topk/share.ts'
import { featureCount, indexOfFeature } from './features.ts'

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
  /** Of each scorer: what a score is multiplied with for its share and for the square of its peak; 0: it says 0. */
  private readonly countShares: Float64Array
  private readonly countPeaks: Float64Array
  private readonly covisitShares = new Float64Array(covisitScorers)
  private readonly covisitPeaks = new Float64Array(covisitScorers)
  private readonly scores = new Float64Array(covisitScorers)
  private readonly decayed: Float64Array
  /** Kept, so that reading for it is not left out. */
  expected = 0
  private readonly value = new Float64Array(tastes)
  /** Mean of the user's items less the mean of all. */
  private readonly taste = new Float64Array(tastes)

  constructor() {
    this.countShares = new Float64Array(at.covisit / 2)
    this.countPeaks = new Float64Array(at.covisit / 2)
    this.decayed = new Float64Array(at.covisit / 2)
  }

  /** Starts on a user whose sources are prepared. @param means the mean taste values of all positives. */
  begin(viewed: Viewed, sources: Sources, means: ArrayLike<number>): void {
    this.viewed = viewed
    this.sources = sources
    const { items, countedUntil: now } = viewed
    const halfLives = items.halfLivesMs.length
    const { positives, most, items: n } = items.counted
    for (let h = 0; h < halfLives; h++) {
      const first = items.popular(h, 1)
      const largest = first.length === 0 ? 0 : items.decayed(h, first[0], now)
      this.scale(this.countShares, this.countPeaks, h, n, items.decayedSum(h, now), largest)
    }
    this.scale(this.countShares, this.countPeaks, halfLives, n, positives, most)
    const { covisit } = sources
    covisit.measure()
    for (let f = 0; f < covisitScorers; f++)
      this.scale(this.covisitShares, this.covisitPeaks, f, n, covisit.sums[f], covisit.maxima[f])
    this.taste.fill(0)
    const looked = Math.min(viewed.length, tasteWindow)
    for (let k = 0; k < looked; k++) {
      this.tasteOf(viewed.history[k], this.value)
      for (let t = 0; t < tastes; t++) this.taste[t] += (this.value[t] - means[t]) / looked
    }
  }

  private scale(
    shares: Float64Array,
    peaks: Float64Array,
    scorer: number,
    n: number,
    sum: number,
    largest: number,
  ): void {
    const counts = sum > leastSum && sum < Number.POSITIVE_INFINITY
    shares[scorer] = counts ? n / sum : 0
    peaks[scorer] = counts ? 1 / largest : 0
  }

  /** What an item says of a taste: popular, new, trending. */
  tasteOf(item: number, into: Float64Array): void {
    const { items, countedUntil: now } = this.viewed!
    const c = items.decayed(twelveHours, item, now)
    const d = items.decayed(thirtyDays, item, now)
    this.tasteGiven(item, items.positives(item), c, d, into)
  }

  /** @param c @param d positives at half-lives 12 h and 720 h. */
  private tasteGiven(
    item: number,
    positives: number,
    c: number,
    d: number,
    into: Float64Array,
  ): void {
    const { items, countedUntil: now } = this.viewed!
    into[0] = Math.log1p(positives)
    // log(1 + hours since the first positive); 0 before it
    const first = items.firstPositiveAt(item)
    into[1] = first > 0 ? Math.log1p(Math.max(0, now - first) / 3_600_000) : 0
    into[2] = Math.log((60 * c + 1) / (d + 1))
  }

  /**
   * Reads something of what the rows of items[from..to] will be made of. Random items are not in the core's cache; asked for
   * at once their memory comes side by side, asked for row by row each waits for the one before.
   */
  expect(items: Int32Array, from: number, to: number): void {
    const { items: table } = this.viewed!
    const { output, contents, dimension, contentLength } = table
    const hasContent = this.sources!.content.present
    let sum = 0
    for (let n = from; n < to; n++) {
      const item = items[n]
      const at = item * dimension
      sum += output[at] + output[at + dimension - 1] + table.lastPositiveAt(item)
      sum += table.bias[item]
      if (!hasContent) continue
      const place = table.contentAt(item)
      if (place >= 0) sum += contents[place] + contents[place + contentLength - 1]
    }
    this.expected = sum
  }

  /** Writes `featureCount` numbers from `to` on, all finite. */
  write(item: number, into: Float32Array | Float64Array, to: number): void {
    const { items, countedUntil: now } = this.viewed!
    const { decayed, value, taste, scores } = this
    into.fill(0, to, to + featureCount)
    const positives = items.positives(item)
    const halfLives = items.halfLivesMs.length
    for (let h = 0; h < halfLives; h++) decayed[h] = items.decayed(h, item, now)
    if (positives > 0) {
      decayed[halfLives] = positives
      pairs(decayed, this.countShares, this.countPeaks, into, to)
    }
    if (this.sources!.covisit.scoresOf(item, scores))
      pairs(scores, this.covisitShares, this.covisitPeaks, into, to + at.covisit)
    this.writeVectors(item, into, to)
    this.tasteGiven(item, positives, decayed[twelveHours], decayed[thirtyDays], value)
    const last = items.lastPositiveAt(item)
    const idleMs = last > 0 ? Math.max(0, now - last) : neverMs
    into[to + at.item] = 0.1 * value[1]
    into[to + at.item + 1] = 0.1 * Math.log1p(idleMs / 60_000)
    into[to + at.item + 2] = 0.1 * value[0]
    for (let t = 0; t < tastes; t++) into[to + at.taste + t] = 0.1 * taste[t] * value[t]
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

/** Share and peak of each score, side by side. */
function pairs(
  scores: Float64Array,
  shares: Float64Array,
  peaks: Float64Array,
  into: Float32Array | Float64Array,
  to: number,
): void {
  for (let s = 0; s < scores.length; s++) {
    const score = scores[s]
    if (!(score > 0 && shares[s] > 0)) continue
    into[to + 2 * s] = Math.log(score * shares[s] + shareDelta) - logShareDelta
    into[to + 2 * s + 1] = Math.sqrt(Math.min(1, score * peaks[s]))
  }
}

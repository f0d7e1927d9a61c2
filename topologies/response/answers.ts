/**
 * What a user's own answers say of an item: the share that the user watched of what is like it, against what all watch.
 *
 * With the sums over unit vectors v of the user's last positives P and of all that was shown or liked S = P + unwatched:
 *   liked = max(0, v . sum P)      shown = max(liked, v . sum S)
 *   affinity = logit((liked + 4 b) / (shown + 4)) - logit(b)
 * where b is the mean rate of the catalog (positives per impression): relevance feedback (Rocchio 1971) as a smoothed rate, so
 * that two watched of fifty shown says that the rest is not wanted, and what was never tried stays at 0. Once by content, once
 * by the learner's vectors.
 */
import { dot } from '../items/dot.ts'
import type { ItemTable } from '../items/table.ts'
import { vectorDimension } from '../learner/rows.ts'
import type { Covisit } from '../topk/retrieve/covisit.ts'
import type { User } from '../user/user.ts'

const likedLooked = 40
const passedLooked = 80
/** Impressions' worth that the catalog's mean rate counts for. */
const prior = 4
const leastRate = 0.01
const mostRate = 0.5
/** As far as a packed answer reaches: logits. */
const furthest = 7.9375

type AnsweredItems = Pick<
  ItemTable,
  'contents' | 'contentLength' | 'contentAt' | 'output' | 'hasVector' | 'betaPrior'
>

const none: ReadonlySet<number> = new Set()

/** Sums over what was liked, and over all that was shown or liked. */
class Sums {
  private liked = new Float32Array(0)
  private shown = new Float32Array(0)
  private isEmpty = true

  clear(dimension: number): void {
    if (dimension !== this.liked.length) {
      this.liked = new Float32Array(dimension)
      this.shown = new Float32Array(dimension)
    } else if (!this.isEmpty) {
      this.liked.fill(0)
      this.shown.fill(0)
    }
    this.isEmpty = true
  }

  add(vectors: Float32Array, at: number, scale: number, isLiked: boolean): void {
    const { liked, shown } = this
    this.isEmpty = false
    for (let d = 0; d < shown.length; d++) {
      const x = vectors[at + d] * scale
      shown[d] += x
      if (isLiked) liked[d] += x
    }
  }

  affinity(vectors: Float32Array, at: number, scale: number, base: number): number {
    if (this.isEmpty) return 0
    const { length } = this.liked
    const liked = Math.max(0, scale * dot(this.liked, 0, vectors, at, length))
    const shown = Math.max(liked, scale * dot(this.shown, 0, vectors, at, length))
    const odds = (liked + prior * base) / (shown - liked + prior * (1 - base))
    return bounded(Math.log((odds * (1 - base)) / base))
  }
}

export class Answers {
  private readonly items: AnsweredItems
  private readonly byContent = new Sums()
  private readonly byVector = new Sums()
  private base = leastRate

  constructor(items: AnsweredItems) {
    this.items = items
  }

  /** Looks at a user's answers since `from` (event time, ms), but to items that are left out. */
  begin(
    user: Pick<User, 'positives' | 'shown'> | null,
    from = 0,
    leftOut: ReadonlySet<number> = none,
  ): void {
    const { items } = this
    this.byContent.clear(items.contentLength)
    this.byVector.clear(vectorDimension)
    const { a, b } = items.betaPrior
    this.base = Math.min(mostRate, Math.max(leastRate, a / (a + b)))
    if (user === null) return
    const { positives } = user
    for (let k = 0; k < positives.length && k < likedLooked && positives.at(k) >= from; k++)
      if (!leftOut.has(positives.item(k))) this.add(positives.item(k), true)
    for (const item of user.shown.unwatched(passedLooked, from))
      if (!leftOut.has(item)) this.add(item, false)
  }

  private add(item: number, isLiked: boolean): void {
    const { items, byContent, byVector } = this
    const at = items.contentAt(item)
    if (at >= 0) byContent.add(items.contents, at, 1, isLiked)
    if (items.hasVector(item))
      byVector.add(items.output, item * vectorDimension, this.scale(item), isLiked)
  }

  /** By content, logits; 0 where nothing is known. */
  content(item: number): number {
    const at = this.items.contentAt(item)
    return at < 0 ? 0 : this.byContent.affinity(this.items.contents, at, 1, this.base)
  }

  /** By the learner's vectors, logits; 0 where nothing is known. */
  vector(item: number): number {
    const { items } = this
    if (!items.hasVector(item)) return 0
    return this.byVector.affinity(items.output, item * vectorDimension, this.scale(item), this.base)
  }

  private scale(item: number): number {
    const { output } = this.items
    const at = item * vectorDimension
    const length = dot(output, at, output, at, vectorDimension)
    return length > 0 ? 1 / Math.sqrt(length) : 0
  }
}

/** Long co-visits without what popularity makes of them (`covisit_long_rare.share` of the registry), as far as is packed. */
export function covisitAnswer(covisit: Covisit, item: number): number {
  return bounded(covisit.longRareShare(item))
}

function bounded(x: number): number {
  return Math.min(furthest, Math.max(-furthest, x))
}

/** The three as one small integer, in sixteenths of a logit: there are millions of pending impressions. */
export function packAnswers(content: number, vector: number, covisit: number): number {
  return (byte(content) << 16) | (byte(vector) << 8) | byte(covisit)
}

interface UnpackedAnswers {
  content: number
  vector: number
  covisit: number
}

export function unpackAnswers(packed: number, into: UnpackedAnswers): void {
  into.content = ((packed >> 16) & 255) / 16 - 8
  into.vector = ((packed >> 8) & 255) / 16 - 8
  into.covisit = (packed & 255) / 16 - 8
}

function byte(x: number): number {
  return Math.round(16 * (bounded(x) + 8))
}

/**
 * Makes the served logits of a list's candidates of the choice logits, by the response model. Hot: once a list; buckets of
 * items, topics and creators are hashed once.
 */
import type { CatalogEntry, ItemTable } from '../items/table.ts'
import type { Filter } from '../topk/filter.ts'
import type { Ask } from '../topk/retrieve/ask.ts'
import { candidateSources } from '../topk/retrieve/candidates.ts'
import type { Covisit } from '../topk/retrieve/covisit.ts'
import type { User } from '../user/user.ts'
import { Answers, covisitAnswer } from './answers.ts'
import {
  ageFeature,
  creatorBucket,
  itemBucket,
  shownCoordinate,
  sourceNumber,
  topicBucket,
} from './features.ts'
import { type Looked, noTerms, type ResponseTerms, type ResponseWeights } from './weights.ts'

/** What a list is made from. */
interface Listed {
  readonly ask: Pick<Ask, 'from'>
  readonly user: User | null
  /** ms, as items' ages are asked. */
  readonly now: number
  /** Accumulated for the user. */
  readonly covisit: Covisit
  readonly filter: Pick<Filter, 'logWeight'>
}

/** Candidates as retrieval leaves them; `count` are valid. */
interface ListedItems {
  readonly items: Int32Array
  /** Index into `candidateSources`. */
  readonly source: Uint8Array
  readonly count: number
}

const sourceNumbers = candidateSources.map(sourceNumber)

/** Served logit = kept x choice logit + strength x the sum of the terms. */
interface Explained extends Readonly<ResponseTerms> {
  readonly strength: number
  readonly kept: number
  readonly added: number
}

export class ResponseScores {
  private readonly items: ItemTable
  private readonly answers: Answers
  private readonly topics = new Buckets(topic => topicBucket(this.items.topicName(topic)))
  private readonly creators = new Buckets(creator => creatorBucket(this.items.creatorName(creator)))
  private readonly own = new Buckets(item => itemBucket(this.items.idOf(item)))
  /** What the model sees of the candidate that is looked at. */
  private readonly at: Looked = noTerms()

  constructor(items: ItemTable) {
    this.items = items
    this.answers = new Answers(items)
  }

  /** The weights, where they are in force. */
  private get weights(): ResponseWeights | undefined {
    const { response } = this.items
    return response === undefined || response.strength === 0 ? undefined : response
  }

  /**
   * Changes `logits` in place, to whole thousandths; what fatigue and feedback on the creator leave an item (`filter`) stays
   * as it is. Changes nothing while the model is off.
   */
  add(listed: Listed, candidates: ListedItems, logits: Float64Array): void {
    const { weights } = this
    if (weights === undefined) return
    this.begin(listed)
    for (let i = 0; i < candidates.count; i++) {
      const item = candidates.items[i]
      this.look(listed, item, candidates.source[i])
      logits[i] = weights.served(logits[i], listed.filter.logWeight(item), this.at)
    }
  }

  /** Why a candidate gets what `add` gives it; undefined while the model is off. @param source into `candidateSources`. */
  explain(listed: Listed, item: number, source: number): Explained | undefined {
    const { weights } = this
    if (weights === undefined) return undefined
    this.begin(listed)
    this.look(listed, item, source)
    const { strength, kept } = weights
    return { ...weights.terms(this.at), strength, kept, added: weights.adjustment(this.at) }
  }

  /** What the model knows of an item by itself; undefined while it is off. */
  effects(item: number): Pick<ResponseTerms, 'topic' | 'creator' | 'item'> | undefined {
    const { weights } = this
    if (weights === undefined) return undefined
    this.lookAtItem(item)
    const { topic, creator, item: own } = weights.terms(this.at)
    return { topic, creator, item: own }
  }

  private begin({ ask, user, covisit }: Listed): void {
    this.answers.begin(user, ask.from)
    covisit.measure()
  }

  private look({ user, now, covisit }: Listed, item: number, source: number): void {
    const { at, answers } = this
    const entry = this.lookAtItem(item)
    at.source = sourceNumbers[source]
    at.age = ageFeature(entry, now)
    at.shown = user === null ? -1 : shownCoordinate(user.shown.last7d(item, user.lastSeenAt))
    at.content = answers.content(item)
    at.vector = answers.vector(item)
    at.covisit = covisitAnswer(covisit, item)
  }

  private lookAtItem(item: number): CatalogEntry | undefined {
    const { at } = this
    const entry = this.items.catalog(item)
    const topic = entry?.topics[0] ?? -1
    const creator = entry?.creator ?? -1
    at.topic = topic < 0 ? -1 : this.topics.of(topic)
    at.creator = creator < 0 ? -1 : this.creators.of(creator)
    at.item = this.own.of(item)
    return entry
  }
}

/** Buckets by index, each hashed once. */
class Buckets {
  private buckets = new Int32Array(0)
  private readonly bucketOf: (index: number) => number

  constructor(bucketOf: (index: number) => number) {
    this.bucketOf = bucketOf
  }

  of(index: number): number {
    if (index >= this.buckets.length) {
      const larger = new Int32Array(Math.max(1024, 2 * this.buckets.length, index + 1)).fill(-1)
      larger.set(this.buckets)
      this.buckets = larger
    }
    if (this.buckets[index] < 0) this.buckets[index] = this.bucketOf(index)
    return this.buckets[index]
  }
}

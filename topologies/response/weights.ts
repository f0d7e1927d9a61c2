/**
 * The response model's weights as every process follows them, and what they make of the logit of a candidate.
 *
 * With strength s (response.weight; 0 until enough was learnt) and the item's own part e of the response logit:
 *   served logit = (1 - .9 s) choice + s e
 * A list learns from positives what is watched among what is shown, and that is mostly what was shown: within lists that it
 * made itself, the choice logit told nothing that the response model does not know (its learnt weight fell to .03). A tenth of
 * it stays, for what has no answers yet.
 */
import type { ByteReader } from '../../streams/serde/bytes.ts'
import { rounded } from '../topk/score.ts'
import { at, creatorBuckets, denseCount, itemBuckets, topicBuckets } from './features.ts'
import { groupOf, parts, readChunk, readDense } from './rows.ts'

/** Of the choice logit, at full strength. */
const choiceKept = 0.1
const furthest = 20

/** Of the item for the user; then of the user's own answers to what is like it; then of the item by itself. */
export const responseTerms = [
  'source',
  'age',
  'shown',
  'content',
  'vector',
  'covisit',
  'topic',
  'creator',
  'item',
] as const
/** In response logits. */
export type ResponseTerms = Record<(typeof responseTerms)[number], number>
/** What the model sees of a candidate: buckets and `shown` (the coordinate) are -1 where there is none; `age` NaN: unknown. */
export type Looked = ResponseTerms

export const noTerms = (): ResponseTerms => ({
  source: 0,
  age: 0,
  shown: 0,
  content: 0,
  vector: 0,
  covisit: 0,
  topic: 0,
  creator: 0,
  item: 0,
})

export class ResponseWeights {
  /** 0: off, nothing is added. */
  strength = 0
  learnt = 0
  readonly dense = new Float64Array(denseCount)
  readonly topics = new Float32Array(topicBuckets)
  readonly creators = new Float32Array(creatorBuckets)
  readonly items = new Float32Array(itemBuckets)
  /** Reused by `terms`. */
  private readonly found = noTerms()

  /** A row of the learner's store `response`; the reader of the key stands at its part. */
  apply(key: ByteReader, value: ByteReader | null): void {
    if (value === null) return
    const part = key.u8()
    if (part === parts.dense) {
      const head = readDense(value, this.dense)
      if (head === undefined) return
      this.learnt = head.learnt
      this.strength = head.strength
      return
    }
    readChunk(value, key.uint(), groupOf(part, this))
  }

  /** Part of the choice logit that is kept. */
  get kept(): number {
    return 1 - (1 - choiceKept) * this.strength
  }

  /** What is added to what is kept of the choice logit. */
  adjustment(looked: Looked): number {
    const { source, age, shown, content, vector, covisit, topic, creator, item } =
      this.terms(looked)
    const own = source + age + shown + content + vector + covisit + topic + creator + item
    return this.strength * Math.min(furthest, Math.max(-furthest, own))
  }

  /** The served logit. @param fixed what fatigue and feedback on the creator made of the choice logit. */
  served(choice: number, fixed: number, looked: Looked): number {
    return rounded(this.kept * (choice - fixed) + fixed + this.adjustment(looked))
  }

  /** The terms that `adjustment` sums up, before its bound and strength. */
  terms(looked: Looked): ResponseTerms {
    const { dense, topics, creators, items, found } = this
    const { age, shown, topic, creator, item } = looked
    found.source = dense[at.source + looked.source]
    found.age = Number.isNaN(age) ? dense[at.ageUnknown] : dense[at.age] * age
    found.shown = shown >= 0 ? dense[shown] : 0
    found.content = dense[at.content] * looked.content
    found.vector = dense[at.vector] * looked.vector
    found.covisit = dense[at.covisit] * looked.covisit
    found.topic = topic >= 0 ? topics[topic] : 0
    found.creator = creator >= 0 ? creators[creator] : 0
    found.item = item >= 0 ? items[item] : 0
    return found
  }
}

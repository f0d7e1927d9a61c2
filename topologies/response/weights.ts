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
import { at, creatorBuckets, denseCount, itemBuckets, topicBuckets } from './features.ts'
import { parts, readChunk, readDense } from './rows.ts'

/** Of the choice logit, at full strength. */
const choiceKept = 0.1
const furthest = 20

/** What the model sees of a candidate. Buckets and `shown` (the coordinate) are -1 where there is none; `age` NaN: unknown. */
export interface Looked {
  source: number
  age: number
  shown: number
  content: number
  vector: number
  covisit: number
  topic: number
  creator: number
  item: number
}

export class ResponseWeights {
  /** 0: off, nothing is added. */
  strength = 0
  learnt = 0
  readonly dense = new Float64Array(denseCount)
  topics: Float32Array = noWeights
  creators: Float32Array = noWeights
  items: Float32Array = noWeights

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
    if (this.items === noWeights) {
      this.topics = new Float32Array(topicBuckets)
      this.creators = new Float32Array(creatorBuckets)
      this.items = new Float32Array(itemBuckets)
    }
    const group =
      part === parts.topics ? this.topics : part === parts.creators ? this.creators : this.items
    readChunk(value, key.uint(), group)
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

  /** The terms that `adjustment` sums up, before its bound and strength. */
  terms(looked: Looked): ResponseTerms {
    const { dense, topics, creators, items, found } = this
    const { age, shown, topic, creator, item } = looked
    const known = items !== noWeights
    found.source = dense[at.source + looked.source]
    found.age = Number.isNaN(age) ? dense[at.ageUnknown] : dense[at.age] * age
    found.shown = shown >= 0 ? dense[shown] : 0
    found.content = dense[at.content] * looked.content
    found.vector = dense[at.vector] * looked.vector
    found.covisit = dense[at.covisit] * looked.covisit
    found.topic = known && topic >= 0 ? topics[topic] : 0
    found.creator = known && creator >= 0 ? creators[creator] : 0
    found.item = known && item >= 0 ? items[item] : 0
    return found
  }

  /** Reused by `terms`. */
  private readonly found: ResponseTerms = {
    source: 0,
    age: 0,
    shown: 0,
    content: 0,
    vector: 0,
    covisit: 0,
    topic: 0,
    creator: 0,
    item: 0,
  }
}

/** In response logits. */
export interface ResponseTerms {
  source: number
  age: number
  /** Of the times that it was shown to the user before. */
  shown: number
  /** Of the user's own answers to what is like it: by content, by learnt vectors, by co-visits. */
  content: number
  vector: number
  covisit: number
  topic: number
  creator: number
  item: number
}

const noWeights = new Float32Array(0)

/**
 * The response model's weights as every process follows them, and what they add to the logit of a candidate.
 *
 * With strength s (response.weight; 0 until enough was learnt) and the item's own part e of the response logit:
 *   served logit = choice + s x r x clamp(e, -3, 3),  r = 1 / (1 + slope), kept within 1 and 3
 * The choice keeps its scale, which temperatures are given for; r turns logits of response into logits of choice. It is bounded:
 * a slope that is estimated too small would make e count for more, lists noisier, and the next slope smaller still.
 */
import type { ByteReader } from '../../streams/serde/bytes.ts'
import { at, creatorBuckets, denseCount, itemBuckets } from './features.ts'
import { parts, readChunk, readDense } from './rows.ts'

const furthest = 3
const mostRate = 3

export class ResponseWeights {
  /** 0: off, nothing is added. */
  strength = 0
  learnt = 0
  readonly dense = new Float64Array(denseCount)
  creators: Float32Array = noWeights
  items: Float32Array = noWeights

  /** A row of the learner's store `response`; the reader of the key stands at its part. */
  apply(key: ByteReader, value: ByteReader | null): void {
    if (value === null) return
    const part = key.u8()
    if (part === parts.dense) {
      const { learnt, strength } = readDense(value, this.dense)
      this.learnt = learnt
      this.strength = strength
      return
    }
    if (this.items === noWeights) this.allocate()
    readChunk(value, key.uint(), part === parts.creators ? this.creators : this.items)
  }

  private allocate(): void {
    this.creators = new Float32Array(creatorBuckets)
    this.items = new Float32Array(itemBuckets)
  }

  /** As the learner's model has them; their arrays are copied. */
  take(strength: number, dense: Float64Array, creators: Float32Array, items: Float32Array): void {
    if (this.items === noWeights) this.allocate()
    this.strength = strength
    this.dense.set(dense)
    this.creators.set(creators)
    this.items.set(items)
  }

  /**
   * What is added to the choice logit. Buckets and `shown` (the coordinate of times shown before) are -1 where there is
   * none; `age` NaN: unknown.
   */
  adjustment(
    source: number,
    age: number,
    shown: number,
    creatorBucket: number,
    itemBucket: number,
  ): number {
    const { dense } = this
    let own = dense[at.source + source]
    own += Number.isNaN(age) ? dense[at.ageUnknown] : dense[at.age] * age
    if (shown >= 0) own += dense[shown]
    if (this.items !== noWeights) {
      if (creatorBucket >= 0) own += this.creators[creatorBucket]
      if (itemBucket >= 0) own += this.items[itemBucket]
    }
    return this.strength * this.rate * Math.min(furthest, Math.max(-furthest, own))
  }

  /** Logits of choice that a logit of response is worth. */
  get rate(): number {
    return Math.min(mostRate, Math.max(1, 1 / (1 + this.dense[at.slope])))
  }

  /** The terms that `adjustment` sums up, before its bounds, rate and strength: for who asks why. */
  terms(
    source: number,
    age: number,
    shown: number,
    creatorBucket: number,
    itemBucket: number,
  ): ResponseTerms {
    const { dense, creators, items } = this
    const known = this.items !== noWeights
    return {
      source: dense[at.source + source],
      age: Number.isNaN(age) ? dense[at.ageUnknown] : dense[at.age] * age,
      shown: shown >= 0 ? dense[shown] : 0,
      creator: known && creatorBucket >= 0 ? creators[creatorBucket] : 0,
      item: known && itemBucket >= 0 ? items[itemBucket] : 0,
    }
  }
}

/** In response logits. */
export interface ResponseTerms {
  readonly source: number
  readonly age: number
  /** Of the times that it was shown to the user before. */
  readonly shown: number
  readonly creator: number
  readonly item: number
}

const noWeights = new Float32Array(0)

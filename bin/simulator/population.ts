/**
 * Who watches and what there is to watch: users with 16 tastes, items with topics, creators, quality and age. Everything is
 * drawn from the seed; a slot of the catalog may be filled anew, users stay.
 *
 *   topic      20 of them, each a random direction in 16 dimensions
 *   item       0.9 x the direction of its first topic, the rest a direction of its own; topics are equally frequent
 *   taste      1 x a topic + 0.5 x another + 0.3 x a direction of one's own, at unit length; topics by Zipf's law, exponent 1
 *   attention  the chance that a viewer comes across an item without any list: by Zipf's law over the slots, exponent 1, and
 *              independent of how good the item is
 *   activity   how often a user comes, log-normal (sigma 0.7)
 */
import type { Consent, ItemDraft } from '../../schemas/index.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'

export const dimension = 16
const topicCount = 20
const secondInterest = 0.5
const ownTaste = 0.3
const itemTopic = 0.9
const itemOwn = Math.sqrt(1 - itemTopic ** 2)
const dayMs = 86_400_000
const countries = ['de', 'fr', 'us'] as const
const devices = ['phone', 'tablet', 'desktop'] as const
const networks = ['wifi', 'cell'] as const

/** Ranks from 0, drawn as often as 1 / (rank + 1). */
export class Zipf {
  private readonly sums: Float64Array

  constructor(size: number) {
    this.sums = new Float64Array(size)
    let sum = 0
    for (let rank = 0; rank < size; rank++) {
      sum += 1 / (rank + 1)
      this.sums[rank] = sum
    }
  }

  draw(random: () => number): number {
    return placeOf(this.sums, random() * this.sums[this.sums.length - 1])
  }
}

/** First place in running sums that is above `wanted`. */
function placeOf(sums: Float64Array, wanted: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (sums[middle] > wanted) high = middle
    else low = middle + 1
  }
  return low
}

/** Standard normal (Box-Muller). */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

export interface User {
  readonly index: number
  readonly id: string
  readonly cohort: string
  readonly device: string
  readonly network: string
  readonly consent: Consent
}

export interface Shares {
  /** Users that are logged out: `anon:<device>`. */
  readonly anonymous: number
  readonly contextual: number
  readonly none: number
}

export class Users {
  readonly all: readonly User[]
  /** Unit vectors, by index * dimension. */
  readonly tastes: Float32Array
  /** Running sums of activity, for drawing: a few come often, most seldom. */
  private readonly activity: Float64Array

  constructor(seed: number, count: number, shares: Shares) {
    const random = randomFrom(hash53(`users:${seed}`))
    const topics = topicDirections(seed)
    const interest = new Zipf(topicCount)
    this.tastes = new Float32Array(count * dimension)
    this.activity = new Float64Array(count)
    const all: User[] = []
    let sum = 0
    for (let index = 0; index < count; index++) {
      direction(random, this.tastes, index, ownTaste)
      add(this.tastes, index, topics, interest.draw(random), 1)
      add(this.tastes, index, topics, interest.draw(random), secondInterest)
      scaleToUnit(this.tastes, index)
      sum += Math.exp(0.7 * normal(random))
      this.activity[index] = sum
      const anonymous = random() < shares.anonymous
      const draw = random()
      const device = devices[Math.floor(random() ** 2 * devices.length)]
      all.push({
        index,
        id: anonymous ? `anon:d${index}` : `u${index}`,
        cohort: `${countries[Math.floor(random() * countries.length)]}-${device}`,
        device,
        network: networks[random() < 0.7 ? 0 : 1],
        consent:
          draw < shares.none
            ? 'none'
            : draw < shares.none + shares.contextual
              ? 'contextual'
              : 'full',
      })
    }
    this.all = all
  }

  /** A user by activity. */
  draw(random: () => number): User {
    return this.all[placeOf(this.activity, random() * this.activity[this.activity.length - 1])]
  }
}

export interface CatalogSlot {
  readonly id: string
  readonly creatorId: string
  readonly topics: readonly string[]
  readonly publishedAt: number
  readonly durationMs: number
}

export class Catalog {
  readonly size: number
  /** By slot * dimension; about unit length, near the centre of the slot's first topic. */
  readonly vectors: Float32Array
  /** Standard normal. */
  readonly quality: Float32Array
  /** Which slot a viewer comes across by himself. */
  readonly attention: Zipf
  readonly slots: CatalogSlot[] = []
  readonly slotOf = new Map<string, number>()
  private readonly centres: Float32Array
  private readonly random: () => number
  private serial = 0

  constructor(seed: number, size: number, startTs: number) {
    this.size = size
    this.random = randomFrom(hash53(`items:${seed}`))
    this.vectors = new Float32Array(size * dimension)
    this.quality = new Float32Array(size)
    this.attention = new Zipf(size)
    this.centres = topicDirections(seed)
    for (let slot = 0; slot < size; slot++)
      this.fill(slot, startTs - Math.round(-Math.log(1 - this.random()) * 30 * dayMs))
  }

  /** Puts a new item into a slot. */
  fill(slot: number, publishedAt: number): void {
    const { random } = this
    const id = `i${this.serial++}`
    const topic = Math.floor(random() * topicCount)
    const second = Math.floor(random() * topicCount)
    for (let d = 0; d < dimension; d++)
      this.vectors[slot * dimension + d] =
        itemTopic * this.centres[topic * dimension + d] +
        (itemOwn / Math.sqrt(dimension)) * normal(random)
    this.quality[slot] = normal(random)
    if (this.slots[slot]) this.slotOf.delete(this.slots[slot].id)
    this.slotOf.set(id, slot)
    this.slots[slot] = {
      id,
      creatorId: `c${Math.floor(random() ** 2 * Math.ceil(this.size / 10))}`,
      topics: topic === second ? [`t${topic}`] : [`t${topic}`, `t${second}`],
      publishedAt,
      durationMs:
        Math.round(Math.min(600, Math.max(8, 45 * Math.exp(0.8 * normal(random))))) * 1000,
    }
  }

  record(slot: number): ItemDraft {
    const { id, creatorId, topics, publishedAt, durationMs } = this.slots[slot]
    const embedding = Array.from(this.vectors.subarray(slot * dimension, (slot + 1) * dimension))
    return {
      itemId: id,
      title: `Item ${id}`,
      creatorId,
      topics,
      publishedAt,
      durationMs,
      language: 'en',
      safety: 'ok',
      embedding,
    }
  }
}

function topicDirections(seed: number): Float32Array {
  const random = randomFrom(hash53(`topics:${seed}`))
  const directions = new Float32Array(topicCount * dimension)
  for (let topic = 0; topic < topicCount; topic++) direction(random, directions, topic, 1)
  return directions
}

/** A random direction of a given length. */
function direction(random: () => number, into: Float32Array, index: number, length: number): void {
  for (let d = 0; d < dimension; d++) into[index * dimension + d] = normal(random)
  scaleToUnit(into, index)
  for (let d = 0; d < dimension; d++) into[index * dimension + d] *= length
}

function add(
  to: Float32Array,
  index: number,
  from: Float32Array,
  other: number,
  weight: number,
): void {
  for (let d = 0; d < dimension; d++)
    to[index * dimension + d] += weight * from[other * dimension + d]
}

function scaleToUnit(vectors: Float32Array, index: number): void {
  let norm = 0
  for (let d = 0; d < dimension; d++) norm += vectors[index * dimension + d] ** 2
  for (let d = 0; d < dimension; d++) vectors[index * dimension + d] /= Math.sqrt(norm)
}

/**
 * Who watches and what there is to watch: users with 16 tastes, items with topics, creators, quality and age. Everything is
 * drawn from the seed; a slot of the catalog may be filled anew, users stay.
 */
import type { Consent, ItemDraft } from '../../schemas/index.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'

export const dimension = 16
const topicCount = 20
const dayMs = 86_400_000
const countries = ['de', 'fr', 'us'] as const
const devices = ['phone', 'tablet', 'desktop'] as const
const networks = ['wifi', 'cell'] as const

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
    this.tastes = new Float32Array(count * dimension)
    this.activity = new Float64Array(count)
    const all: User[] = []
    let sum = 0
    for (let index = 0; index < count; index++) {
      unitVector(random, this.tastes, index)
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
    const wanted = random() * this.activity[this.activity.length - 1]
    let low = 0
    let high = this.activity.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.activity[middle] > wanted) high = middle
      else low = middle + 1
    }
    return this.all[low]
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
  /** Log-odds that come with the rank: Zipf with exponent 0.5, mean 0. */
  readonly fame: Float32Array
  readonly slots: CatalogSlot[] = []
  readonly slotOf = new Map<string, number>()
  private readonly centres = new Float32Array(topicCount * dimension)
  private readonly random: () => number
  private serial = 0

  constructor(seed: number, size: number, startTs: number) {
    this.size = size
    this.random = randomFrom(hash53(`items:${seed}`))
    this.vectors = new Float32Array(size * dimension)
    this.quality = new Float32Array(size)
    this.fame = new Float32Array(size)
    for (let topic = 0; topic < topicCount; topic++) unitVector(this.random, this.centres, topic)
    let mean = 0
    for (let slot = 0; slot < size; slot++) mean += -0.5 * Math.log(slot + 1)
    mean /= size
    for (let slot = 0; slot < size; slot++) {
      this.fame[slot] = -0.5 * Math.log(slot + 1) - mean
      this.fill(slot, startTs - Math.round(-Math.log(1 - this.random()) * 30 * dayMs))
    }
  }

  /** Puts a new item into a slot. */
  fill(slot: number, publishedAt: number): void {
    const { random } = this
    const id = `i${this.serial++}`
    const topic = Math.floor(random() * topicCount)
    const second = Math.floor(random() * topicCount)
    for (let d = 0; d < dimension; d++)
      this.vectors[slot * dimension + d] =
        0.8 * this.centres[topic * dimension + d] + (0.6 / Math.sqrt(dimension)) * normal(random)
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

function unitVector(random: () => number, into: Float32Array, index: number): void {
  let norm = 0
  for (let d = 0; d < dimension; d++) {
    const value = normal(random)
    into[index * dimension + d] = value
    norm += value * value
  }
  for (let d = 0; d < dimension; d++) into[index * dimension + d] /= Math.sqrt(norm)
}

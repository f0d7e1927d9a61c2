/**
 * Draws a slate, position by position: mask what the rules forbid given the items above, subtract the likeness penalty
 * (MMR), draw from what is left.
 *
 * Invariants:
 *  - L1 `p` is the probability of the item at its position given the items above it and the candidates: the mask and the
 *       penalty are part of the policy, and nothing reorders or drops after the draw.
 *  - L2 No position breaks a rule. `creatorCap` ends the list rather than give way; `topicRun` gives way where nothing else
 *       is left at that position.
 *  - L3 `score` is the logit after the penalty at the moment of the draw: p = exp(score / T) / sum over the allowed.
 *  - L4 p is in (0, 1] and finite, whatever the finite logits.
 * `propensities.ts` computes p a second way, from the whole draw.
 *
 * Hot: weights exp(x / T) are kept and renewed only where the penalty grew; the sum is taken afresh at each position, so no
 * error accumulates. Measured by topk.bench.ts.
 */
import { dot } from '../items/dot.ts'
import { rounded } from './score.ts'

export interface SlateRules {
  readonly size: number
  readonly policy: 'plackett-luce' | 'epsilon'
  /** 0: always the best. */
  readonly temperature: number
  readonly epsilon: number
  /** Penalty in logits at likeness 1, to items in the first `mmrPositions`. */
  readonly mmr: number
  readonly mmrPositions: number
  /** 0: no cap. */
  readonly creatorCap: number
  /** 0: no limit. */
  readonly topicRun: number
}

/** What the rules look at. Filled per list; `count` are valid. */
export class Traits {
  count = 0
  readonly logit: Float64Array
  /** -1: unknown, never capped. */
  readonly creator: Int32Array
  /** First topic; -1: none, never limited. */
  readonly topic: Int32Array
  /** Unit vectors by candidate x dimension; all 0 where none is known: like nothing. */
  readonly vectors: Float32Array
  readonly dimension: number

  constructor(capacity: number, dimension: number) {
    this.logit = new Float64Array(capacity)
    this.creator = new Int32Array(capacity)
    this.topic = new Int32Array(capacity)
    this.vectors = new Float32Array(capacity * dimension)
    this.dimension = dimension
  }
}

/** A drawn slate; the arrays are reused, `count` are valid. */
export class Slate {
  count = 0
  /** Candidate at each position. */
  readonly picked: Int32Array
  readonly score: Float64Array
  readonly p: Float64Array
  /** 1 where the epsilon policy picked uniformly something else than the best. */
  readonly explored: Uint8Array

  constructor(size: number) {
    this.picked = new Int32Array(size)
    this.score = new Float64Array(size)
    this.p = new Float64Array(size)
    this.explored = new Uint8Array(size)
  }
}

/** Below this a sum of weights is taken again relative to the best that is left. */
const leastSum = 1e-150

export class SlateDrawer {
  private readonly rules: SlateRules
  /** Logit less penalty, and its weight; -Infinity and 0 once picked or capped. */
  private readonly value: Float64Array
  private readonly weight: Float64Array
  private readonly likeness: Float64Array
  private readonly creators = new Map<number, number>()
  /** The value that has weight 1. */
  private shift = 0
  /** Weights must be taken anew before the next draw. */
  private stale = true

  constructor(rules: SlateRules, capacity: number) {
    this.rules = rules
    this.value = new Float64Array(capacity)
    this.weight = new Float64Array(capacity)
    this.likeness = new Float64Array(capacity)
  }

  draw(traits: Traits, random: () => number, into: Slate): void {
    const { rules, value, weight, likeness, creators } = this
    const n = traits.count
    const drawsByWeight = rules.policy === 'plackett-luce' && rules.temperature > 0
    creators.clear()
    likeness.fill(0, 0, n)
    for (let i = 0; i < n; i++) value[i] = traits.logit[i]
    this.stale = drawsByWeight
    let runTopic = -1
    let run = 0
    into.count = 0
    while (into.count < rules.size) {
      let barred = rules.topicRun > 0 && run >= rules.topicRun ? runTopic : -1
      if (barred !== -1 && !this.anyBeside(barred, traits)) barred = -1
      const position = into.count
      const pick = drawsByWeight
        ? this.drawByWeight(barred, traits, random, into, position)
        : this.drawBest(barred, traits, random, into, position)
      if (pick === -1) return
      into.picked[position] = pick
      into.score[position] = value[pick]
      into.count++

      value[pick] = Number.NEGATIVE_INFINITY
      weight[pick] = 0
      const topic = traits.topic[pick]
      run = topic !== -1 && topic === runTopic ? run + 1 : 1
      runTopic = topic
      if (rules.creatorCap > 0) this.capCreator(traits, pick)
      if (rules.mmr > 0 && position < rules.mmrPositions && into.count < rules.size)
        this.penalise(traits, pick, drawsByWeight)
    }
  }

  /**
   * Gives every candidate its weight relative to the best that may be drawn now. Those barred at this position could
   * overflow: they get none, and all are weighed again at the next one.
   */
  private weigh(barred: number, traits: Traits): void {
    const { value, weight } = this
    const { temperature } = this.rules
    let max = Number.NEGATIVE_INFINITY
    for (let i = 0; i < traits.count; i++)
      if (value[i] > max && (barred === -1 || traits.topic[i] !== barred)) max = value[i]
    for (let i = 0; i < traits.count; i++)
      weight[i] =
        value[i] === Number.NEGATIVE_INFINITY || (barred !== -1 && traits.topic[i] === barred)
          ? 0
          : Math.exp((value[i] - max) / temperature)
    this.shift = max
    this.stale = barred !== -1
  }

  private anyBeside(topic: number, traits: Traits): boolean {
    for (let i = 0; i < traits.count; i++)
      if (this.value[i] !== Number.NEGATIVE_INFINITY && traits.topic[i] !== topic) return true
    return false
  }

  private drawByWeight(
    barred: number,
    traits: Traits,
    random: () => number,
    into: Slate,
    position: number,
  ): number {
    const { weight } = this
    if (this.stale) this.weigh(barred, traits)
    let sum = this.sumBeside(barred, traits)
    if (sum < leastSum) {
      this.weigh(barred, traits)
      sum = this.sumBeside(barred, traits)
      if (sum === 0) return -1
    }
    let left = random() * sum
    let pick = -1
    for (let i = 0; i < traits.count; i++) {
      if (weight[i] === 0 || (barred !== -1 && traits.topic[i] === barred)) continue
      pick = i
      left -= weight[i]
      if (left < 0) break
    }
    into.p[position] = weight[pick] / sum
    into.explored[position] = 0
    return pick
  }

  private sumBeside(barred: number, traits: Traits): number {
    const { weight } = this
    let sum = 0
    if (barred === -1) for (let i = 0; i < traits.count; i++) sum += weight[i]
    else for (let i = 0; i < traits.count; i++) if (traits.topic[i] !== barred) sum += weight[i]
    return sum
  }

  private drawBest(
    barred: number,
    traits: Traits,
    random: () => number,
    into: Slate,
    position: number,
  ): number {
    const { value, rules } = this
    let best = -1
    let allowed = 0
    for (let i = 0; i < traits.count; i++) {
      if (value[i] === Number.NEGATIVE_INFINITY || (barred !== -1 && traits.topic[i] === barred))
        continue
      allowed++
      if (best === -1 || value[i] > value[best]) best = i
    }
    if (best === -1) return -1
    const epsilon = rules.policy === 'epsilon' ? rules.epsilon : 0
    let pick = best
    if (epsilon > 0 && random() < epsilon) {
      let skip = Math.floor(random() * allowed)
      for (let i = 0; i < traits.count; i++) {
        if (value[i] === Number.NEGATIVE_INFINITY || (barred !== -1 && traits.topic[i] === barred))
          continue
        if (skip-- === 0) {
          pick = i
          break
        }
      }
    }
    into.p[position] = Math.min(1, (pick === best ? 1 - epsilon : 0) + epsilon / allowed)
    into.explored[position] = pick === best ? 0 : 1
    return pick
  }

  private capCreator(traits: Traits, pick: number): void {
    const creator = traits.creator[pick]
    if (creator === -1) return
    const count = (this.creators.get(creator) ?? 0) + 1
    this.creators.set(creator, count)
    if (count < this.rules.creatorCap) return
    for (let i = 0; i < traits.count; i++)
      if (traits.creator[i] === creator) {
        this.value[i] = Number.NEGATIVE_INFINITY
        this.weight[i] = 0
      }
  }

  private penalise(traits: Traits, pick: number, drawsByWeight: boolean): void {
    const { value, weight, likeness, rules, shift } = this
    const { vectors, dimension: d, count, logit } = traits
    const at = pick * d
    for (let i = 0; i < count; i++) {
      if (value[i] === Number.NEGATIVE_INFINITY) continue
      const cosine = dot(vectors, at, vectors, i * d, d)
      if (!(cosine > likeness[i])) continue
      likeness[i] = cosine
      const penalised = rounded(logit[i] - rules.mmr * cosine)
      if (penalised === value[i]) continue
      value[i] = penalised
      if (drawsByWeight) weight[i] = Math.exp((penalised - shift) / rules.temperature)
    }
  }
}

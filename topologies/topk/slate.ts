/**
 * Draws a slate, position by position: leave what the rules allow given the items above (rules.ts), subtract the likeness
 * penalty (MMR), draw from what is left.
 *
 * Invariants:
 *  - L1 `p` is the probability of the item at its position given the items above it and the candidates (thompson: and the
 *       list's samples of the rates): the masks and the penalty are part of the policy, and nothing reorders or drops after
 *       the draw.
 *  - L2 No position breaks a rule that need not give way there. Caps end the list rather than give way.
 *  - L3 `score` is the logit after the penalty at the moment of the draw: p = exp(score / T) / sum over the allowed
 *       (plackett-luce).
 *  - L4 p is in (0, 1] and finite, whatever the finite logits.
 * `propensities.ts` computes p a second way, from the whole draw.
 *
 * Hot: weights exp(x / T) are kept and renewed only where the penalty grew; the sum is taken afresh at each position, so no
 * error accumulates. Measured by topk.bench.ts.
 */
import { dot } from '../items/dot.ts'
import { Narrowing } from './narrowing.ts'
import type { Slate, SlateRules, Traits } from './rules.ts'
import { rounded } from './score.ts'
import { RateSamples } from './thompson.ts'

/** Below this a sum of weights is taken again relative to the best that is left. */
const leastSum = 1e-150

export class SlateDrawer {
  private readonly rules: SlateRules
  /** Logit less penalty, and its weight; -Infinity and 0 once picked or capped. */
  private readonly value: Float64Array
  private readonly weight: Float64Array
  private readonly likeness: Float64Array
  private readonly narrowing: Narrowing
  private readonly rates: RateSamples | undefined
  private readonly creators = new Map<number, number>()
  /** Items above under each cap. */
  private readonly capped: number[]
  /** The value that has weight 1. */
  private shift = 0
  /** Weights must be taken anew before the next draw. */
  private stale = true

  constructor(rules: SlateRules, capacity: number) {
    this.rules = rules
    this.value = new Float64Array(capacity)
    this.weight = new Float64Array(capacity)
    this.likeness = new Float64Array(capacity)
    this.narrowing = new Narrowing(rules, capacity)
    this.rates = rules.policy === 'thompson' ? new RateSamples(rules.samples, capacity) : undefined
    this.capped = rules.caps.map(() => 0)
  }

  draw(traits: Traits, random: () => number, into: Slate): void {
    const { rules, value, weight, likeness, creators, narrowing } = this
    const n = traits.count
    const drawsByWeight = rules.policy === 'plackett-luce' && rules.temperature > 0
    creators.clear()
    this.capped.fill(0)
    likeness.fill(0, 0, n)
    for (let i = 0; i < n; i++) value[i] = traits.logit[i]
    this.rates?.draw(traits, rules.rateWeight, random)
    this.stale = drawsByWeight
    narrowing.begin()
    into.count = 0
    while (into.count < rules.size) {
      const position = into.count
      narrowing.narrow(position, traits, value)
      const pick = drawsByWeight
        ? this.drawByWeight(traits, random, into, position)
        : this.drawBest(traits, random, into, position)
      if (pick === -1) return
      into.picked[position] = pick
      into.score[position] = value[pick]
      into.count++

      value[pick] = Number.NEGATIVE_INFINITY
      weight[pick] = 0
      narrowing.picked(pick, into.explored[position] === 1, traits)
      if (rules.creatorCap > 0) this.capCreator(traits, pick)
      if (rules.caps.length > 0) this.capGroups(traits, pick)
      if (rules.mmr > 0 && position < rules.mmrPositions && into.count < rules.size)
        this.penalise(traits, pick, drawsByWeight)
    }
  }

  /**
   * Gives every candidate its weight relative to the best that may be drawn now. Those barred at this position could
   * overflow: they get none, and all are weighed again at the next one.
   */
  private weigh(traits: Traits): void {
    const { value, weight } = this
    const { active, open } = this.narrowing
    const { temperature } = this.rules
    let max = Number.NEGATIVE_INFINITY
    for (let i = 0; i < traits.count; i++)
      if (value[i] > max && (!active || open[i] === 1)) max = value[i]
    for (let i = 0; i < traits.count; i++)
      weight[i] =
        value[i] === Number.NEGATIVE_INFINITY || (active && open[i] === 0)
          ? 0
          : Math.exp((value[i] - max) / temperature)
    this.shift = max
    this.stale = active
  }

  private drawByWeight(
    traits: Traits,
    random: () => number,
    into: Slate,
    position: number,
  ): number {
    const { weight } = this
    const { active, open } = this.narrowing
    if (this.stale) this.weigh(traits)
    let sum = this.sumAllowed(traits)
    if (sum < leastSum) {
      this.weigh(traits)
      sum = this.sumAllowed(traits)
      if (sum === 0) return -1
    }
    let left = random() * sum
    let pick = -1
    for (let i = 0; i < traits.count; i++) {
      if (weight[i] === 0 || (active && open[i] === 0)) continue
      pick = i
      left -= weight[i]
      if (left < 0) break
    }
    into.p[position] = weight[pick] / sum
    into.explored[position] = 0
    return pick
  }

  private sumAllowed(traits: Traits): number {
    const { weight } = this
    const { active, open } = this.narrowing
    let sum = 0
    if (!active) for (let i = 0; i < traits.count; i++) sum += weight[i]
    else for (let i = 0; i < traits.count; i++) if (open[i] === 1) sum += weight[i]
    return sum
  }

  /** The best, or what epsilon or the sampled rates pick in its stead. */
  private drawBest(traits: Traits, random: () => number, into: Slate, position: number): number {
    const { value, rules, narrowing, rates } = this
    const { active, open } = narrowing
    let best = -1
    let allowed = 0
    for (let i = 0; i < traits.count; i++) {
      const isAllowed = value[i] !== Number.NEGATIVE_INFINITY && (!active || open[i] === 1)
      open[i] = isAllowed ? 1 : 0
      if (!isAllowed) continue
      allowed++
      if (best === -1 || value[i] > value[best]) best = i
    }
    if (best === -1) return -1
    const epsilon = rules.policy === 'epsilon' && !narrowing.spent ? rules.epsilon : 0
    let pick = best
    if (rates !== undefined && !narrowing.spent) {
      const drawn = rates.pick(value, open, traits.count, allowed, random)
      pick = drawn.pick
      into.p[position] = drawn.p
    } else {
      if (epsilon > 0 && random() < epsilon) {
        let skip = Math.floor(random() * allowed)
        for (let i = 0; i < traits.count; i++) {
          if (open[i] === 0) continue
          if (skip-- === 0) {
            pick = i
            break
          }
        }
      }
      into.p[position] = Math.min(1, (pick === best ? 1 - epsilon : 0) + epsilon / allowed)
    }
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

  private capGroups(traits: Traits, pick: number): void {
    const { caps } = this.rules
    const { marks } = traits
    for (let c = 0; c < caps.length; c++) {
      const { mark, most } = caps[c]
      if ((marks[pick] & mark) === 0 || ++this.capped[c] < most) continue
      for (let i = 0; i < traits.count; i++)
        if ((marks[i] & mark) !== 0) {
          this.value[i] = Number.NEGATIVE_INFINITY
          this.weight[i] = 0
        }
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

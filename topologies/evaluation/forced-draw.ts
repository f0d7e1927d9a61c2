/**
 * What a policy would have done along a list that another one drew: at each position the chance of every candidate, given the
 * items above as they were drawn. The same answer as `chancesAfter` (topk/propensities.ts) gives, in one pass: rules are kept as
 * the drawer keeps them (topk/narrowing.ts), chances are taken afresh at each position. Some .1 ms for 110 candidates and 20
 * positions.
 */
import { dot } from '../items/dot.ts'
import { Narrowing } from '../topk/narrowing.ts'
import type { SlateRules, Traits } from '../topk/rules.ts'
import { rounded } from '../topk/score.ts'

export class ForcedDraw {
  /** Chance of each candidate at the position that was asked last. */
  readonly chances: Float64Array
  private readonly value: Float64Array
  private readonly likeness: Float64Array

  constructor(capacity: number) {
    this.chances = new Float64Array(capacity)
    this.value = new Float64Array(capacity)
    this.likeness = new Float64Array(capacity)
  }

  /**
   * Calls `visit` for each position of `picked` (candidate numbers, down to `count`), with `chances` of that position; it ends
   * where `visit` gives false. Not for thompson, whose samples are its own.
   */
  run(
    traits: Traits,
    rules: SlateRules,
    picked: ArrayLike<number>,
    count: number,
    visit: (position: number) => boolean | undefined,
  ): void {
    const { value, likeness, chances } = this
    const n = traits.count
    const narrowing = new Narrowing(rules, Math.max(n, 1))
    const creators = new Map<number, number>()
    const capped = rules.caps.map(() => 0)
    for (let i = 0; i < n; i++) {
      value[i] = traits.logit[i]
      likeness[i] = 0
    }
    narrowing.begin()
    for (let position = 0; position < count; position++) {
      const pick = picked[position]
      narrowing.narrow(position, traits, value)
      const best = this.fill(n, rules, narrowing)
      if (visit(position) === false) return
      const byChance = rules.policy !== 'plackett-luce' || rules.temperature === 0
      // a list holds an item once: what another policy capped away is gone for good, and so is its chance
      value[pick] = Number.NEGATIVE_INFINITY
      narrowing.picked(pick, byChance && pick !== best, traits)
      this.capCreator(traits, rules, creators, pick)
      this.capGroups(traits, rules, capped, pick)
      if (rules.mmr > 0 && position < rules.mmrPositions) this.penalise(traits, rules, pick)
    }
    chances.fill(0, 0, n)
  }

  /** Gives the best candidate that may stand there; -1: none. */
  private fill(n: number, rules: SlateRules, { active, open, spent }: Narrowing): number {
    const { value, chances } = this
    let best = -1
    let allowed = 0
    for (let i = 0; i < n; i++) {
      chances[i] = 0
      if (value[i] === Number.NEGATIVE_INFINITY || (active && open[i] === 0)) continue
      allowed++
      if (best === -1 || value[i] > value[best]) best = i
    }
    if (best === -1) return best
    const most = value[best]
    if (rules.policy === 'plackett-luce' && rules.temperature > 0) {
      let sum = 0
      for (let i = 0; i < n; i++) {
        if (value[i] === Number.NEGATIVE_INFINITY || (active && open[i] === 0)) continue
        chances[i] = Math.exp((value[i] - most) / rules.temperature)
        sum += chances[i]
      }
      for (let i = 0; i < n; i++) chances[i] /= sum
      return best
    }
    const epsilon = rules.policy === 'epsilon' && !spent ? rules.epsilon : 0
    if (epsilon > 0)
      for (let i = 0; i < n; i++)
        if (value[i] !== Number.NEGATIVE_INFINITY && (!active || open[i] === 1))
          chances[i] = epsilon / allowed
    chances[best] += 1 - epsilon
    return best
  }

  private capCreator(
    { creator, count }: Traits,
    { creatorCap }: SlateRules,
    creators: Map<number, number>,
    pick: number,
  ): void {
    const of = creator[pick]
    if (creatorCap === 0 || of === -1) return
    const had = (creators.get(of) ?? 0) + 1
    creators.set(of, had)
    if (had < creatorCap) return
    for (let i = 0; i < count; i++) if (creator[i] === of) this.value[i] = Number.NEGATIVE_INFINITY
  }

  private capGroups(
    { marks, count }: Traits,
    { caps }: SlateRules,
    capped: number[],
    pick: number,
  ): void {
    for (let c = 0; c < caps.length; c++) {
      const { mark, most } = caps[c]
      if ((marks[pick] & mark) === 0 || ++capped[c] < most) continue
      for (let i = 0; i < count; i++)
        if ((marks[i] & mark) !== 0) this.value[i] = Number.NEGATIVE_INFINITY
    }
  }

  private penalise(traits: Traits, { mmr }: SlateRules, pick: number): void {
    const { value, likeness } = this
    const { vectors, dimension: d, count, logit } = traits
    for (let i = 0; i < count; i++) {
      if (value[i] === Number.NEGATIVE_INFINITY) continue
      const cosine = dot(vectors, pick * d, vectors, i * d, d)
      if (!(cosine > likeness[i])) continue
      likeness[i] = cosine
      value[i] = rounded(logit[i] - mmr * cosine)
    }
  }
}

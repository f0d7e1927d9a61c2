/**
 * The policy that logs, where no list is given: what viewers come across by themselves. Candidates for three pages (at least
 * 30) are drawn by attention, each once, scored by a blurred view of the user's taste, and drawn without replacement by
 * Plackett-Luce. `propensity` is the exact probability of the item at its position given those above it and the candidates:
 * its weight over the weights still there.
 */
import type { Catalog } from './population.ts'
import type { Truth } from './truth.ts'

export const loggingPolicy = 'sim-pl@1'
const leastCandidates = 30
const triesEach = 8
const tasteWeight = 1.5
const blur = 0.3

export interface Drawn {
  readonly slot: number
  readonly score: number
  readonly propensity: number
  readonly source: 'popularity' | 'explore'
}

export class LoggingPolicy {
  private readonly truth: Truth
  private readonly catalog: Catalog
  private slots = new Int32Array(leastCandidates)
  private scores = new Float64Array(leastCandidates)
  private weights = new Float64Array(leastCandidates)
  /** Request in which a slot was last a candidate. */
  private readonly seen: Int32Array
  private request = 0

  constructor(truth: Truth, catalog: Catalog) {
    this.truth = truth
    this.catalog = catalog
    this.seen = new Int32Array(catalog.size)
  }

  /** `size` items for a user, fewer where the catalog is smaller; none that `excluded` says. */
  draw(
    user: number,
    size: number,
    random: () => number,
    excluded: (slot: number) => boolean,
  ): Drawn[] {
    const candidateCount = Math.max(leastCandidates, 3 * size)
    this.makeRoom(candidateCount)
    const { slots, scores, weights, catalog } = this
    const request = ++this.request
    let n = 0
    for (let tries = 0; n < candidateCount && tries < candidateCount * triesEach; tries++) {
      const slot = catalog.attention.draw(random)
      if (this.seen[slot] === request || excluded(slot)) continue
      this.seen[slot] = request
      slots[n] = slot
      scores[n] = tasteWeight * (this.truth.like(user, slot) + blur * (random() - 0.5))
      weights[n] = Math.exp(scores[n])
      n++
    }
    const drawn: Drawn[] = []
    while (drawn.length < size && n > 0) {
      let total = 0
      for (let i = 0; i < n; i++) total += weights[i]
      let left = random() * total
      let at = 0
      while (at < n - 1 && left >= weights[at]) left -= weights[at++]
      drawn.push({
        slot: slots[at],
        score: scores[at],
        propensity: weights[at] / total,
        source: slots[at] < catalog.size / 10 ? 'popularity' : 'explore',
      })
      n--
      slots[at] = slots[n]
      scores[at] = scores[n]
      weights[at] = weights[n]
    }
    return drawn
  }
  private makeRoom(candidates: number): void {
    if (candidates <= this.slots.length) return
    this.slots = new Int32Array(candidates)
    this.scores = new Float64Array(candidates)
    this.weights = new Float64Array(candidates)
  }
}

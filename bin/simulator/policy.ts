/**
 * The policy that logs: 60 candidates (30 by fame, 30 anywhere), scored by fame and a blurred view of the user's taste, drawn
 * without replacement by Plackett-Luce. `propensity` is the exact probability of the item at its position given those above
 * it and the candidates: its weight over the weights still there.
 */
import type { Catalog } from './population.ts'
import type { Truth } from './truth.ts'

export const loggingPolicy = 'sim-pl@1'
const candidateCount = 60

export interface Drawn {
  readonly slot: number
  readonly score: number
  readonly propensity: number
  readonly source: 'popularity' | 'explore'
}

export class LoggingPolicy {
  private readonly truth: Truth
  private readonly catalog: Catalog
  private readonly slots = new Int32Array(candidateCount)
  private readonly scores = new Float64Array(candidateCount)
  private readonly weights = new Float64Array(candidateCount)
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
    const { slots, scores, weights, catalog } = this
    const request = ++this.request
    let n = 0
    for (let tries = 0; n < candidateCount && tries < candidateCount * 4; tries++) {
      // ranks by fame: the cube of a uniform number lies near 0
      const where = tries % 2 === 0 ? random() ** 3 : random()
      const slot = Math.floor(where * catalog.size)
      if (this.seen[slot] === request || excluded(slot)) continue
      this.seen[slot] = request
      slots[n] = slot
      scores[n] =
        0.5 * catalog.fame[slot] + 1.5 * (this.truth.like(user, slot) + 0.3 * (random() - 0.5))
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
}

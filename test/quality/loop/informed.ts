/**
 * What could be known of a viewer at most: Bayes' rule over a sample of tastes, by someone who knows every item, how viewers
 * are made and how they choose, and sees of each impression whether it became a positive. No policy that learns from the same
 * impressions can be expected to do better, so the distance to it is what a learner leaves on the table, and its distance to
 * the oracle is what the impressions do not tell.
 */
import { examined } from '../../../bin/simulator/truth.ts'

export class Informed {
  /** By item: the true reward for each of the sampled tastes. */
  private rewards: ReadonlyMap<string, Float64Array> = new Map()
  private readonly beliefs = new Map<string, Float64Array>()
  private readonly tastes: number

  constructor(tastes: number) {
    this.tastes = tastes
  }

  know(rewards: ReadonlyMap<string, Float64Array>): void {
    this.rewards = rewards
  }

  /** The item was shown and has not become a positive, so far. */
  shown(userId: string, itemId: string, position: number): void {
    const x = examined(position)
    this.weigh(userId, itemId, reward => 1 - x * reward)
  }

  /** What `shown` took for a miss became a positive. */
  positive(userId: string, itemId: string, position: number): void {
    const x = examined(position)
    this.weigh(userId, itemId, reward => (x * reward) / (1 - x * reward))
  }

  /** The `n` items with the highest expected reward. */
  page(userId: string, n: number, mayBe: (itemId: string) => boolean): string[] {
    const belief = this.beliefOf(userId)
    const expected: { itemId: string; reward: number }[] = []
    for (const [itemId, rewards] of this.rewards) {
      if (!mayBe(itemId)) continue
      let reward = 0
      for (let k = 0; k < belief.length; k++) reward += belief[k] * rewards[k]
      expected.push({ itemId, reward })
    }
    return expected
      .sort((a, b) => b.reward - a.reward)
      .slice(0, n)
      .map(({ itemId }) => itemId)
  }

  private weigh(userId: string, itemId: string, likelihood: (reward: number) => number): void {
    const rewards = this.rewards.get(itemId)
    if (!rewards) return
    const belief = this.beliefOf(userId)
    let sum = 0
    for (let k = 0; k < belief.length; k++) {
      belief[k] *= likelihood(rewards[k])
      sum += belief[k]
    }
    for (let k = 0; k < belief.length; k++) belief[k] /= sum
  }

  private beliefOf(userId: string): Float64Array {
    const found = this.beliefs.get(userId)
    if (found) return found
    const belief = new Float64Array(this.tastes).fill(1 / this.tastes)
    this.beliefs.set(userId, belief)
    return belief
  }
}

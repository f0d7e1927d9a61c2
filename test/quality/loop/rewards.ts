/**
 * What a page is worth under the truth of a simulated world, beside what other policies would have got at the same moment from
 * the same items: those that the viewer has not finished, hidden or disliked. The reward of a page is the chance that an item
 * which the viewer looks at becomes a positive: the mean of the true chances, weighted by how often each position is looked at.
 */
import { examined, type Truth } from '../../../bin/simulator/truth.ts'
import { Informed } from './informed.ts'

export interface Policies {
  readonly served: number
  /** The best items of each viewer by the truth. */
  readonly oracle: number
  /** The best items over all viewers by the truth: what popularity would know if it had counted for ever. */
  readonly bestOfAll: number
  /** The items with the most positives so far. */
  readonly counted: number
  readonly random: number
  /** Who knows all but the viewer's taste, and learns that from the pages that were served (informed.ts). */
  readonly informed: number
}

interface Valued {
  readonly itemId: string
  readonly reward: number
}

const nothing = () => ({ served: 0, oracle: 0, bestOfAll: 0, counted: 0, random: 0, informed: 0 })

const nobody: ReadonlySet<string> = new Set()

export class PageRewards {
  private readonly truth: Truth
  private readonly viewers: readonly string[]
  readonly informed: Informed
  private sums = nothing()
  private pages = 0
  private best: readonly string[] = []
  private readonly positives = new Map<string, number>()
  private readonly finished = new Map<string, Set<string>>()

  /** `viewers`: a sample of users, for what is best over all. */
  constructor(truth: Truth, viewers: readonly string[]) {
    this.truth = truth
    this.viewers = viewers
    this.informed = new Informed(viewers.length)
  }

  /** To be called when the catalog has changed, and now and then: items age. */
  rank(ts: number): void {
    const byItem = new Map<string, Float64Array>()
    for (const [k, viewer] of this.viewers.entries())
      for (const { itemId, reward } of this.all(viewer, ts)) {
        const rewards = byItem.get(itemId) ?? new Float64Array(this.viewers.length)
        rewards[k] = reward
        byItem.set(itemId, rewards)
      }
    this.informed.know(byItem)
    const sums = [...byItem].map(
      ([itemId, rewards]) => [itemId, rewards.reduce((sum, reward) => sum + reward, 0)] as const,
    )
    this.best = sums.sort(([, a], [, b]) => b - a).map(([itemId]) => itemId)
  }

  /** Items of the catalog at the last `rank`, the best over all first. */
  get ranked(): readonly string[] {
    return this.best
  }

  positive(itemId: string): void {
    this.positives.set(itemId, (this.positives.get(itemId) ?? 0) + 1)
  }

  /** The item is out of the viewer's lists from now on. */
  done(userId: string, itemId: string): void {
    const items = this.finished.get(userId)
    if (items) items.add(itemId)
    else this.finished.set(userId, new Set([itemId]))
  }

  isDone(userId: string, itemId: string): boolean {
    return this.finished.get(userId)?.has(itemId) ?? false
  }

  /** Adds a page; gives what the viewer could have been shown, best first. */
  page(userId: string, shown: readonly string[], ts: number): readonly Valued[] {
    const out = this.finished.get(userId) ?? nobody
    const all = this.all(userId, ts)
    const rewards = new Map(all.map(({ itemId, reward }) => [itemId, reward]))
    const open = all.filter(({ itemId }) => !out.has(itemId))
    const size = shown.length
    const worth = (ids: readonly string[]): number =>
      meanReward(ids.map(id => rewards.get(id) ?? 0))
    const mayBe = (id: string): boolean => !out.has(id) && rewards.has(id)
    this.sums.served += worth(shown)
    this.sums.oracle += worth(open.slice(0, size).map(({ itemId }) => itemId))
    this.sums.bestOfAll += worth(first(this.best, size, mayBe))
    this.sums.counted += worth(first(this.mostCounted(), size, mayBe))
    this.sums.informed += worth(this.informed.page(userId, size, mayBe))
    this.sums.random += open.reduce((sum, { reward }) => sum + reward, 0) / open.length
    this.pages++
    return open
  }

  /** Sums since the last call of `take`. */
  peek(): Policies {
    return { ...this.sums }
  }

  /** Means since the last call. */
  take(): Policies & { readonly pages: number } {
    const { pages, sums } = this
    this.pages = 0
    this.sums = nothing()
    const mean = (sum: number): number => sum / pages
    return {
      pages,
      served: mean(sums.served),
      oracle: mean(sums.oracle),
      bestOfAll: mean(sums.bestOfAll),
      counted: mean(sums.counted),
      random: mean(sums.random),
      informed: mean(sums.informed),
    }
  }

  private all(userId: string, ts: number): readonly Valued[] {
    return this.truth.oracle(userId, Number.POSITIVE_INFINITY, ts)
  }

  private top: readonly string[] = []
  private topAge = 0

  /** Sorted anew every hundred pages. */
  private mostCounted(): readonly string[] {
    if (this.topAge++ % 100 === 0)
      this.top = [...this.positives].sort(([, a], [, b]) => b - a).map(([itemId]) => itemId)
    return this.top
  }
}

/** Weighted by how often each position, from the top, is looked at. */
export function meanReward(rewards: readonly number[]): number {
  let sum = 0
  let weights = 0
  for (const [position, reward] of rewards.entries()) {
    sum += examined(position) * reward
    weights += examined(position)
  }
  return weights === 0 ? 0 : sum / weights
}

function first(ids: readonly string[], n: number, mayBe: (id: string) => boolean): string[] {
  const found: string[] = []
  for (const id of ids) {
    if (found.length === n) break
    if (mayBe(id)) found.push(id)
  }
  return found
}

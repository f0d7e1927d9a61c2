/**
 * What really moves the viewers, known to tests and benches and to nobody in the stream:
 *   like   = taste . item vector
 *   play   = sigmoid(-2.45 + 4 like + 0.3 quality - 0.15 ln(1 + age in days)), seen at the top of a list
 *   positive, once played = sigmoid(-0.2 + 4 like + 0.3 quality)
 * At position k an item is looked at with probability 1 / (1 + 0.12 k) and, if not, never played.
 * The expected reward is the chance that the item at the top becomes a positive: 8% over all pairs of user and item.
 */
import { FreshetError } from '../../streams/errors.ts'
import { type Drift, strength } from './drift.ts'
import { type Catalog, dimension, type Users } from './population.ts'

const dayMs = 86_400_000
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Probability that position k, from 0, is looked at. */
export const examined = (position: number): number => 1 / (1 + 0.12 * position)

export class Truth {
  private readonly users: Users
  private readonly catalog: Catalog
  private readonly flips: readonly (Drift & { readonly kind: 'flip' })[]
  private readonly startTs: number
  private readonly userIndex: ReadonlyMap<string, number>

  constructor(users: Users, catalog: Catalog, drifts: readonly Drift[], startTs: number) {
    this.users = users
    this.catalog = catalog
    this.flips = drifts.filter(drift => drift.kind === 'flip')
    this.startTs = startTs
    this.userIndex = new Map(users.all.map(user => [user.id, user.index]))
  }

  like(user: number, slot: number): number {
    const { tastes } = this.users
    const { vectors } = this.catalog
    let sum = 0
    for (let d = 0, a = user * dimension, b = slot * dimension; d < dimension; d++)
      sum += tastes[a + d] * vectors[b + d]
    return sum
  }

  plays(like: number, slot: number, ts: number): number {
    const { quality, slots } = this.catalog
    const ageDays = Math.max(0, ts - slots[slot].publishedAt) / dayMs
    return sigmoid(-2.45 + 4 * like + 0.3 * quality[slot] - 0.15 * Math.log1p(ageDays))
  }

  /** Probability that a play becomes a positive, a label drift at `ts` included. */
  likes(like: number, slot: number, ts: number): number {
    let p = this.likesUndrifted(like, slot)
    for (const flip of this.flips) {
      const part = flip.amount * strength(flip, ts - this.startTs)
      p = p * (1 - part) + (1 - p) * part
    }
    return p
  }

  private likesUndrifted(like: number, slot: number): number {
    return sigmoid(-0.2 + 4 * like + 0.3 * this.catalog.quality[slot])
  }

  /** The chance that the item, looked at by the user at `ts`, becomes a positive, were there no label drift. */
  undrifted(user: number, slot: number, ts: number): number {
    const like = this.like(user, slot)
    return this.plays(like, slot, ts) * this.likesUndrifted(like, slot)
  }

  /**
   * Probability that the user, shown the item at the top of a list at `ts`, makes it a positive. A `watched_ratio` drift is
   * not in it: it cuts what was watched after the viewer's mind was made up.
   * Errors: CALL_INVALID for a user or item that is not (or no longer) in the world.
   */
  expectedReward(userId: string, itemId: string, ts: number): number {
    const slot = this.catalog.slotOf.get(itemId)
    if (slot === undefined)
      throw new FreshetError('CALL_INVALID', `the simulated catalog has no item ${itemId}`)
    return this.reward(this.userOf(userId), slot, ts)
  }

  /** The `n` items with the highest expected reward, best first. */
  oracle(userId: string, n: number, ts: number): { itemId: string; reward: number }[] {
    const user = this.userOf(userId)
    return this.catalog.slots
      .map(({ id }, slot) => ({ itemId: id, reward: this.reward(user, slot, ts) }))
      .sort((a, b) => b.reward - a.reward)
      .slice(0, n)
  }

  private reward(user: number, slot: number, ts: number): number {
    const like = this.like(user, slot)
    return this.plays(like, slot, ts) * this.likes(like, slot, ts)
  }

  private userOf(userId: string): number {
    const user = this.userIndex.get(userId)
    if (user === undefined)
      throw new FreshetError('CALL_INVALID', `the simulated world has no user ${userId}`)
    return user
  }
}

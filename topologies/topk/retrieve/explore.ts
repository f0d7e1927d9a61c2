/**
 * What nobody can know yet. Half of it is a chance selection of the newest items, those shown least: without it an item that no
 * other source names is never shown, and so never learnt. The other half is drawn by turns from the whole catalog and from
 * what anyone liked: who likes none of what is popular would otherwise be shown nothing else.
 */
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

export const newestLooked = 200
/** Chosen among the least shown `perSource x spread`, so that users do not all get the same ones. */
const spread = 3
const longestHalfLife = 4
const likedLooked = 1_000
/** Draws an item wanted: some are taken already, or may not be listed. */
const draws = 3

export class Explore {
  private from: readonly number[] = []
  private leastShown: number[] = []
  private sortedAt = Number.NaN

  retrieve(ask: Ask, into: Candidates): void {
    const left = this.addNewest(ask, Math.ceil(ask.perSource / 2), into)
    this.addAny(ask, left + Math.floor(ask.perSource / 2), into)
  }

  /** Gives how many are missing. */
  private addNewest(ask: Ask, most: number, into: Candidates): number {
    this.sort(ask)
    const pool = this.leastShown.slice(0, ask.perSource * spread)
    let wanted = most
    for (let left = pool.length; left > 0 && wanted > 0; left--) {
      const at = Math.floor(ask.random() * left)
      if (into.add(pool[at], 'explore')) wanted--
      pool[at] = pool[left - 1]
    }
    return wanted
  }

  private addAny({ items, random }: Ask, most: number, into: Candidates): void {
    const liked = items.popular(longestHalfLife, likedLooked)
    let wanted = most
    for (let draw = 0; draw < draws * most && wanted > 0; draw++) {
      const isLiked = draw % 2 === 1 && liked.length > 0
      const item = isLiked
        ? liked[Math.floor(random() * liked.length)]
        : Math.floor(random() * items.size)
      if (item < items.size && into.add(item, 'explore')) wanted--
    }
  }

  /** Impressions change with every commit of the item tasks; the order is taken again when event time moves on. */
  private sort(ask: Ask): void {
    const newest = ask.items.newest(newestLooked)
    if (newest === this.from && ask.countedUntil === this.sortedAt) return
    this.from = newest
    this.sortedAt = ask.countedUntil
    const { items } = ask
    this.leastShown = [...newest].sort(
      (a, b) => items.impressions(a) - items.impressions(b) || a - b,
    )
  }
}

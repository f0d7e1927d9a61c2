/**
 * What nobody can know yet: of the newest items, a chance selection of those shown least. Without it an item that no
 * other source names is never shown, and so never learnt.
 */
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

const newestLooked = 200
/** Chosen among the least shown `perSource x spread`, so that users do not all get the same ones. */
const spread = 3

export class Explore {
  private from: readonly number[] = []
  private leastShown: number[] = []
  private sortedAt = Number.NaN

  retrieve(ask: Ask, into: Candidates): void {
    this.sort(ask)
    const pool = this.leastShown.slice(0, ask.perSource * spread)
    let wanted = ask.perSource
    for (let left = pool.length; left > 0 && wanted > 0; left--) {
      const at = Math.floor(ask.random() * left)
      if (into.add(pool[at], 'explore')) wanted--
      pool[at] = pool[left - 1]
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

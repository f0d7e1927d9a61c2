/** Worlds, users and their lists, for tests of what explains them. */
import { resolveOptions } from '../../streams/options.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { CatalogEntry } from '../items/table.ts'
import { FakeItems, fakeUser } from '../topk/fakes.ts'
import { topkOptions } from '../topk/options.ts'
import type { TopkOptions } from '../topk/surfaces.ts'
import type { User } from '../user/user.ts'
import { Listing } from './listing.ts'
import type { RankingModel } from './recorded.ts'

export const now = 1_700_000_100_000

export function optionsOf(flags: Record<string, string> = {}): TopkOptions {
  return resolveOptions(topkOptions, { flags, environment: {}, file: {} }).values
}

/** Lists what the catalog allows, as the real table does. */
export class Shop extends FakeItems {
  override listable(index: number): boolean {
    const entry = this.catalog(index)
    if (!super.listable(index) || entry === undefined) return false
    return entry.safety !== 'blocked' && (entry.expiresAt === null || entry.expiresAt > now)
  }
  change(index: number, changes: Partial<CatalogEntry>): void {
    this.catalogs.set(index, { ...(this.catalogs.get(index) as CatalogEntry), ...changes })
  }
}

/** A world whose blend has learnt something; with `learnt` below 150 the mix ranks. */
export function worldOf(seed: number, learnt = 1_000, size = 400): Shop {
  const items = new Shop({ items: size, seed, bare: 0.2 })
  const random = randomFrom(hash53('weights', seed))
  items.blend.learnt = learnt
  for (let i = 0; i < items.blend.sets.length; i++) items.blend.sets[i] = random() - 0.4
  for (let t = 0; t < 3; t++) items.blend.tasteMeans[t] = random()
  return items
}

export function userOf(seed: number, size = 400): User {
  const random = randomFrom(hash53('user', seed))
  const history = [...new Set(Array.from({ length: 12 }, () => Math.floor(random() * size)))]
  const user = fakeUser(`u${seed}`, history, new Set(history), item => item % 4)
  return { ...user, creatorWeight: creator => (creator % 5 === 0 ? 0.7 : 1) }
}

export const seeds = [1, 2, 3, 4, 5, 6, 7, 8]
export const listingOf = (
  items: FakeItems,
  user: User,
  flags = {},
  model?: RankingModel,
): Listing => new Listing({ options: optionsOf(flags), items, model }, user, now, 'home')

/** An item that no source named, and that may be listed. */
export function outside(listing: Listing): number {
  const { items } = listing.evidence.ask
  for (let item = 0; item < items.size; item++)
    if (!listing.isCandidate(item) && listing.evidence.filter.admits(item)) return item
  throw new Error('all are candidates')
}

/**
 * What explains a list agrees with what draws it, and with plain sums written out here.
 */
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { featureCount, featureNames } from '../blend/features.ts'
import type { CatalogEntry } from '../items/table.ts'
import type { ModelHost } from '../models/host.ts'
import { FakeItems, fakeUser } from '../topk/fakes.ts'
import { topkOptions } from '../topk/options.ts'
import { Recommender, recommendersOf } from '../topk/recommend.ts'
import type { TopkOptions } from '../topk/surfaces.ts'
import type { User } from '../user/user.ts'
import { covisitParts } from './covisits.ts'
import { Listing } from './listing.ts'
import { reachOf } from './reach.ts'
import type { RankingModel } from './recorded.ts'
import { featureTerms, groupOf, sumOf, termGroups } from './terms.ts'
import { type Verdict, verdictOf } from './verdict.ts'

const now = 1_700_000_100_000

function optionsOf(flags: Record<string, string> = {}): TopkOptions {
  return resolveOptions(topkOptions, { flags, environment: {}, file: {} }).values
}

/** Lists what the catalog allows, as the real table does. */
class Shop extends FakeItems {
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
function worldOf(seed: number, learnt = 1_000, size = 400): Shop {
  const items = new Shop({ items: size, seed, bare: 0.2 })
  const random = randomFrom(hash53('weights', seed))
  items.blend.learnt = learnt
  for (let i = 0; i < items.blend.sets.length; i++) items.blend.sets[i] = random() - 0.4
  for (let t = 0; t < 3; t++) items.blend.tasteMeans[t] = random()
  return items
}

function userOf(seed: number, size = 400): User {
  const random = randomFrom(hash53('user', seed))
  const history = [...new Set(Array.from({ length: 12 }, () => Math.floor(random() * size)))]
  const user = fakeUser(`u${seed}`, history, new Set(history), item => item % 4)
  return { ...user, creatorWeight: creator => (creator % 5 === 0 ? 0.7 : 1) }
}

const seeds = [1, 2, 3, 4, 5, 6, 7, 8]
const listingOf = (items: FakeItems, user: User, flags = {}, model?: RankingModel): Listing =>
  new Listing({ options: optionsOf(flags), items, model }, user, now, 'home')

describe('what a logit is made of', () => {
  it('every feature stands in a group, and an unknown one in none', () => {
    for (const feature of featureNames) expect(termGroups).toContain(groupOf(feature))
    expect(() => groupOf('weather.rain')).toThrow(/weather.rain/)
  })

  it.each(seeds)(
    'contributions sum to the logit that the plain recommender draws from (world %i)',
    seed => {
      const items = worldOf(seed)
      const user = userOf(seed)
      const listing = listingOf(items, user)
      const [plain] = recommendersOf(optionsOf(), items)
      plain.prepare(user, now, `${user.id} ${user.lastOffset}`)
      plain.draw('home', `${user.id} ${user.lastOffset}`)
      expect(listing.candidates.length).toBeGreaterThan(60)
      for (let i = 0; i < plain.traits.count; i++) {
        const scored = listing.of(plain.itemOf(i))
        expect(scored.logit).toBe(plain.traits.logit[i])
        const weights = listing.weights!
        const terms = featureTerms(scored.features, weights)
        const sum = terms.reduce((all, { contribution }) => all + contribution, 0)
        expect(sumOf(scored.terms!)).toBeCloseTo(sum, 9)
        const logit = sum + scored.fatigue + scored.creator
        expect(Math.abs(logit - scored.logit!)).toBeLessThan(0.000_51)
        for (const { feature, value, weight, contribution } of terms) {
          expect(contribution, feature).toBe(weight * value)
          const f = featureNames.indexOf(feature)
          const own = (1 + listing.evidence.bucket) * featureCount
          expect(weight).toBe(items.blend.sets[f] + items.blend.sets[own + f])
        }
        // x .8 an impression, and the creator's weight
        expect(scored.fatigue).toBeCloseTo((scored.item % 4) * Math.log(0.8), 12)
        const creator = items.catalog(scored.item)!.creator
        expect(scored.creator).toBeCloseTo(creator % 5 === 0 ? Math.log(0.7) : 0, 12)
      }
      expect(listing.list.map(({ item, score, p }) => [item, score, p])).toEqual(
        Array.from({ length: plain.slate.count }, (_, k) => [
          plain.itemOf(plain.slate.picked[k]),
          plain.slate.score[k],
          plain.slate.p[k],
        ]),
      )
    },
  )

  it.each(seeds)('the terms of the fixed mix sum to its logit (world %i)', seed => {
    const items = worldOf(seed, 10)
    const listing = listingOf(items, userOf(seed))
    expect(listing.ranker).toBe('mix')
    expect(listing.weights).toBeUndefined()
    for (const scored of listing.candidates) {
      const logit = sumOf(scored.terms!) + scored.fatigue + scored.creator
      expect(Math.abs(logit - scored.logit!)).toBeLessThan(0.000_51)
      expect(scored.terms!.age).toBe(0)
    }
    expect(listing.of(outside(listing)).terms).toBeUndefined()
  })

  it('an item that is no candidate is scored as if it were', () => {
    const items = worldOf(3)
    const user = userOf(3)
    const narrow = listingOf(items, user, { 'topk.candidates': '5' })
    const wide = listingOf(items, user, { 'topk.candidates': '80' })
    const others = wide.candidates.filter(({ item }) => !narrow.isCandidate(item))
    expect(others.length).toBeGreaterThan(50)
    for (const { item, logit } of others) {
      const scored = narrow.of(item)
      expect(scored.source).toBeUndefined()
      expect(scored.logit).toBeUndefined()
      expect(Math.abs(scored.blended! - logit!)).toBeLessThan(0.000_51)
    }
  })

  it("where a model ranks, its score and the blend's stand side by side", () => {
    const items = worldOf(2)
    const user = userOf(2)
    const plain = listingOf(items, user)
    const host = {
      served: { name: 'ranker', sha256: 'f'.repeat(64), runner: { logitOf: (raw: number) => raw } },
      score(
        _: unknown,
        __: unknown,
        rows: Int32Array,
        n: number,
        ___: number,
        scores: Float64Array,
      ) {
        for (let i = 0; i < n; i++) scores[i] = 10 - rows[i] / 100
        return true
      },
    } as unknown as ModelHost
    const listing = listingOf(items, user, {}, { host, depth: 20 })
    expect([listing.ranker, listing.model]).toEqual(['ranker', 'f'.repeat(12)])
    expect(listing.policy).toBe('ranker-pl@1')
    let moved = 0
    for (const [i, scored] of listing.candidates.entries()) {
      expect(scored.blended).toBe(plain.candidates[i].logit)
      expect(scored.logit).toBe(scored.ranked)
      const byModel = 10 - i / 100 + scored.fatigue + scored.creator
      if (Math.abs(scored.ranked! - byModel) < 0.000_6) moved++
    }
    expect(moved).toBe(20)
  })

  it.each(seeds)(
    'co-visits by the own items are a recount of the neighbours, and sum to the scorers (world %i)',
    seed => {
      const items = worldOf(seed)
      const listing = listingOf(items, userOf(seed))
      const { ask, covisit } = listing.evidence
      const scores = new Float64Array(6)
      let found = 0
      for (let item = 0; item < items.size; item += 7) {
        const parts = covisitParts(ask, item)
        const sum = (of: 's' | 'next' | 'recent' | 'long') =>
          parts.reduce((all, part) => all + part[of], 0)
        const known = covisit.scoresOf(item, scores)
        expect(sum('s')).toBeCloseTo(known ? scores[0] : 0, 9)
        expect(sum('next')).toBeCloseTo(known ? scores[2] : 0, 9)
        expect(sum('recent')).toBeCloseTo(known ? scores[3] : 0, 9)
        expect(sum('long')).toBeCloseTo(known ? scores[4] : 0, 9)
        for (const { k, from, s } of parts) {
          const row = items.neighbours(from)!
          let w = 0
          for (let n = 0; n < row.size; n++) if (row.items[n] === item) w += row.weights[n]
          expect(from).toBe(ask.history[k])
          expect(s).toBeCloseTo(0.8 ** k * w, 9)
          found++
        }
      }
      expect(found).toBeGreaterThan(20)
    },
  )

  it('lifts compare with the candidates, and places and chances are counted', () => {
    const listing = listingOf(worldOf(4), userOf(4), {
      'topk.mmr': '0',
      'topk.creatorCap': '0',
      'topk.topicRun': '0',
    })
    for (const group of termGroups) {
      const lifts = listing.candidates.map(scored => listing.lifts(scored)[group])
      expect(lifts.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 6)
    }
    const weights = listing.candidates.map(({ logit }) => Math.exp(logit! / 0.1))
    const total = weights.reduce((a, b) => a + b, 0)
    const first = listing.chancesAt(0)!
    listing.candidates.forEach((scored, i) => {
      expect(first.get(scored.item)).toBeCloseTo(weights[i] / total, 9)
      const better = listing.candidates.filter(({ logit }) => logit! > scored.logit!).length
      expect(listing.placeOf(scored)).toBe(better + 1)
    })
  })
})

/** An item that no source named, and that may be listed. */
function outside(listing: Listing): number {
  const { items } = listing.evidence.ask
  for (let item = 0; item < items.size; item++)
    if (!listing.isCandidate(item) && listing.evidence.filter.admits(item)) return item
  throw new Error('all are candidates')
}

describe('why an item is not in the list', () => {
  const none = { exclusions: new Map(), groups: [] }
  const greedy = {
    'topk.temperature': '0',
    'topk.mmr': '0',
    'topk.creatorCap': '0',
    'topk.topicRun': '0',
  }
  /** The best item of a world that is changed before the list is drawn again. */
  function verdictAfter(
    change: (items: Shop, best: number) => User | undefined,
    settings = none,
  ): Verdict {
    const items = worldOf(5)
    const user = userOf(5)
    const before = listingOf(items, user, greedy)
    const best = before.list[0].item
    expect(verdictOf(before, best, none)).toMatchObject({ kind: 'drawn', position: 1, p: 1 })
    const changed = change(items, best) ?? user
    return verdictOf(listingOf(items, changed, greedy), best, settings)
  }

  it('withdrawn, blocked, expired, restricted, unknown', () => {
    const change = (changes: Partial<CatalogEntry>) =>
      verdictAfter((items, best) => void items.change(best, changes))
    expect(verdictAfter((items, best) => void items.withdraw(best))).toEqual({
      kind: 'withdrawn',
      at: 1_700_000_000_000,
    })
    expect(change({ safety: 'blocked' })).toEqual({ kind: 'blocked' })
    expect(change({ expiresAt: now - 5 })).toEqual({ kind: 'expired', at: now - 5 })
    expect(change({ expiresAt: now + 5 }).kind).toBe('drawn')
    expect(change({ safety: 'restricted' })).toEqual({ kind: 'restricted', surface: 'home' })
    expect(verdictAfter((items, best) => void items.catalogs.delete(best))).toEqual({
      kind: 'unknown',
    })
  })

  it('a restricted item is drawn where the surface may show it', () => {
    const items = worldOf(5)
    const best = listingOf(items, userOf(5), greedy).list[0].item
    items.change(best, { safety: 'restricted' })
    const listing = listingOf(items, userOf(5), { ...greedy, 'topk.restricted': 'home' })
    expect(verdictOf(listing, best, none).kind).toBe('drawn')
  })

  it.each(['finished', 'hidden', 'disliked', 'reported'] as const)('%s', reason => {
    const at = 1_690_000_000_000
    let excluded = -1
    const exclusions = new Map<number, { item: number; reason: typeof reason; at: number }>()
    const verdict = verdictAfter(
      (_, best) => {
        excluded = best
        exclusions.set(best, { item: best, reason, at })
        const user = userOf(5)
        return { ...user, excludes: item => item === best || user.excludes(item) }
      },
      { exclusions, groups: [] },
    )
    expect(excluded).toBeGreaterThanOrEqual(0)
    expect(verdict).toEqual({ kind: 'excluded', reason, at })
  })

  it('shown eight times within a day; seven times is a weight', () => {
    const shownTimes = (times: number) =>
      verdictAfter((_, best) => {
        const shown = (item: number) => (item === best ? times : 0)
        return { ...userOf(5), shown: { last24h: shown, last7d: shown } }
      })
    expect(shownTimes(8)).toEqual({ kind: 'fatigue', shown24h: 8 })
    expect(shownTimes(7).kind).not.toBe('fatigue')
  })

  it('no source named it: how far it was is counted anew', () => {
    const items = worldOf(6)
    const listing = listingOf(items, userOf(6), { ...greedy, 'topk.candidates': '5' })
    const item = outside(listing)
    expect(verdictOf(listing, item, none)).toEqual({ kind: 'not-named' })
    const reach = reachOf(listing, item)
    const { ask } = listing.evidence
    const all = Array.from({ length: items.size }, (_, i) => i)
    reach.popularity.ranks.forEach(({ rank }, h) => {
      const own = items.decayed(h, item)
      const above = all.filter(i => items.decayed(h, i) > own).length
      expect(rank).toBe(own > 0 ? above + 1 : 0)
      if (rank > 0) expect(rank).toBeGreaterThan(reach.popularity.looked)
    })
    let s = 0
    for (let k = 0; k < ask.length; k++) {
      const row = items.neighbours(ask.history[k])
      for (let n = 0; n < (row?.size ?? 0); n++)
        if (row!.items[n] === item) s += 0.8 ** k * row!.weights[n]
    }
    expect(reach.covisit.s).toBeCloseTo(s, 9)
    expect(reach.newest.rank).toBe(item + 1)
  })

  it('outranked: those above it, the end of the list, and no chance at temperature 0', () => {
    const listing = listingOf(worldOf(7), userOf(7), { ...greedy, 'topk.size': '10' })
    const logits = listing.candidates.map(({ logit }) => logit!).sort((a, b) => b - a)
    const twelfth = listing.candidates.find(({ logit }) => logit === logits[11])!
    const verdict = verdictOf(listing, twelfth.item, none)
    expect(verdict).toMatchObject({
      kind: 'outranked',
      logit: logits[11],
      last: logits[9],
      of: listing.candidates.length,
      size: 10,
      chance: 0,
    })
    expect((verdict as { better: number }).better).toBe(logits.filter(l => l > logits[11]).length)
  })

  it('outranked by chance: what it might have been is what enumeration of the positions gives', () => {
    const listing = listingOf(worldOf(7), userOf(7), {
      ...greedy,
      'topk.temperature': '1',
      'topk.size': '10',
    })
    const out = listing.candidates.find(
      ({ item }) => !listing.list.some(each => each.item === item),
    )!
    const left = new Map(listing.candidates.map(({ item, logit }) => [item, Math.exp(logit!)]))
    let missed = 1
    for (const { item } of listing.list) {
      const sum = [...left.values()].reduce((a, b) => a + b, 0)
      missed *= 1 - left.get(out.item)! / sum
      left.delete(item)
    }
    const verdict = verdictOf(listing, out.item, none) as { chance: number }
    expect(verdict.chance).toBeCloseTo(1 - missed, 9)
  })

  it('capped by its creator, and by a group of the policy file', () => {
    const items = worldOf(8)
    const user = userOf(8)
    const plain = listingOf(items, user, greedy)
    for (const { item } of plain.list.slice(0, 4)) items.change(item, { creator: 3 })
    const fourth = plain.list[3].item
    const capped = listingOf(items, user, { ...greedy, 'topk.creatorCap': '2' })
    const verdict = verdictOf(capped, fourth, none)
    expect(verdict).toMatchObject({ kind: 'capped', by: 'creator', name: 'c3', most: 2 })
    const above = capped.list.filter(({ item }) => items.catalog(item)!.creator === 3)
    expect(above.length).toBe(2)
    const last = capped.list.findIndex(({ item }) => item === above[1].item)
    expect((verdict as { position: number }).position).toBe(last + 1)

    const policies = JSON.stringify({
      version: 1,
      groups: { theirs: { creator: 'c3' } },
      surfaces: { home: { caps: [{ group: 'theirs', most: 3 }] } },
    })
    const grouped = listingOf(items, user, { ...greedy, 'topk.policies': policies })
    expect(verdictOf(grouped, fourth, { exclusions: new Map(), groups: ['theirs'] })).toMatchObject(
      {
        kind: 'capped',
        by: 'group',
        name: 'theirs',
        most: 3,
      },
    )
  })

  it('a filter that refuses is one that does not admit', () => {
    const items = worldOf(1)
    const user = userOf(1)
    const recommender = new Recommender(optionsOf(), items)
    recommender.prepare(user, now, 'x')
    const { filter } = listingOf(items, user).evidence
    for (let item = 0; item < items.size; item++)
      expect(filter.admits(item)).toBe(items.listable(item) && !user.excludes(item) && item % 4 < 8)
  })
})

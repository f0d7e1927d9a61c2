/** Why an item is not in a list: each reason, made to hold for what stood first. */
import { describe, expect, it } from 'vitest'
import type { CatalogEntry } from '../items/table.ts'
import type { User } from '../user/user.ts'
import { listingOf, now, outside, type Shop, seeds, userOf, worldOf } from './fakes.ts'
import { reachOf } from './reach.ts'
import { type Verdict, verdictOf } from './verdict.ts'

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
        return { ...userOf(5), shown: { last24h: shown, last7d: shown, unwatched: () => [] } }
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
    expect(reach.covisit.s.value).toBeCloseTo(s, 9)
    expect(reach.newest.rank).toBe(item + 1)
    const known = Array.from(ask.history.subarray(0, ask.length)).filter(i => items.hasVector(i))
    const context = Array.from({ length: 32 }, (_, i) => {
      const last = known.slice(0, 10)
      const norm = last.reduce((sum, _, k) => sum + 0.8 ** k, 0)
      return last.reduce((sum, j, k) => sum + (0.8 ** k * items.context[j * 32 + i]) / norm, 0)
    })
    const nearness = (j: number) =>
      context.reduce((sum, x, i) => sum + x * items.output[j * 32 + i], 0)
    const withVector = all.filter(i => items.hasVector(i))
    if (items.hasVector(item))
      expect(reach.embedding).toEqual({
        nearness: expect.closeTo(nearness(item), 5),
        rank: 1 + withVector.filter(i => nearness(i) > nearness(item)).length,
        of: withVector.length,
      })
    else expect(reach.embedding).toBeNull()
    const last = Array.from(ask.history.subarray(0, Math.min(10, ask.length)))
    const taste = Array.from({ length: 16 }, (_, i) =>
      last.reduce((sum, j, k) => sum + 0.8 ** k * (items.content(j)?.[i] ?? 0), 0),
    )
    const cosine = (j: number) =>
      items.content(j)!.reduce((sum, x, i) => sum + x * taste[i], 0) / Math.hypot(...taste)
    const withContent = all.filter(i => items.content(i) !== undefined)
    if (items.content(item) !== undefined)
      expect(reach.content).toEqual({
        cosine: expect.closeTo(cosine(item), 5),
        rank: 1 + withContent.filter(i => cosine(i) > cosine(item)).length,
        of: withContent.length,
      })
    else expect(reach.content).toBeNull()
  })

  it.each([5, 30])(
    'by co-visits, what no source named lies below all that S named, and below all that F did (%i a source)',
    perSource => {
      let compared = 0
      for (const seed of seeds) {
        const items = worldOf(seed)
        const listing = listingOf(items, userOf(seed), { 'topk.candidates': String(perSource) })
        for (let item = 0; item < items.size; item++) {
          if (listing.isCandidate(item) || !listing.evidence.filter.admits(item)) continue
          const { s, f } = reachOf(listing, item).covisit
          if (s.value === 0 || s.least === null || f.least === null) continue
          expect(s.value).toBeLessThanOrEqual(s.least)
          expect(f.value).toBeLessThanOrEqual(f.least)
          compared++
        }
      }
      expect(compared).toBeGreaterThan(20)
    },
  )

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

  it('the filter names what refuses an item first, and admits what nothing refuses', () => {
    const items = worldOf(1)
    const shown = (item: number) => item % 10
    const user: User = {
      ...userOf(1),
      excludes: item => item % 7 === 0,
      shown: { last24h: shown, last7d: shown, unwatched: () => [] },
    }
    for (let item = 0; item < items.size; item += 11) items.withdraw(item)
    for (let item = 0; item < items.size; item += 9) items.change(item, { safety: 'restricted' })
    const { filter } = listingOf(items, user).evidence
    const found = new Map<string | undefined, number>()
    for (let item = 0; item < items.size; item++) {
      const reasons = {
        unlistable: item % 11 === 0,
        excluded: item % 7 === 0,
        restricted: item % 9 === 0,
        fatigue: item % 10 >= 8,
      }
      const expected = Object.entries(reasons).find(([, holds]) => holds)?.[0]
      expect(filter.refusal(item)).toBe(expected)
      expect(filter.admits(item)).toBe(expected === undefined)
      found.set(expected, (found.get(expected) ?? 0) + 1)
    }
    for (const refusal of ['unlistable', 'excluded', 'restricted', 'fatigue', undefined])
      expect(found.get(refusal)).toBeGreaterThan(20)
  })
})

/** What explains a list agrees with what draws it, and with plain sums written out here. */
import { describe, expect, it } from 'vitest'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { featureCount, featureNames } from '../blend/features.ts'
import type { ModelHost } from '../models/host.ts'
import { itemBucket } from '../response/features.ts'
import { ResponseWeights } from '../response/weights.ts'
import { recommendersOf } from '../topk/recommend.ts'
import { covisitParts } from './covisits.ts'
import { listingOf, now, optionsOf, outside, seeds, userOf, worldOf } from './fakes.ts'
import { featureTerms, groupOf, sumOf, termGroups } from './terms.ts'

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

  it.each(seeds)(
    'what the response model adds makes the logit that the plain recommender draws from (world %i)',
    seed => {
      const random = randomFrom(hash53('response', seed))
      const response = new ResponseWeights()
      response.strength = 1
      for (const weights of [response.dense, response.topics, response.creators, response.items])
        for (let i = 0; i < weights.length; i++) weights[i] = random() - 0.5
      const items = Object.assign(worldOf(seed), { response })
      const user = userOf(seed)
      const listing = listingOf(items, user)
      const [plain] = recommendersOf(optionsOf(), items)
      plain.prepare(user, now, `${user.id} ${user.lastOffset}`)
      plain.draw('home', `${user.id} ${user.lastOffset}`)
      const sources = new Set<string>()
      for (let i = 0; i < plain.traits.count; i++) {
        const scored = listing.of(plain.itemOf(i))
        const { kept, strength, added, ...terms } = scored.response!
        expect(scored.logit).toBe(plain.traits.logit[i])
        expect([kept, strength]).toEqual([expect.closeTo(0.1, 12), 1])
        expect(added).toBeCloseTo(
          Object.values(terms).reduce((sum, term) => sum + term, 0),
          9,
        )
        expect(terms.item).toBe(response.items[itemBucket(items.idOf(scored.item))])
        expect(Math.abs(listing.servedLogit(scored) - scored.logit!)).toBeLessThan(0.000_51)
        const fixed = scored.fatigue + scored.creator
        const choice = sumOf(scored.terms!)
        expect(Math.abs(0.1 * choice + fixed + added - scored.logit!)).toBeLessThan(0.000_6)
        sources.add(scored.source!)
      }
      expect(sources.size).toBeGreaterThan(2)
      const lifts = listing.list.map(({ item }) => listing.responseLift(listing.of(item)))
      expect(lifts.some(lift => Math.abs(lift) > 0.01)).toBe(true)
      expect(lifts.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 6)
    },
  )

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

  it.each(seeds)(
    'where thompson draws, the expected rate makes up the rest of the logit (world %i)',
    seed => {
      const items = worldOf(seed)
      const policy = { 'topk.policy': 'thompson', 'topk.rateWeight': '0.5' }
      const listing = listingOf(items, userOf(seed), policy)
      expect(listing.policy).toMatch(/-ts32@/)
      for (const scored of listing.candidates) {
        const shown = items.impressions(scored.item)
        const liked = Math.min(items.positives(scored.item), shown)
        const rate = listing.rateTerm(scored.item)
        expect(rate).toBeCloseTo(0.5 * Math.log((liked + 1) / (shown - liked + 19)), 9)
        const sum = sumOf(scored.terms!) + scored.fatigue + scored.creator + rate
        expect(Math.abs(sum - scored.logit!)).toBeLessThan(0.001_01)
        expect(Math.abs(listing.servedLogit(scored) - scored.logit!)).toBeLessThan(0.000_51)
      }
      expect(listingOf(items, userOf(seed)).rateTerm(3)).toBe(0)
    },
  )

  it("lifts compare with the list's items, and places and chances are counted", () => {
    const listing = listingOf(worldOf(4), userOf(4), {
      'topk.mmr': '0',
      'topk.creatorCap': '0',
      'topk.topicRun': '0',
    })
    for (const group of termGroups) {
      const lifts = listing.list.map(({ item }) => listing.lifts(listing.of(item))[group])
      expect(listing.list.length).toBeLessThan(listing.candidates.length)
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

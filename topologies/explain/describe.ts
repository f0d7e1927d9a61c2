/** Items, users and lists as plain JSON: everything that a list follows from, so that a stranger can compute it again. */
import { featureNames } from '../blend/features.ts'
import type { ItemTable } from '../items/table.ts'
import { vectorDimension } from '../learner/rows.ts'
import { ResponseScores } from '../response/serve.ts'
import { mixWeights } from '../topk/score.ts'
import { approvalsOf, exclusionsOf } from '../user/exclusions.ts'
import type { StoredUser } from '../user/stored-user.ts'
import { itemShown } from '../user/user-state.ts'
import type { Listing, Scored } from './listing.ts'
import { featureTerms } from './terms.ts'
import { unlistable } from './verdict.ts'

const d = vectorDimension

/**
 * `now`: processing time, for expiry. Decayed counts are as of `asOf` (event time).
 * @param responses of the same items; who describes many hands in one, which hashes each bucket once.
 */
export function describeItem(
  items: ItemTable,
  item: number,
  now: number,
  asOf: number,
  responses = new ResponseScores(items),
) {
  const entry = items.catalog(item)
  const response = responses.effects(item)
  const has = items.hasVector(item)
  const vector = (of: Float32Array): number[] => Array.from(of.subarray(item * d, (item + 1) * d))
  const content = items.content(item)
  return {
    item: items.idOf(item),
    catalog: entry
      ? {
          title: entry.title,
          creator: entry.creator < 0 ? '' : items.creatorName(entry.creator),
          topics: entry.topics.map(topic => items.topicName(topic)),
          language: entry.language,
          regions: entry.regions,
          publishedAt: entry.publishedAt,
          expiresAt: entry.expiresAt,
          durationMs: entry.durationMs,
          safety: entry.safety,
          attributes: entry.attributes,
        }
      : null,
    listable: items.listable(item, now),
    whyNot: whyNot(items, item, now),
    withdrawnAt: items.withdrawnAt(item),
    impressions: items.impressions(item),
    positives: items.positives(item),
    rate: items.rate(item),
    firstPositiveAt: items.firstPositiveAt(item),
    lastPositiveAt: items.lastPositiveAt(item),
    decayed: {
      asOf,
      values: items.halfLivesMs.map((halfLifeMs, h) => ({
        halfLifeMs,
        value: items.decayed(h, item, asOf),
      })),
    },
    vectors: has
      ? { context: vector(items.context), output: vector(items.output), bias: items.bias[item] }
      : null,
    content: content ? Array.from(content) : null,
    response: response ?? null,
  }
}

function whyNot(items: ItemTable, item: number, now: number): string | null {
  if (items.listable(item, now)) return null
  const { kind } = unlistable(items, item, now)
  return kind === 'unknown' ? 'not in the catalog' : kind
}

/** Strongest first; W, D and F are true for `asOf`. */
export function describeNeighbours(items: ItemTable, item: number) {
  const row = items.neighbours(item)
  if (row === undefined) return null
  return {
    asOf: row.asOf,
    items: Array.from({ length: row.size }, (_, n) => ({
      item: items.idOf(row.items[n]),
      w: row.weights[n],
      d: row.next[n],
      f: row.recent[n],
      positives: items.positives(row.items[n]),
    })),
  }
}

export function describeUser(user: StoredUser, items: ItemTable) {
  const { session, positives, state } = user
  const id = (item: number): string => items.idOf(item)
  const approvals = approvalsOf(user)
  const exclusions = exclusionsOf(user)
  const creators = new Set(
    [...exclusions, ...approvals].map(({ item }) => items.catalog(item)?.creator ?? -1),
  )
  const shown = new Set(
    (state.recentlyShown?.values ?? []).filter(value => value >= 0).map(itemShown),
  )
  return {
    user: user.id,
    consent: 'full',
    cohort: user.cohort,
    surface: user.surface,
    lastSeenAt: user.lastSeenAt,
    lastOffset: user.lastOffset,
    session: {
      id: session.id,
      startedAt: session.startedAt,
      lastEventAt: session.lastEventAt,
      impressions: session.impressions,
      watches: session.watches,
      positives: session.positives,
      watchedMs: session.watchedMs,
      completes: session.completes,
      skips: session.skips,
      lastItems: session.items.map(id),
    },
    positives: Array.from({ length: positives.length }, (_, k) => ({
      item: id(positives.item(k)),
      at: positives.at(k),
    })),
    exclusions: exclusions
      .map(({ item, reason, at }) => ({
        item: id(item),
        reason,
        at,
        inForce: user.excludes(item),
      }))
      .reverse(),
    approvals: approvals.map(({ item, kind, at }) => ({ item: id(item), kind, at })).reverse(),
    creators: [...creators]
      .filter(creator => creator >= 0)
      .map(creator => ({
        creator: items.creatorName(creator),
        weight: user.creatorWeight(creator),
      }))
      .filter(({ weight }) => weight !== 1),
    shown: [...shown].map(item => ({
      item: id(item),
      last24h: user.shown.last24h(item, user.lastSeenAt),
      last7d: user.shown.last7d(item, user.lastSeenAt),
    })),
  }
}

/** All of the draw: candidates with everything that they are scored from, rules, and the list that follows. */
export function describeListing(listing: Listing) {
  const { evidence, draw, drawn, surface, now } = listing
  const { ask, covisit, embedding } = evidence
  const { items, countedUntil } = ask
  const history = Array.from(ask.history.subarray(0, ask.length))
  const { blend, response } = items
  const responses = new ResponseScores(items)
  const describe = (item: number) => describeItem(items, item, now, countedUntil, responses)
  return {
    surface: surface.name,
    at: now,
    countedUntil,
    policy: listing.policy,
    experiments: JSON.parse(listing.experiments) as Record<string, string>,
    ranker: listing.ranker,
    model: listing.model,
    bucket: evidence.bucket,
    seed: listing.seed,
    rules: { ...listing.rules, exploreMost: finite(listing.rules.exploreMost) },
    restricted: surface.restricted,
    features: featureNames,
    weights: listing.weights
      ? { learnt: blend.learnt, values: Array.from(listing.weights) }
      : { learnt: blend.learnt, mix: mixWeights },
    world: {
      items: items.counted.items,
      positives: items.counted.positives,
      mostPositives: items.counted.most,
      decayed: items.halfLivesMs.map((halfLifeMs, h) => {
        const [first] = items.popular(h, 1)
        return {
          halfLifeMs,
          sum: items.decayedSum(h, countedUntil),
          most: first === undefined ? 0 : items.decayed(h, first, countedUntil),
        }
      }),
      covisit: { sums: Array.from(covisit.sums), maxima: Array.from(covisit.maxima) },
      tasteMeans: Array.from(blend.tasteMeans),
      /** The largest embedding logit that was found; null: the user has no context. */
      largestEmbedding: embedding.present ? embedding.largest : null,
      rate: items.betaPrior,
    },
    response:
      response === undefined || response.strength === 0
        ? null
        : { learnt: response.learnt, strength: response.strength, kept: response.kept },
    history: history.map(item => ({
      ...describe(item),
      neighbours: describeNeighbours(items, item),
    })),
    candidates: listing.candidates.map(scored => {
      const at = drawn.indexOf(scored.item)
      const traits = at < 0 ? undefined : draw.candidates[at]
      return {
        ...describe(scored.item),
        ...describeScored(listing, scored),
        marks: traits?.marks ?? null,
        likeness: traits ? Array.from(traits.vector) : null,
      }
    }),
    list: listing.list.map(({ item, score, p }) => ({ id: items.idOf(item), score, p })),
  }
}

/** What the logit is made of. */
export function describeScored(listing: Listing, scored: Scored) {
  const { weights } = listing
  return {
    source: scored.source ?? null,
    features: Array.from(scored.features),
    terms: scored.terms ?? null,
    fatigue: scored.fatigue,
    creatorWeight: scored.creator,
    blended: scored.blended ?? null,
    ranked: scored.ranked ?? null,
    response: scored.response ?? null,
    logit: scored.logit ?? null,
    place: listing.placeOf(scored),
    contributions: weights ? featureTerms(scored.features, weights) : null,
  }
}

const finite = (n: number): number | null => (Number.isFinite(n) ? n : null)

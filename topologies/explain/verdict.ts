/** Why an item stands in a user's list as it would be drawn now, or does not. */
import { isExpired } from '../items/expiry.ts'
import type { ItemTable } from '../items/table.ts'
import type { Exclusion } from '../user/exclusions.ts'
import type { Listing, Scored } from './listing.ts'

export type Verdict =
  /** Would stand there at a position (from 1). */
  | { readonly kind: 'drawn'; readonly position: number; readonly p: number }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'withdrawn'; readonly at: number }
  | { readonly kind: 'blocked' }
  | { readonly kind: 'expired'; readonly at: number }
  | { readonly kind: 'restricted'; readonly surface: string }
  | {
      readonly kind: 'excluded'
      readonly reason: Exclusion['reason'] | 'excluded'
      readonly at: number
    }
  | { readonly kind: 'fatigue'; readonly shown24h: number }
  | { readonly kind: 'not-named' }
  /** The ranker gave it no finite number. */
  | { readonly kind: 'unscored' }
  /** Good enough, but the list holds `most` of its creator or group since `position` (from 1). */
  | {
      readonly kind: 'capped'
      readonly by: 'creator' | 'group'
      readonly name: string
      readonly most: number
      readonly position: number
    }
  /** Drawn from, and others were drawn. `better`: those above it by logit. `last`: the score at the list's end. */
  | {
      readonly kind: 'outranked'
      readonly logit: number
      readonly better: number
      readonly of: number
      readonly last: number
      readonly size: number
      /** Of standing somewhere in a list drawn like this one, at these positions below these items; null: not known. */
      readonly chance: number | null
    }

export interface VerdictSettings {
  readonly exclusions: ReadonlyMap<number, Exclusion>
  /** Names of the groups of the policy file, by bit. */
  readonly groups: readonly string[]
}

/** Why the item would or would not stand in the list that is drawn now. */
export function verdictOf(listing: Listing, item: number, settings: VerdictSettings): Verdict {
  const position = listing.list.findIndex(each => each.item === item)
  if (position >= 0) return { kind: 'drawn', position: position + 1, p: listing.list[position].p }
  const { evidence, surface, user } = listing
  const refusal = evidence.filter.refusal(item)
  const entry = evidence.ask.items.catalog(item)
  if (refusal === 'unlistable') return unlistable(evidence.ask.items, item, listing.now)
  if (refusal === 'excluded') {
    const { reason = 'excluded' as const, at = 0 } = settings.exclusions.get(item) ?? {}
    return { kind: 'excluded', reason, at }
  }
  if (entry?.safety === 'restricted' && !surface.restricted)
    return { kind: 'restricted', surface: surface.name }
  if (refusal === 'fatigue')
    return { kind: 'fatigue', shown24h: user.shown.last24h(item, user.lastSeenAt) }
  if (!listing.isCandidate(item)) return { kind: 'not-named' }
  const scored = listing.of(item)
  if (scored.logit === undefined) return { kind: 'unscored' }
  return capped(listing, scored, settings.groups) ?? outranked(listing, scored, scored.logit)
}

type Unlistable = Extract<
  Verdict,
  { kind: 'blocked' } | { kind: 'expired' } | { kind: 'withdrawn' } | { kind: 'unknown' }
>

/** Why no list at all may hold an item that is not listable. @param now processing time, ms. */
export function unlistable(items: ItemTable, item: number, now: number): Unlistable {
  const entry = items.catalog(item)
  const at = items.withdrawnAt(item)
  if (entry?.safety === 'blocked') return { kind: 'blocked' }
  // an expired item is withdrawn, too
  if (isExpired(entry, now)) return { kind: 'expired', at: entry.expiresAt }
  return at !== 0 ? { kind: 'withdrawn', at } : { kind: 'unknown' }
}

/** Undefined where no cap holds it back, or where it would be below the list's end without one. */
function capped(listing: Listing, scored: Scored, groups: readonly string[]): Verdict | undefined {
  const { draw, drawn, rules, evidence, list } = listing
  const own = draw.candidates[drawn.indexOf(scored.item)]
  if (list.length > 0 && (scored.logit ?? -Infinity) <= list[list.length - 1].score)
    return undefined
  const { items } = evidence.ask
  const fullAt = (most: number, counts: (i: number) => boolean): number => {
    const places = draw.picked.flatMap((i, k) => (counts(i) ? [k + 1] : []))
    return places.length < most ? 0 : places[most - 1]
  }
  if (rules.creatorCap > 0 && own.creator !== -1) {
    const position = fullAt(rules.creatorCap, i => draw.candidates[i].creator === own.creator)
    const name = items.creatorName(items.catalog(scored.item)?.creator ?? -1)
    if (position > 0)
      return { kind: 'capped', by: 'creator', name, most: rules.creatorCap, position }
  }
  for (const { mark, most } of rules.caps) {
    if (((own.marks ?? 0) & mark) === 0) continue
    const position = fullAt(most, i => ((draw.candidates[i].marks ?? 0) & mark) !== 0)
    const name = groups[Math.log2(mark)] ?? ''
    if (position > 0) return { kind: 'capped', by: 'group', name, most, position }
  }
  return undefined
}

function outranked(listing: Listing, scored: Scored, logit: number): Verdict {
  const { list, rules } = listing
  return {
    kind: 'outranked',
    logit,
    better: listing.placeOf(scored) - 1,
    of: listing.drawn.length,
    last: list.length > 0 ? list[list.length - 1].score : Number.NaN,
    size: rules.size,
    chance: chanceSomewhere(listing, scored.item),
  }
}

/** 1 - the chance that it is passed over at every position of this draw. */
function chanceSomewhere(listing: Listing, item: number): number | null {
  let missed = 1
  for (let k = 0; k < listing.list.length; k++) {
    const odds = listing.chancesAt(k)
    if (odds === undefined) return null
    missed *= 1 - (odds.get(item) ?? 0)
  }
  return 1 - missed
}

/** Why an item stands in a list, or does not, in words. Pure: what is known comes from topologies/explain. */
import { type CovisitPart, covisitParts } from '../../topologies/explain/covisits.ts'
import type { Listing, Scored } from '../../topologies/explain/listing.ts'
import type { TermGroup } from '../../topologies/explain/terms.ts'
import type { Verdict } from '../../topologies/explain/verdict.ts'
import { percent, plural, time } from '../terminal.ts'

/** Less than this is no reason: a tenth of a logit moves an item by a neighbour. */
const leastLift = 0.1
const mostReasons = 3
const mostItems = 3

export interface Reason {
  readonly about: TermGroup | 'response' | 'creator' | 'fatigue'
  /** Logits above what the list's items have on average; of creator and fatigue: what they add. */
  readonly lift: number
  readonly words: string
}

/** What moves the item most, up or down, the strongest first. */
export function reasonsOf(listing: Listing, scored: Scored): Reason[] {
  const { items } = listing.evidence.ask
  const lifts: [Reason['about'], number][] = [
    ...(Object.entries(listing.lifts(scored)) as [TermGroup, number][]),
    ['response', listing.responseLift(scored)],
    ['creator', scored.creator],
    ['fatigue', scored.fatigue],
  ]
  const strong = lifts
    .filter(([, lift]) => Math.abs(lift) >= leastLift)
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
  const parts = strong.some(([about]) => about === 'covisit')
    ? covisitParts(listing.evidence.ask, scored.item)
    : []
  const context = {
    positives: items.positives(scored.item),
    shown: listing.user.shown.last7d(scored.item, listing.user.lastSeenAt),
    parts,
    idOf: (item: number) => items.idOf(item),
  }
  return strong.map(([about, lift]) => ({ about, lift, words: wordsFor(about, lift > 0, context) }))
}

interface ReasonContext {
  readonly positives: number
  readonly shown: number
  readonly parts: readonly CovisitPart[]
  readonly idOf: (item: number) => string
}

function wordsFor(about: Reason['about'], isFor: boolean, context: ReasonContext): string {
  const { positives, shown, parts, idOf } = context
  const from = parts.slice(0, mostItems).map(part => idOf(part.from))
  switch (about) {
    case 'popularity':
      return `${isFor ? 'more' : 'less'} watched than most of the list (${plural(positives, 'positive')})`
    case 'covisit':
      return from.length > 0
        ? `watched with ${from.join(', ')} (co-visits)${isFor ? '' : ', but less than others'}`
        : 'not watched with what the user watched (co-visits)'
    case 'embedding':
      return `${isFor ? 'near' : 'far from'} what the user watched last (embedding)`
    case 'content':
      return `content ${isFor ? 'like' : 'unlike'} what the user watched`
    case 'age':
      return isFor ? 'watched recently' : 'not watched of late'
    case 'taste':
      return `${isFor ? 'fits' : 'does not fit'} the user's taste for popular, new or trending items`
    case 'unshown':
      return isFor ? 'hardly shown yet' : 'shown often'
    case 'response':
      return `the user's answers to what is like it, and those of all it was shown to, speak ${isFor ? 'for' : 'against'} it (response)`
    case 'creator':
      return isFor ? 'the user approves of its creator' : 'the user refused items of its creator'
    case 'fatigue':
      return `shown ${plural(shown, 'time')} in 7 days without a watch`
  }
}

/** Of a stored item with `x`. */
export const exploredWords = 'explored: chance put it here'

/** `mostly because ...`, or what can be said where nothing stands out. */
export function because(reasons: readonly Reason[]): string {
  const up = reasons.filter(({ lift }) => lift > 0).slice(0, mostReasons)
  if (up.length === 0) return 'nothing sets it apart from the others of the list'
  return `mostly because: ${up.map(({ words }) => words).join('; ')}`
}

const verbs = {
  finished: 'finished',
  hidden: 'hid',
  disliked: 'disliked',
  reported: 'reported',
  excluded: 'finished or refused',
} as const

/** Of a verdict that is not `drawn`: what holds the item back. `repeat` is the option topk.repeat. */
export function obstacle(verdict: Verdict, item: string, user: string, repeat: string): string {
  switch (verdict.kind) {
    case 'drawn':
      return `nothing: it would stand at position ${verdict.position}`
    case 'unknown':
      return `${item} is not in the catalog: no Item came for it on the items topic (catalog.required)`
    case 'withdrawn':
      return `${item} is withdrawn since ${time(verdict.at)}`
    case 'blocked':
      return `${item} is blocked (safety)`
    case 'expired':
      return `${item} expired on ${time(verdict.at)}`
    case 'restricted':
      return `${item} is restricted (safety), and surface ${verdict.surface} may not show such items (topk.restricted)`
    case 'excluded':
      return `${user} ${verbs[verdict.reason]} it${verdict.at > 0 ? ` on ${time(verdict.at).slice(0, 10)}` : ''}${verdict.reason === 'finished' ? ` (topk.repeat=${repeat})` : ''}`
    case 'fatigue':
      return `fatigue: it was shown ${plural(verdict.shown24h, 'time')} within 24 h without a watch (topk.fatigue)`
    case 'not-named':
      return 'no source named it as a candidate'
    case 'unscored':
      return 'the ranker gave it no number'
    case 'capped':
      return verdict.by === 'creator'
        ? `capped: ${verdict.most} items of its creator ${verdict.name} stand above, the last at position ${verdict.position} (creatorCap)`
        : `capped: ${verdict.most} items of group ${verdict.name} stand above, the last at position ${verdict.position}`
    case 'outranked':
      return outrankedWords(verdict)
  }
}

function outrankedWords(verdict: Extract<Verdict, { kind: 'outranked' }>): string {
  const { better, of, size, logit, last, chance } = verdict
  const odds =
    chance === null ? '' : `; its chance of a place beside these items was ${percent(chance)}`
  if (better >= size)
    return `outranked: ${better} of ${of} candidates are better; its logit is ${logit.toFixed(3)}, the list ends with ${last.toFixed(3)}${odds}`
  return `passed over: by its logit ${logit.toFixed(3)} it is number ${better + 1} of ${of}, but chance, likeness to those above or a floor chose others${odds}`
}

/** Why there is nothing to say of a user. @param withdrawnAt when what was stored was removed, ms; 0: never. */
export const nobody = (userId: string, withdrawnAt: number): string =>
  withdrawnAt > 0
    ? `nothing is stored of user ${JSON.stringify(userId)}: their data was removed at ${new Date(withdrawnAt).toISOString()} (an erasure, or an event with less consent)`
    : `nothing is stored of user ${JSON.stringify(userId)}: no event with consent full came, or it is not committed yet`

export const unknownItem = (itemId: string): string =>
  `item ${JSON.stringify(itemId)} is not known: it is not in the catalog, and no event that counts named it`

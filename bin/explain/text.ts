/** What `freshet explain` answers, as text for a person. */

import { covisitParts } from '../../topologies/explain/covisits.ts'
import type { Listing, Scored } from '../../topologies/explain/listing.ts'
import type { CovisitReach, Reach } from '../../topologies/explain/reach.ts'
import {
  featureTerms,
  groupOf,
  type TermGroup,
  termGroups,
} from '../../topologies/explain/terms.ts'
import { verdictOf } from '../../topologies/explain/verdict.ts'
import { responseTerms } from '../../topologies/response/weights.ts'
import {
  ago,
  count,
  decayedText,
  durationText,
  paint,
  percent,
  plural,
  signed,
  spanText,
  table,
  time,
} from '../terminal.ts'
import type { Asked } from './ask.ts'
import { because, exploredWords, obstacle, reasonsOf } from './words.ts'

const names: Readonly<Record<TermGroup, string>> = {
  popularity: 'popularity',
  covisit: 'co-visits',
  embedding: 'embedding',
  content: 'content',
  age: 'age',
  taste: 'taste',
  unshown: 'hardly shown',
}

/** The verdict in one sentence: of the stored list where there is one, else of the one that would be drawn now. */
export function verdictText(asked: Asked, item: number, repeat: string): string {
  const { listing, stored, user, items } = asked
  const id = items.idOf(item)
  const verdict = verdictOf(listing, item, asked.verdicts)
  const reasons = because(reasonsOf(listing, listing.of(item)))
  const place = stored?.items.findIndex(each => each.id === id) ?? -1
  const why = obstacle(verdict, id, user.id, repeat)
  if (stored && place >= 0) {
    const { p, x } = stored.items[place]
    const stands = `${id} stands at position ${place + 1} of ${user.id}'s list (p = ${p})`
    const isDrawable = ['drawn', 'outranked', 'capped', 'not-named'].includes(verdict.kind)
    if (!isDrawable) return `${stands} and will leave it: ${why}`
    const again = verdict.kind === 'drawn' ? '' : `. Drawn again now it would not: ${why}`
    return `${stands}, ${x ? exploredWords : reasons}${again}`
  }
  if (verdict.kind === 'drawn')
    return stored
      ? `${id} is not in ${user.id}'s list and would be now, at position ${verdict.position} (p = ${verdict.p.toPrecision(3)}), ${reasons}`
      : `${id} would stand at position ${verdict.position} of ${user.id}'s list (p = ${verdict.p.toPrecision(3)}; none is stored), ${reasons}`
  return `${id} is not in ${user.id}'s list: ${why}`
}

export function itemText(
  asked: Asked,
  item: number,
  reach: Reach | undefined,
  repeat: string,
): string {
  const { listing, items, notes } = asked
  const scored = listing.of(item)
  return [
    paint('bold', verdictText(asked, item, repeat)),
    ...warningText(asked),
    '',
    catalogText(asked, item),
    countsText(asked, item),
    ...(reach ? ['', ...reachText(reach)] : []),
    '',
    ...scoreText(listing, scored),
    ...covisitText(listing, scored),
    '',
    ...servedText(asked, items.idOf(item)),
    ...notes.map(note => paint('dim', note)),
  ].join('\n')
}

const warningText = ({ warning }: Asked): string[] =>
  warning === undefined ? [] : [paint('yellow', warning)]

function catalogText({ items, now }: Asked, item: number): string {
  const entry = items.catalog(item)
  if (entry === undefined) return 'not in the catalog'
  const facts = [
    entry.title === '' ? items.idOf(item) : `${items.idOf(item)} "${entry.title}"`,
    entry.creator < 0 ? 'no creator' : `creator ${items.creatorName(entry.creator)}`,
    `topics ${entry.topics.map(topic => items.topicName(topic)).join(', ') || 'none'}`,
    `published ${time(entry.publishedAt)} (${ago(entry.publishedAt, now)})`,
    `safety ${entry.safety}`,
  ]
  return facts.join(', ')
}

function countsText({ items, listing }: Asked, item: number): string {
  const asOf = listing.evidence.ask.countedUntil
  const decayed = items.halfLivesMs.map(
    (halfLife, h) => `${spanText(halfLife)} ${decayedText(items.decayed(h, item, asOf))}`,
  )
  return `${plural(items.impressions(item), 'impression')}, ${plural(items.positives(item), 'positive')}; decayed by half-life: ${decayed.join(', ')}`
}

function reachText(reach: Reach): string[] {
  const { popularity, covisit, embedding, newest, content, impressions } = reach
  const ranks = popularity.ranks.map(
    ({ halfLifeMs, rank }) => `${spanText(halfLifeMs)} ${rank === 0 ? '-' : count(rank)}`,
  )
  const covisits =
    covisit.s.rank === 0
      ? "not watched with any of the user's items"
      : `${covisitReachText('S', covisit.s)}; ${covisitReachText('F (14 d)', covisit.f)}`
  const near =
    embedding === null
      ? 'no vector of the item, or no context of the user'
      : `number ${count(embedding.rank)} of ${count(embedding.of)} by u . Q = ${embedding.nearness.toFixed(3)}`
  const alike =
    content === null
      ? 'no content to compare'
      : `number ${count(content.rank)} of ${count(content.of)} by cosine ${content.cosine.toFixed(3)}`
  const isNew = newest.isNew ? 'yes' : `no: number ${count(newest.rank)} by publication`
  return [
    'Where the sources looked:',
    table([
      ['source', 'found'],
      ['popularity', `rank by half-life: ${ranks.join(', ')}; looked down to ${popularity.looked}`],
      ['covisit', covisits],
      ['embedding', near],
      ['content', alike],
      ['explore', `${plural(impressions, 'impression')}; of the newest ${newest.looked}: ${isNew}`],
    ]),
  ]
}

function covisitReachText(name: string, { value, rank, of, least }: CovisitReach): string {
  if (rank === 0) return `${name} = 0`
  const end = least === null ? '' : ` (named by it down to ${least.toPrecision(3)})`
  return `${name} = ${value.toPrecision(3)}, number ${count(rank)} of ${count(of)}${end}`
}

function scoreText(listing: Listing, scored: Scored): string[] {
  const { ranker, weights } = listing
  if (scored.terms === undefined)
    return ['No logit: until the blend has learnt enough, the fixed mix scores candidates alone.']
  const lifts = listing.lifts(scored)
  const rows = termGroups.map(group => [
    names[group],
    signed(scored.terms![group]),
    signed(lifts[group]),
    '',
  ])
  const further: [string, number, string][] = [
    ['fatigue', scored.fatigue, ''],
    ['creator', scored.creator, "the user's feedback on its creator"],
  ]
  const { response } = scored
  if (response)
    further.push([
      'response',
      response.added,
      `${response.strength.toFixed(2)} x (${responseTerms.map(name => `${name} ${signed(response[name])}`).join(', ')}); of the above, but for fatigue and creator, ${(100 * response.kept).toFixed(0)}% counts`,
    ])
  further.push(['expected rate', listing.rateTerm(scored.item), 'topk.rateWeight x its log-odds'])
  for (const [name, value, note] of further)
    if (value !== 0) rows.push([name, signed(value), '', note])
  const lines = [
    `How it is scored (${ranker}${weights ? `, weights of bucket ${listing.evidence.bucket}` : ''}${scored.source ? `, named by ${scored.source}` : ', named by no source'}):`,
    table([['', 'logits', 'above the list', ''], ...rows]),
  ]
  if (weights) lines.push(...featuresText(scored, weights))
  lines.push(...totalText(listing, scored))
  return lines
}

/** The features that count for anything, in the registry's order. */
function featuresText(scored: Scored, weights: Float64Array): string[] {
  const terms = featureTerms(scored.features, weights).filter(
    ({ contribution }) => Math.abs(contribution) >= 0.005,
  )
  return [
    '',
    table([
      ['feature', 'value', 'weight', 'logits', 'counts as'],
      ...terms.map(({ feature, value, weight, contribution }) => [
        feature,
        value.toFixed(4),
        weight.toFixed(4),
        signed(contribution),
        names[groupOf(feature)],
      ]),
    ]),
  ]
}

function totalText(listing: Listing, scored: Scored): string[] {
  const { rules, policy, candidates } = listing
  const lines: string[] = ['']
  if (listing.ranker !== 'blend' && listing.ranker !== 'mix')
    lines.push(
      `the model ${listing.ranker}@${listing.model} ranks: ${scored.ranked?.toFixed(3) ?? 'no score'}, the blend's score beside it ${scored.blended?.toFixed(3)}`,
    )
  if (scored.logit === undefined) {
    const logit = listing.servedLogit(scored)
    lines.push(`it is not drawn from; its logit would be ${logit.toFixed(3)}`)
    return lines
  }
  const first = listing.chancesAt(0)?.get(scored.item)
  lines.push(
    `logit ${scored.logit.toFixed(3)}: number ${listing.placeOf(scored)} of ${candidates.length} candidates`,
    first === undefined
      ? `chance to stand first: not known for ${rules.policy}`
      : `chance to stand first by ${policy}: ${percent(first)}`,
  )
  return lines
}

function covisitText(listing: Listing, scored: Scored): string[] {
  const { ask } = listing.evidence
  const parts = covisitParts(ask, scored.item).slice(0, 8)
  if (parts.length === 0) return []
  return [
    '',
    "Co-visits by the user's own items:",
    table([
      ['item', 'watched', 'S', 'next (6 h)', 'recent (14 d)'],
      ...parts.map(({ k, from, s, next, recent }) => [
        ask.items.idOf(from),
        k === 0 ? 'last' : `${k} before it`,
        s.toFixed(3),
        next.toFixed(3),
        recent.toFixed(3),
      ]),
    ]),
  ]
}

function servedText({ stored }: Asked, id: string): string[] {
  const item = stored?.items.find(each => each.id === id)
  if (!stored || !item) return []
  return [
    `as served (version ${stored.version}): score ${item.score}, p ${item.p}, src ${item.src}${item.x ? ', explored' : ''}, policy ${stored.policy}`,
  ]
}

/** Who the user is, and the list item by item. */
export function userText(asked: Asked): string {
  const { user, items, listing, notes, now } = asked
  const { session, positives } = user
  const newest = Array.from({ length: Math.min(8, positives.length) }, (_, k) =>
    items.idOf(positives.item(k)),
  )
  const who = [
    `${paint('bold', user.id)}  consent full${user.cohort === '' ? '' : `, cohort ${user.cohort}`}, last seen ${time(user.lastSeenAt)} (${ago(user.lastSeenAt, now)})`,
    `session since ${time(session.startedAt)}: ${plural(session.impressions, 'impression')}, ${plural(session.watches, 'watch', 'watches')}, ${plural(session.positives, 'positive')}, ${session.completes} finished`,
    `${plural(positives.length, 'positive')} kept${newest.length > 0 ? `, newest first: ${newest.join(', ')}` : ''}`,
    `ranked by ${listing.ranker}${listing.model === '' ? '' : ` ${listing.model}`}, bucket ${listing.evidence.bucket} (${bucketText(listing.evidence.bucket)}); ${listing.candidates.length} candidates`,
  ]
  return [...who, '', ...listText(asked), ...notes.map(note => paint('dim', note))].join('\n')
}

function listText(asked: Asked): string[] {
  const { items, listing, stored, user, now } = asked
  const shown = stored
    ? stored.items.map(({ id, ...rest }) => ({ item: items.index(id), ...rest }))
    : listing.list.map(({ item, score, p }) => ({
        item,
        score,
        p: Number(p.toPrecision(4)),
        src: listing.of(item).source ?? '',
        x: false,
      }))
  const head = stored
    ? `list on ${listing.surface.name}: version ${stored.version}, policy ${stored.policy}, ${durationText(now - stored.at)} old`
    : `no list of ${user.id} is stored for ${listing.surface.name} (readers get the cohort's or the global one); it would be:`
  return [
    head,
    ...warningText(asked),
    table([
      ['#', 'item', 'score', 'p', 'source', 'score now', 'why'],
      ...shown.map(({ item, score, p, src, x }, k) => {
        const scored = listing.of(item)
        const up = reasonsOf(listing, scored).filter(({ lift }) => lift > 0)
        const why = up.slice(0, 2).map(({ words }) => words)
        return [
          k + 1,
          items.idOf(item),
          score.toFixed(3),
          String(p),
          src,
          scored.logit?.toFixed(3) ?? '-',
          (x ? [exploredWords, ...why] : why).join('; '),
        ]
      }),
    ]),
    ...(shown.some(({ item }) => listing.of(item).logit === undefined)
      ? [
          paint(
            'dim',
            '-: drawn again now, it would be no candidate (explain with the item says why)',
          ),
        ]
      : []),
    '',
  ]
}

function bucketText(bucket: number): string {
  if (bucket === 0) return 'no history'
  const depth = ['fewer than 4', 'fewer than 20', '20 or more'][(bucket - 1) % 3]
  return `${depth} positives, the last ${bucket < 4 ? 'within 30 min' : 'longer ago'}`
}

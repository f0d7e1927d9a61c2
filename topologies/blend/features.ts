/**
 * The feature registry: the numbers that describe a candidate, in this order. The blend, pushed models and logged examples
 * use the same; `featureHash` stands in each of them.
 *
 * A scorer s gives a number >= 0 an item. Two features follow from it, with sum and maximum over all known items (not only
 * the candidates), n the number of items that ever had a positive:
 *   <scorer>.share = log(s n / sum s + .05) - log .05
 *   <scorer>.peak  = sqrt(s / max s), at most 1
 * both 0 where s is 0 or sum s <= 1e-20: a short half-life on a sparse stream underflows there, and one NaN would spoil
 * weights for good.
 */
import { createHash } from 'node:crypto'

export interface FeatureSpec {
  readonly name: string
  /** Raised whenever the same past gives another number. */
  readonly version: number
  readonly type: 'float32'
  /** The topology that keeps what it is computed from. */
  readonly owner: 'popularity' | 'covisit' | 'learner' | 'sessions' | 'items'
  /** What stands there where nothing is known. */
  readonly default: 0
  /** How it is computed. */
  readonly description: string
}

/** Scorers by the decayed counts, shortest half-life first, then all time. The order is that of `halfLivesMs`. */
const counts = [
  ['pop_6m', 'positives of the item, half-life 6 min'],
  ['pop_1h', 'positives of the item, half-life 1 h'],
  ['pop_12h', 'positives of the item, half-life 12 h'],
  ['pop_4d', 'positives of the item, half-life 96 h'],
  ['pop_30d', 'positives of the item, half-life 720 h'],
  ['pop_all', 'positives of the item, ever'],
] as const

/** Scorers by co-visitation; a_k is the user's k-th most recent item, k below 24. */
const covisits = [
  ['covisit', 'S = sum of .8^k W[a_k][item]'],
  ['covisit_rare', 'S / sqrt(positives + 5)'],
  ['covisit_next', 'sum of .7^k D[a_k][item], D the directed co-visits with a half-life of 6 h'],
  [
    'covisit_recent',
    'sum of .7^k F[a_k][item], F the directed co-visits with a half-life of 336 h',
  ],
  ['covisit_long', 'L = sum of .97^k W[a_k][item] / (positives of a_k + 5)'],
  ['covisit_long_rare', 'L / sqrt(positives + 5)'],
] as const

const share = (what: string): string =>
  `log(s n / sum s + .05) - log .05 over the known items, s = ${what}`
const peak = (what: string): string => `sqrt(s / max s) over the known items, s = ${what}`

function pair(owner: FeatureSpec['owner'], [name, what]: readonly [string, string]): FeatureSpec[] {
  return [one(owner, `${name}.share`, share(what)), one(owner, `${name}.peak`, peak(what))]
}

function one(owner: FeatureSpec['owner'], name: string, description: string): FeatureSpec {
  return { name, version: 1, type: 'float32', owner, default: 0, description }
}

export const featureSpecs: readonly FeatureSpec[] = [
  ...counts.flatMap(scorer => pair('popularity', scorer)),
  ...covisits.flatMap(scorer => pair('covisit', scorer)),
  one(
    'learner',
    'embedding.logit',
    'bias + u . Q of the item less the largest; 0 for a user without items',
  ),
  one('learner', 'embedding.peak', 'exp(embedding.logit), at most 1; 0 for a user without items'),
  one('items', 'content.cosine', "cosine of the item's content vector to the user's last ten"),
  one('popularity', 'item.age', '.1 log(1 + hours since its first positive)'),
  one(
    'popularity',
    'item.idle',
    '.1 log(1 + minutes since its last positive; a year where there is none)',
  ),
  one('popularity', 'item.positives', '.1 log(1 + positives)'),
  one(
    'sessions',
    'taste.popular',
    ".1 (mean of the user's last 24 - mean of all) x v of the item, v = log(1 + positives)",
  ),
  one('sessions', 'taste.new', 'the same, v = log(1 + hours since the first positive)'),
  one(
    'sessions',
    'taste.trending',
    'the same, v = log((60 c + 1) / (d + 1)), c and d the positives at half-lives 12 h and 720 h',
  ),
]

export const featureNames: readonly string[] = featureSpecs.map(({ name }) => name)
export const featureCount = featureSpecs.length

/** Errors: RangeError for a name that there is not. */
export function indexOfFeature(name: string): number {
  const at = featureNames.indexOf(name)
  if (at < 0) throw new RangeError(`there is no feature ${name}`)
  return at
}

/** 16 hex digits of the SHA-256 of names, versions and types: equal where the numbers mean the same. */
export const featureHash: string = createHash('sha256')
  .update(featureSpecs.map(({ name, version, type }) => `${name}@${version}:${type}`).join('\n'))
  .digest('hex')
  .slice(0, 16)

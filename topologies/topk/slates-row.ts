/**
 * A sampled draw as a row of the table `slates`: all that p is computed from, so that it can be computed again.
 *
 * `candidates`: item, source, weight (the logit before penalties) and features = [creator, topic, marks, vector...]:
 * numbers that mean the same within the row only (-1: unknown), the groups and marks of rules.ts, and the unit vector that
 * likeness is measured by (absent: none). `list` and `propensities` are by position. The rules are the surface's, from the
 * run's options and policy file, where the policy's name tells of arms (`+rank7.b`) as they change them; temperature stands beside them, epsilon and budget in the policy's name (variants.ts).
 * `list_version` is that of the list in the view store, so that of its impressions in `examples`.
 * p of a row = `propensitiesOf(drawOfRow(row, rules))`, but of thompson, whose samples no row holds.
 */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { featureCount, featureHash } from '../blend/features.ts'
import { vectorDimension } from '../learner/rows.ts'
import type { Draw } from './propensities.ts'
import type { Recommender } from './recommend.ts'
import { candidateSources } from './retrieve/candidates.ts'
import type { SlateRules } from './rules.ts'
import { epsilonOf, exploreMostOf } from './variants.ts'

const d = vectorDimension

/** The user's name in tables, and which key made it. */
export interface Pseudonym {
  readonly user: string
  readonly key: string
}

export interface SlateRow extends TableRow {
  readonly surface: string
  readonly policy: string
  readonly temperature: number
  readonly candidates: readonly {
    readonly item: string
    readonly source: string
    readonly weight: number
    readonly features: readonly number[]
  }[]
  readonly list: readonly string[]
  readonly propensities: readonly number[]
  /** Candidates x features of the registry, row-major; empty: ranked without. */
  readonly ranker_features: readonly number[]
  readonly feature_hash: string
  readonly bucket: number
  readonly log_weights: readonly number[]
}

/** Of the recommender's last draw. `at` is when, ms. */
export function slateRow(
  recommender: Recommender,
  user: Pseudonym,
  surface: string,
  at: number,
): SlateRow {
  const { traits, slate, rules } = recommender
  const creators = new Map<number, number>()
  const topics = new Map<number, number>()
  return {
    ts: at,
    // the commit's that it leaves with, which gives it
    list_version: '',
    user: user.user,
    user_key: user.key,
    surface,
    policy: recommender.policy,
    model: recommender.model,
    temperature: rules.temperature,
    seed: recommender.seed,
    candidates: Array.from({ length: traits.count }, (_, i) => {
      const vector = traits.vectors.subarray(i * d, (i + 1) * d)
      const known = rules.mmr > 0 && vector.some(x => x !== 0)
      return {
        item: recommender.idOf(i),
        source: candidateSources[recommender.sourceOf(i)],
        weight: traits.logit[i],
        features: [
          numberOf(creators, traits.creator[i]),
          numberOf(topics, traits.topic[i]),
          traits.marks[i],
          ...(known ? vector : []),
        ],
      }
    }),
    ...rankedBy(recommender),
    list: Array.from({ length: slate.count }, (_, k) => recommender.idOf(slate.picked[k])),
    propensities: Array.from(slate.p.subarray(0, slate.count)),
  }
}

/** What another model would rank the candidates by; empty where this list was ranked without features. */
function rankedBy(recommender: Recommender) {
  const { matrix, traits, bucket } = recommender
  if (matrix === undefined)
    return { ranker_features: [], feature_hash: '', bucket, log_weights: [] }
  const features: number[] = []
  const logWeights: number[] = []
  for (let i = 0; i < traits.count; i++) {
    const at = recommender.placeOf(i) * featureCount
    for (let f = 0; f < featureCount; f++) features.push(short(matrix[at + f]))
    logWeights.push(recommender.logWeightOf(i))
  }
  return { ranker_features: features, feature_hash: featureHash, bucket, log_weights: logWeights }
}

/** A number of 32 bits in as few digits as name it: the row is text on its way. */
function short(x: number): number {
  return Number.isInteger(x) ? x : Number(x.toPrecision(9))
}

/** Indices differ between processes: the row has its own numbers, in order of first sight. */
function numberOf(numbers: Map<number, number>, index: number): number {
  if (index === -1) return -1
  if (!numbers.has(index)) numbers.set(index, numbers.size)
  return numbers.get(index)!
}

/** What `propensitiesOf` takes. `rules` are the surface's in the run that drew, as the arms in the policy's name change them. */
export function drawOfRow(row: SlateRow, rules: SlateRules): Draw {
  const place = new Map(row.candidates.map(({ item }, i) => [item, i]))
  return {
    rules: {
      ...rules,
      temperature: row.temperature,
      epsilon: epsilonOf(row.policy) ?? rules.epsilon,
      exploreMost: exploreMostOf(row.policy),
    },
    candidates: row.candidates.map(({ weight, features: [creator, topic, marks, ...vector] }) => ({
      weight,
      creator,
      topic,
      marks,
      vector,
    })),
    picked: row.list.map(item => place.get(item) ?? -1),
  }
}

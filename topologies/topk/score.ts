/**
 * One number a candidate: a log-linear mix of what each scorer says. The seam for a learnt ranker is `Scorer`.
 *
 * Feature of scorer s over the n candidates (DESIGN: the blend): log(s n / sum s + delta) - log delta, and 0 for all where
 * sum s <= 1e-20: a short half-life on a sparse stream underflows there, and one NaN would spoil every list.
 */
import type { Filter } from './filter.ts'
import type { Ask } from './retrieve/ask.ts'
import type { Candidates } from './retrieve/candidates.ts'
import type { Content } from './retrieve/content.ts'
import type { Covisit } from './retrieve/covisit.ts'
import type { Embedding } from './retrieve/embedding.ts'
import { leastSum, logShareDelta, shareDelta } from './share.ts'

/** What is known of a list's candidates when they are scored. */
export interface Evidence {
  readonly ask: Ask
  readonly candidates: Candidates
  readonly covisit: Covisit
  readonly embedding: Embedding
  readonly content: Content
  readonly filter: Filter
  /** Which of the blend's weights the user ranks with (learner/positive.ts). */
  readonly bucket: number
}

/** Writes a finite logit for each of the candidates. */
export interface Scorer {
  /** Names the policy's ranker in the list: `mix`. */
  readonly name: string
  /** Version of what it ranks with, for `model` in the list; '' for none. */
  readonly model: string
  score(evidence: Evidence, logits: Float64Array): void
  /** Candidates x features of the registry (blend/features.ts), row-major, of the list scored last; undefined: it did without. */
  readonly matrix?: Float32Array | undefined
}

/**
 * Adds weight x feature of the n scores to the logits. Scores that are not finite or negative count as 0.
 * Returns false where the guard held and nothing was added.
 */
export function addFeature(
  scores: Float64Array,
  n: number,
  weight: number,
  logits: Float64Array,
): boolean {
  let sum = 0
  for (let i = 0; i < n; i++) {
    if (!(scores[i] > 0 && scores[i] < Number.MAX_VALUE)) scores[i] = 0
    sum += scores[i]
  }
  if (!(sum > leastSum && sum < Number.POSITIVE_INFINITY)) return false
  const scale = n / sum
  for (let i = 0; i < n; i++)
    logits[i] += weight * (Math.log(scores[i] * scale + shareDelta) - logShareDelta)
  return true
}

/** Weights of the mix: the half-lives share `popularity` evenly. */
export interface MixWeights {
  readonly popularity: number
  readonly covisit: number
  readonly embedding: number
  readonly content: number
  readonly explore: number
}

/**
 * Fixed weights, in force until the learnt blend takes over. The first three are the best of eight tried on MovieTweetings
 * (recall@10 / NDCG@10 .255 / .170; popularity alone .225 / .160); content and exploration break ties for new items.
 */
export const mixWeights: MixWeights = {
  popularity: 1,
  covisit: 0.5,
  embedding: 0.3,
  content: 0.1,
  explore: 0.1,
}

/** Logits are whole thousandths, so that a list's own scores say exactly what was drawn from. */
export function rounded(logit: number): number {
  return Math.round(logit * 1000) / 1000
}

/** What the mix adds up, by weight; `cohort` stands only in lists of cohorts. */
export type MixTerm = keyof MixWeights | 'cohort'

export function mixScorer(capacity: number, weights: MixWeights = mixWeights): Scorer {
  const column = new Float64Array(capacity)
  return {
    name: 'mix',
    model: '',
    score(evidence, logits) {
      const { candidates, filter } = evidence
      const { items: item, count: n } = candidates
      logits.fill(0, 0, n)
      addMix(evidence, column, weights, () => logits)
      for (let i = 0; i < n; i++) logits[i] = rounded(logits[i] + filter.logWeight(item[i]))
    },
  }
}

/** Adds each term of the mix for all candidates to the array that `into` gives for it. `column` is scratch. */
export function addMix(
  { ask, candidates, covisit, embedding, content }: Evidence,
  column: Float64Array,
  weights: MixWeights,
  into: (term: MixTerm) => Float64Array,
): void {
  const { items } = ask
  const { items: item, count: n } = candidates
  const halfLives = items.halfLivesMs.length
  for (let h = 0; h < halfLives; h++) {
    for (let i = 0; i < n; i++) column[i] = items.decayed(h, item[i], ask.countedUntil)
    addFeature(column, n, weights.popularity / halfLives, into('popularity'))
  }
  if (ask.cohort !== undefined) {
    for (let i = 0; i < n; i++) column[i] = ask.cohort.get(item[i]) ?? 0
    addFeature(column, n, weights.popularity, into('cohort'))
  }
  for (let i = 0; i < n; i++) column[i] = covisit.score(item[i])
  addFeature(column, n, weights.covisit, into('covisit'))
  if (embedding.present) {
    let max = Number.NEGATIVE_INFINITY
    for (let i = 0; i < n; i++) {
      column[i] = embedding.logit(ask, item[i]) ?? Number.NEGATIVE_INFINITY
      if (column[i] > max) max = column[i]
    }
    for (let i = 0; i < n; i++) column[i] = Math.exp(column[i] - max)
    addFeature(column, n, weights.embedding, into('embedding'))
  }
  if (content.present) {
    for (let i = 0; i < n; i++) column[i] = content.similarity(ask, item[i])
    addFeature(column, n, weights.content, into('content'))
  }
  for (let i = 0; i < n; i++) column[i] = 1 / (1 + items.impressions(item[i]))
  addFeature(column, n, weights.explore, into('explore'))
}

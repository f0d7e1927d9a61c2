/**
 * What a logit is made of, by groups that a person can tell apart. The numbers come from the code that scores: features from
 * FeatureRows, weights from the blend, terms of the mix from addMix.
 */
import { featureNames } from '../blend/features.ts'
import { addMix, type Evidence, mixWeights } from '../topk/score.ts'

export const termGroups = [
  'popularity',
  'covisit',
  'embedding',
  'content',
  'age',
  'taste',
  'unshown',
] as const
export type TermGroup = (typeof termGroups)[number]
/** Contributions in logits; they sum to the ranker's logit before fatigue and creator weigh it. */
export type Terms = Readonly<Record<TermGroup, number>>

export interface FeatureTerm {
  readonly feature: string
  readonly value: number
  /** Shared weight plus that of the user's bucket. */
  readonly weight: number
  readonly contribution: number
}

/** Errors: RangeError for a feature that stands in no group: a new one has to be given one here. */
export function groupOf(feature: string): TermGroup {
  const [scorer] = feature.split('.')
  if (scorer.startsWith('pop_') || feature === 'item.positives') return 'popularity'
  if (scorer.startsWith('covisit')) return 'covisit'
  if (scorer === 'embedding' || scorer === 'content' || scorer === 'taste') return scorer
  if (scorer === 'item') return 'age'
  throw new RangeError(`feature ${feature} stands in no group`)
}

const groups = featureNames.map(groupOf)

/** @param row of features, in the registry's order. */
export function featureTerms(row: ArrayLike<number>, weights: ArrayLike<number>): FeatureTerm[] {
  return featureNames.map((feature, f) => ({
    feature,
    value: row[f],
    weight: weights[f],
    contribution: weights[f] * row[f],
  }))
}

export function emptyTerms(): Record<TermGroup, number> {
  return {
    popularity: 0,
    covisit: 0,
    embedding: 0,
    content: 0,
    age: 0,
    taste: 0,
    unshown: 0,
  }
}

export function blendTerms(row: ArrayLike<number>, weights: ArrayLike<number>): Terms {
  const terms = emptyTerms()
  for (let f = 0; f < groups.length; f++) terms[groups[f]] += weights[f] * row[f]
  return terms
}

/** Of every candidate, where the fixed mix ranks. */
export function mixTerms(evidence: Evidence): Terms[] {
  const n = evidence.candidates.count
  const sums = new Map<TermGroup, Float64Array>(
    termGroups.map(group => [group, new Float64Array(n)]),
  )
  addMix(
    evidence,
    new Float64Array(n),
    mixWeights,
    term => sums.get(term === 'explore' ? 'unshown' : term === 'cohort' ? 'popularity' : term)!,
  )
  return Array.from({ length: n }, (_, i) => {
    const terms = emptyTerms()
    for (const group of termGroups) terms[group] = sums.get(group)![i]
    return terms
  })
}

export const sumOf = (terms: Terms): number =>
  termGroups.reduce((sum, group) => sum + terms[group], 0)

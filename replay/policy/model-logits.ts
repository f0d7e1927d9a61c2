/**
 * What a pushed model makes of the candidates of a sampled list: the logits that they would have had if it had ranked. The same
 * arithmetic as a worker's (models/scorer.ts), for lists no longer than the cascade.
 */
import { featureCount, featureHash } from '../../topologies/blend/features.ts'
import type { ModelRunner } from '../../topologies/models/runner.ts'
import { rounded } from '../../topologies/topk/score.ts'
import type { SlateRow } from '../../topologies/topk/slates-row.ts'

export type RankedRow = Pick<
  SlateRow,
  'candidates' | 'ranker_features' | 'feature_hash' | 'bucket' | 'log_weights'
>

/** Or why there are none. @param depth option ranker.cascade: how many candidates a model ranks. */
export function logitsBy(
  runner: ModelRunner,
  row: RankedRow,
  depth: number,
): Float64Array | string {
  const n = row.candidates.length
  const { ranker_features: features, log_weights: logWeights } = row
  if (features.length === 0) return 'ranked without features'
  if (row.feature_hash !== featureHash) return 'features of another version'
  if (n > depth) return 'more candidates than ranker.cascade'
  if (features.length !== n * featureCount || logWeights.length !== n) return 'features cut short'
  const scores = new Float64Array(n)
  runner.score(features, n, row.bucket, scores)
  const logits = scores.map((score, i) => rounded(runner.logitOf(score) + logWeights[i]))
  return logits.every(Number.isFinite) ? logits : 'the model gives what is no number'
}

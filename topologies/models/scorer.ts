/**
 * The cascade: the blend scores all candidates of a list, the model ranks the blend's best again. What is below the cascade
 * keeps the blend's order, below all that the model ranked. Where no model is served, the blend's scores stand as they are.
 *
 * One run a list, synchronous (onnxruntime.ts): batching over users would save 7 us of each list's ~450.
 */
import type { OptionValues } from '../../streams/options.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import { BlendScorer } from '../blend/scorer.ts'
import type { ScorerFor } from '../topk/recommend.ts'
import { type Evidence, rounded, type Scorer } from '../topk/score.ts'
import type { ModelHost } from './host.ts'
import type { modelsOptions } from './options.ts'
import { shortSha } from './shelf.ts'

/** A scorer that ranks by the feature matrix, and leaves it for another to rank by. */
export interface FeatureScorer extends Scorer {
  /** Candidates x features of the registry, row-major, of the list scored last. */
  readonly features: Float32Array
  /** Computes them where its own scores did without: the fixed mix, until the blend has learnt enough. */
  fill(evidence: Evidence): void
}

/** As the stages that make lists have it. */
export interface RankingModels {
  readonly scorer: ScorerFor
  /** Emits what is to be told with a commit. */
  flush(out: Pick<Outbox, 'alert' | 'row'>): void
}

export function rankingModels(
  host: ModelHost,
  options: OptionValues<typeof modelsOptions>,
): RankingModels {
  const depth = options['ranker.cascade']
  return {
    scorer: capacity => cascadeScorer(new BlendScorer(capacity), host, depth, capacity),
    flush: out => host.flush(out),
  }
}

/** @param capacity the most candidates of a list. @param depth how many of the best the model ranks. */
export function cascadeScorer(
  blend: FeatureScorer,
  host: ModelHost,
  depth: number,
  capacity: number,
): Scorer {
  const best = new Int32Array(capacity)
  const scores = new Float64Array(Math.min(depth, capacity))
  let name = blend.name
  let model = ''
  return {
    get name() {
      return name
    },
    get model() {
      return model
    },
    get matrix() {
      return blend.matrix
    },
    score(evidence, logits) {
      blend.score(evidence, logits)
      name = blend.name
      model = blend.model
      const { served } = host
      const { candidates, filter, bucket } = evidence
      const { count } = candidates
      if (served === undefined || count === 0) return
      if (name !== 'blend') blend.fill(evidence)
      const n = takeBest(logits, count, depth, best)
      if (!host.score(served, blend.features, best, n, bucket, scores)) return
      name = served.name
      model = shortSha(served.sha256)
      const bestBelow = maxOf(logits, best, n, count)
      let least = Number.POSITIVE_INFINITY
      for (let i = 0; i < n; i++) {
        const at = best[i]
        const logit = served.runner.logitOf(scores[i]) + filter.logWeight(candidates.items[at])
        logits[at] = rounded(logit)
        if (logits[at] < least) least = logits[at]
      }
      for (let i = n; i < count; i++)
        logits[best[i]] = rounded(least - 1 + logits[best[i]] - bestBelow)
    },
  }
}

function maxOf(logits: Float64Array, order: Int32Array, from: number, to: number): number {
  let max = Number.NEGATIVE_INFINITY
  for (let i = from; i < to; i++) if (logits[order[i]] > max) max = logits[order[i]]
  return max
}

/**
 * Puts the `depth` best of the first `count` logits first in `order`, in no order among themselves (quickselect); equal ones
 * may fall to either side. Returns how many those are.
 */
export function takeBest(
  logits: Float64Array,
  count: number,
  depth: number,
  order: Int32Array,
): number {
  for (let i = 0; i < count; i++) order[i] = i
  if (count <= depth) return count
  let low = 0
  let high = count - 1
  while (low < high) {
    const pivot = logits[order[(low + high) >> 1]]
    let i = low
    let j = high
    while (i <= j) {
      while (logits[order[i]] > pivot) i++
      while (logits[order[j]] < pivot) j--
      if (i > j) break
      const moved = order[i]
      order[i++] = order[j]
      order[j--] = moved
    }
    if (depth <= j) high = j
    else if (depth > i) low = i
    else break
  }
  return depth
}

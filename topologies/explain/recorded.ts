/**
 * The ranker of a list with a look inside: scores as the ranker does, by its own code, and keeps what it scored from.
 */
import { BlendScorer } from '../blend/scorer.ts'
import type { ModelHost } from '../models/host.ts'
import { cascadeScorer } from '../models/scorer.ts'
import type { Evidence, Scorer } from '../topk/score.ts'

/** A promoted model that ranks the blend's best `depth` again (models/scorer.ts). */
export interface RankingModel {
  readonly host: ModelHost
  readonly depth: number
}

export class RecordedScorer implements Scorer {
  /** Of the list scored last; readable until the next one. */
  evidence: Evidence | undefined
  /** By candidate: the blend's (or the fixed mix's) logit, and the ranker's, which differs where a model ranks. */
  readonly blended: Float64Array
  readonly ranked: Float64Array
  readonly blend: BlendScorer
  private readonly ranker: Scorer

  constructor(capacity: number, model?: RankingModel) {
    const blend = new BlendScorer(capacity)
    const blended = new Float64Array(capacity)
    this.blend = blend
    this.blended = blended
    this.ranked = new Float64Array(capacity)
    const kept = {
      get name() {
        return blend.name
      },
      model: blend.model,
      features: blend.features,
      fill: (evidence: Evidence) => blend.fill(evidence),
      score(evidence: Evidence, logits: Float64Array) {
        blend.score(evidence, logits)
        blended.set(logits.subarray(0, evidence.candidates.count))
      },
    }
    this.ranker = model ? cascadeScorer(kept, model.host, model.depth, capacity) : kept
  }

  get name(): string {
    return this.ranker.name
  }

  get model(): string {
    return this.ranker.model
  }

  score(evidence: Evidence, logits: Float64Array): void {
    this.ranker.score(evidence, logits)
    this.ranked.set(logits.subarray(0, evidence.candidates.count))
    this.evidence = evidence
  }
}

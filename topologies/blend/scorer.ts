/**
 * The default ranker: the learnt blend; until it has learnt enough, the fixed mix of the same scorers.
 *
 * A cohort's list has no history: what its cohort watches is added to the blend, as in the mix.
 */
import { addFeature, type Evidence, mixScorer, rounded, type Scorer } from '../topk/score.ts'
import { FeatureRows } from './feature-rows.ts'
import { featureCount } from './features.ts'

/** Positives until the blend ranks; with 500 it was .002 of recall@10 less over the whole of MovieTweetings. */
const enough = 150
const cohortWeight = 1

export class BlendScorer implements Scorer {
  readonly model = ''
  name = 'mix'
  private readonly mix: Scorer
  private readonly rows = new FeatureRows()
  private readonly weights = new Float64Array(featureCount)
  private readonly cohort: Float64Array
  /** The features of the candidates scored last, a row each. */
  readonly features: Float32Array
  private isFilled = false

  constructor(capacity: number) {
    this.mix = mixScorer(capacity)
    this.features = new Float32Array(capacity * featureCount)
    this.cohort = new Float64Array(capacity)
  }

  score(evidence: Evidence, logits: Float64Array): void {
    const { blend } = evidence.ask.items
    this.isFilled = false
    if (blend.learnt < enough) {
      this.name = 'mix'
      this.mix.score(evidence, logits)
      return
    }
    this.name = 'blend'
    this.fill(evidence)
    const { features, weights } = this
    const { ask, candidates, filter } = evidence
    const { count: n, items } = candidates
    blend.of(evidence.bucket, weights)
    for (let i = 0; i < n; i++) {
      let logit = 0
      for (let f = 0; f < featureCount; f++) logit += weights[f] * features[i * featureCount + f]
      logits[i] = logit
    }
    if (ask.cohort !== undefined) {
      for (let i = 0; i < n; i++) this.cohort[i] = ask.cohort.get(items[i]) ?? 0
      addFeature(this.cohort, n, cohortWeight, logits)
    }
    for (let i = 0; i < n; i++) logits[i] = rounded(logits[i] + filter.logWeight(items[i]))
  }

  get matrix(): Float32Array | undefined {
    return this.isFilled ? this.features : undefined
  }

  /** Computes `features` of the candidates. */
  fill(evidence: Evidence): void {
    this.isFilled = true
    const { ask, candidates } = evidence
    this.rows.begin(ask, evidence, ask.items.blend.tasteMeans)
    for (let i = 0; i < candidates.count; i++)
      this.rows.write(candidates.items[i], this.features, i * featureCount)
  }
}

/**
 * Logistic regression of the response (target in [0, 1]) to an impression, learnt online:
 *
 *   logit = intercept + source + age + times shown + position + surface + the user's answers + topic + creator + item
 *
 * Each impression is one step of online Newton (the extended Kalman filter of logistic regression; Gaussian beliefs as in
 * Graepel et al., "Web-Scale Bayesian Click-Through Rate Prediction", ICML 2010): with belief N(w, P), prediction p,
 * h = p (1 - p), importance c and v = x'Px,
 *   w += P x c (y - p) / (1 + c h v),   P -= P x x'P c h / (1 + c h v).
 * P is full over the dense coordinates (one-hot features sum to the intercept: a diagonal would see each of them alone) and
 * diagonal for topics, creators and items, whose prior is their shrinkage: a new item has the effect of its topic and its
 * creator until it has its own.
 *
 *  - R1 The importance min(10, 1 / propensity) is divided by its running mean: a policy of small propensities does not learn
 *       faster, only with other shares.
 *  - R2 No step moves a prediction by more than 1 logit, and one that is not finite changes nothing and is counted.
 *  - R3 A little noise is added to the beliefs (a random walk), so that learning never stops. It is added, not multiplied
 *       (forgetting factors let the belief in what is not shown grow without bound).
 */
import {
  at,
  creatorBuckets,
  denseCount,
  type Features,
  itemBuckets,
  topicBuckets,
} from './features.ts'

const most = 10
const furthestLogit = 30
const furthestStep = 1
/** Variance of what a weight may be before anything is known. */
const interceptPrior = 9
const densePrior = 1
const topicPrior = 0.5
export const creatorPrior = 0.1
export const itemPrior = 0.2
/** Of the prior, added an impression: certainty ends at about 100,000 impressions' worth. */
const denseNoise = 1e-9
/** Added an impression of the topic, creator or item: about 20,000 of its own. */
const groupNoise = 2.5e-8
const leastRate = 1e-4

const d = denseCount

/** Weights by bucket, and their variances. */
export class Group {
  readonly weight: Float32Array
  readonly variance: Float32Array
  readonly prior: number

  constructor(buckets: number, prior: number) {
    this.weight = new Float32Array(buckets)
    this.variance = new Float32Array(buckets).fill(prior)
    this.prior = prior
  }
}

export class ResponseModel {
  /** Impressions learnt. */
  learnt = 0
  meanImportance = 1
  readonly weight = new Float64Array(d)
  readonly covariance = new Float64Array(d * d)
  readonly topics = new Group(topicBuckets, topicPrior)
  readonly creators = new Group(creatorBuckets, creatorPrior)
  readonly items = new Group(itemBuckets, itemPrior)
  private readonly gain = new Float64Array(d)

  constructor() {
    for (let i = 0; i < d; i++) this.covariance[i * d + i] = priorOf(i)
  }

  /** The logit of the response. */
  logit(x: Features): number {
    const { weight, topics, creators, items } = this
    let logit = 0
    for (let k = 0; k < x.count; k++) logit += weight[x.index[k]] * x.value[k]
    if (x.topic >= 0) logit += topics.weight[x.topic]
    if (x.creator >= 0) logit += creators.weight[x.creator]
    if (x.item >= 0) logit += items.weight[x.item]
    return Math.min(furthestLogit, Math.max(-furthestLogit, logit))
  }

  /**
   * One step. `x` has all coordinates but the intercept, which is added here. Returns the log loss before it, NaN where the
   * impression was refused.
   */
  learn(x: Features, target: number, propensity: number | null): number {
    if (!(target >= 0 && target <= 1)) return Number.NaN
    const { weight, covariance, topics, creators, items, gain } = this
    x.add(at.intercept, 1)
    const logit = this.logit(x)
    const p = 1 / (1 + Math.exp(-logit))
    const h = Math.max(1e-6, p * (1 - p))

    let variance = 0
    for (let i = 0; i < d; i++) {
      let sum = 0
      for (let k = 0; k < x.count; k++) sum += covariance[i * d + x.index[k]] * x.value[k]
      gain[i] = sum
    }
    for (let k = 0; k < x.count; k++) variance += gain[x.index[k]] * x.value[k]
    if (x.topic >= 0) variance += topics.variance[x.topic]
    if (x.creator >= 0) variance += creators.variance[x.creator]
    if (x.item >= 0) variance += items.variance[x.item]
    const importance = this.importance(propensity)
    const scale = 1 / (1 + importance * h * variance)
    let step = importance * (target - p) * scale
    // R2
    if (!(variance > 0 && scale > 0 && Math.abs(step) < Number.MAX_VALUE)) return Number.NaN
    step = Math.min(furthestStep / variance, Math.max(-furthestStep / variance, step))
    const shrink = importance * h * scale

    for (let i = 0; i < d; i++) {
      const gi = gain[i]
      weight[i] += gi * step
      if (gi === 0) continue
      const by = gi * shrink
      // the upper triangle, mirrored: rounding must not part the halves, since a row holds one
      for (let j = i; j < d; j++) {
        const value = covariance[i * d + j] - by * gain[j]
        covariance[i * d + j] = value
        covariance[j * d + i] = value
      }
    }
    for (let i = 0; i < d; i++) covariance[i * d + i] += denseNoise * priorOf(i)
    if (x.topic >= 0) stepGroup(topics, x.topic, step, shrink)
    if (x.creator >= 0) stepGroup(creators, x.creator, step, shrink)
    if (x.item >= 0) stepGroup(items, x.item, step, shrink)
    this.learnt++
    // log(1 + e^z) - y z, without overflow
    return Math.max(0, logit) + Math.log1p(Math.exp(-Math.abs(logit))) - target * logit
  }

  /** R1 */
  private importance(propensity: number | null): number {
    const given = propensity !== null && propensity > 0 ? Math.min(most, 1 / propensity) : 1
    const rate = Math.max(leastRate, 1 / (this.learnt + 1))
    this.meanImportance += rate * (given - this.meanImportance)
    return given / this.meanImportance
  }
}

function stepGroup(group: Group, bucket: number, step: number, shrink: number): void {
  const before = group.variance[bucket]
  group.weight[bucket] += before * step
  group.variance[bucket] = Math.min(group.prior, before - before * before * shrink + groupNoise)
}

function priorOf(coordinate: number): number {
  return coordinate === at.intercept ? interceptPrior : densePrior
}

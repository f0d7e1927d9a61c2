/**
 * A log-linear choice model learnt online: the probability that a user takes item i of n is exp(w.x_i) / sum exp(w.x_j), with
 * w = shared weights + those of the user's bucket. Each positive, against sampled negatives, makes one online Newton step on
 * both (recursive least squares with the gradient's outer product as curvature; Hazan, Agarwal, Kale: "Logarithmic regret
 * algorithms for online convex optimization", 2007):
 *   g = x_target - sum p x,  v = P g,  q = g.v,  dw = v lambda / (lambda + q),  P <- (P - v v' / (lambda + q)) / lambda
 * Lists are scored with an exponential mean of the weights.
 *
 * Invariants:
 *  - N1 every weight is finite, whatever the features: a step whose gradient is not finite is left out, a step's length is at
 *       most `longestStep`.
 *  - N2 P stays bounded: in a direction that no feature moves in, it would grow by 1 / lambda a step, without end.
 *  - N3 P stays symmetric, bit for bit: what rounding parts of its halves would grow by 1 / lambda a step too, since only what
 *       lies along a gradient is ever taken away, and after some 160,000 steps it would be larger than P. A set whose P is not
 *       positive along the gradient (as rounding may leave it) begins P anew, and keeps its weights.
 */
import { featureCount } from './features.ts'

export const buckets = 7
/** Shared weights, then those of the buckets. */
export const weightSets = 1 + buckets
const f = featureCount

const lambda = 0.9998
const sharedPrior = 0.2
const bucketPrior = 0.04
/** More than any direction that is moved in keeps; below it nothing is touched. */
const mostVariance = 50
const longestStep = 0.05
const meanRate = 0.002
/** Weights that were learnt stay within a few; beyond it they ran away. */
const furthestWeight = 100

export class ChoiceModel {
  readonly weights = new Float64Array(weightSets * f)
  /** What lists are scored with. */
  readonly means = new Float64Array(weightSets * f)
  /** Steps taken by each set. */
  readonly steps = new Float64Array(weightSets)
  /** P of each set, row by row. */
  readonly curvature = new Float64Array(weightSets * f * f)
  /** Steps that were left out since their gradient was not finite. */
  refused = 0
  /** Times that a set's P was begun anew: N3. */
  renewed = 0
  private readonly share: Float64Array
  /** Shared weights plus those of the bucket. */
  private readonly both = new Float64Array(f)
  private readonly gradient = new Float64Array(f)
  private readonly direction = new Float64Array(f)

  /** `rows`: the most candidates of a step, the target among them. */
  constructor(rows: number) {
    this.share = new Float64Array(rows)
    for (let set = 0; set < weightSets; set++) this.renew(set)
  }

  private renew(set: number): void {
    const from = set * f * f
    this.curvature.fill(0, from, from + f * f)
    for (let i = 0; i < f; i++)
      this.curvature[from + i * f + i] = set === 0 ? sharedPrior : bucketPrior
  }

  /**
   * Takes up what was restored into the arrays: P's halves are made one, and a set that no learning leaves behind (a weight that
   * is not finite or beyond `furthestWeight`, a variance that is not positive) begins anew, in P alone where its weights are sane.
   */
  restored(): void {
    const { weights, means, steps, curvature } = this
    for (let set = 0; set < weightSets; set++) {
      const from = set * f * f
      let isSound = true
      for (let i = 0; i < f; i++) {
        isSound &&= curvature[from + i * f + i] > 0
        for (let j = i; j < f; j++) {
          const value = curvature[from + i * f + j]
          isSound &&= Number.isFinite(value)
          curvature[from + j * f + i] = value
        }
      }
      if (!isSound) {
        this.renewed++
        this.renew(set)
      }
      const isSane = (w: number): boolean => Math.abs(w) <= furthestWeight
      const end = (set + 1) * f
      if (
        weights.subarray(set * f, end).every(isSane) &&
        means.subarray(set * f, end).every(isSane)
      )
        continue
      weights.fill(0, set * f, end)
      means.fill(0, set * f, end)
      steps[set] = 0
    }
  }

  /**
   * One step. `x` has `n` rows of features, the target's first; `offsets` are added to the logits (for a negative, the log of
   * how many it stands for; 0 for the target). Returns the loss before the step, NaN for a step that was left out.
   */
  learn(x: Float64Array, n: number, bucket: number, offsets: ArrayLike<number>): number {
    const { share, gradient, weights, both } = this
    const own = (1 + bucket) * f
    for (let i = 0; i < f; i++) both[i] = weights[i] + weights[own + i]
    let max = Number.NEGATIVE_INFINITY
    for (let s = 0; s < n; s++) {
      const logit = offsets[s] + dot(both, x, s * f)
      share[s] = logit
      if (logit > max) max = logit
    }
    let sum = 0
    for (let s = 0; s < n; s++) {
      share[s] = Math.exp(share[s] - max)
      sum += share[s]
    }
    const loss = Math.log(sum) - Math.log(share[0])
    for (let i = 0; i < f; i++) gradient[i] = x[i]
    for (let s = 0; s < n; s++) {
      const p = share[s] / sum
      for (let i = 0; i < f; i++) gradient[i] -= p * x[s * f + i]
    }
    for (let i = 0; i < f; i++)
      if (!Number.isFinite(gradient[i])) {
        this.refused++
        return Number.NaN
      }
    this.step(0)
    this.step(1 + bucket)
    return loss
  }

  private step(set: number): void {
    const { curvature, gradient, direction, weights, means, steps } = this
    const from = set * f * f
    let q = 0
    for (let i = 0; i < f; i++) {
      let v = 0
      for (let j = 0; j < f; j++) v += curvature[from + i * f + j] * gradient[j]
      direction[i] = v
      q += v * gradient[i]
    }
    if (!(q >= 0)) {
      this.renewed++
      this.renew(set)
      return
    }
    const scale = 1 / (lambda + q)
    let length = 0
    for (let i = 0; i < f; i++) length += (direction[i] * lambda * scale) ** 2
    length = Math.sqrt(length)
    const size = lambda * scale * (length > longestStep ? longestStep / length : 1)
    const rate = Math.max(meanRate, 1 / ++steps[set])
    for (let i = 0; i < f; i++) {
      const w = set * f + i
      weights[w] += size * direction[i]
      means[w] += rate * (weights[w] - means[w])
    }
    for (let i = 0; i < f; i++) {
      const v = direction[i] * scale
      for (let j = i; j < f; j++) {
        const value = (curvature[from + i * f + j] - v * direction[j]) / lambda
        curvature[from + i * f + j] = value
        curvature[from + j * f + i] = value
      }
    }
    this.bound(from)
  }

  /** N2: scales row and column of a variance that grew too large, which leaves P positive definite. */
  private bound(from: number): void {
    const { curvature } = this
    for (let i = 0; i < f; i++) {
      const variance = curvature[from + i * f + i]
      if (variance <= mostVariance) continue
      const scale = Math.sqrt(mostVariance / variance)
      for (let j = 0; j < f; j++) {
        curvature[from + i * f + j] *= scale
        curvature[from + j * f + i] *= scale
      }
    }
  }
}

/** Two sums side by side: one alone waits for itself at every addition. */
function dot(weights: Float64Array, x: Float64Array, at: number): number {
  let even = 0
  let odd = 0
  let i = 0
  for (; i + 1 < f; i += 2) {
    even += weights[i] * x[at + i]
    odd += weights[i + 1] * x[at + i + 1]
  }
  if (i < f) even += weights[i] * x[at + i]
  return even + odd
}

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
  private readonly share: Float64Array
  private readonly gradient = new Float64Array(f)
  private readonly direction = new Float64Array(f)

  /** `rows`: the most candidates of a step, the target among them. */
  constructor(rows: number) {
    this.share = new Float64Array(rows)
    for (let set = 0; set < weightSets; set++)
      for (let i = 0; i < f; i++)
        this.curvature[(set * f + i) * f + i] = set === 0 ? sharedPrior : bucketPrior
  }

  /**
   * One step. `x` has `n` rows of features, the target's first; `offsets` are added to the logits (for a negative, the log of
   * how many it stands for; 0 for the target). Returns the loss before the step, NaN for a step that was left out.
   */
  learn(x: Float64Array, n: number, bucket: number, offsets: ArrayLike<number>): number {
    const { share, gradient, weights } = this
    const own = (1 + bucket) * f
    let max = Number.NEGATIVE_INFINITY
    for (let s = 0; s < n; s++) {
      let logit = offsets[s]
      for (let i = 0; i < f; i++) logit += (weights[i] + weights[own + i]) * x[s * f + i]
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
      const row = from + i * f
      const v = direction[i] * scale
      for (let j = 0; j < f; j++)
        curvature[row + j] = (curvature[row + j] - v * direction[j]) / lambda
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

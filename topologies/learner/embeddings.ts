/**
 * Online session embeddings: which item follows a user's last ones.
 *
 * Each item has a context vector C and an output vector Q of length d, and a bias. A user's positive on item i, after the
 * items a_0 (newest), a_1, ... gives one step of stochastic gradient descent:
 *   u       = sum .8^k C[a_k] / sum .8^k, over the last 10
 *   logit_j = bias_j + u . Q_j, for i and 20 sampled negatives
 *   loss    = -log softmax(logit)_i
 * Half of the negatives are uniform over the known items, half from the targets of the last 5,000 positives (so about as
 * popular as the target: without them the bias learns popularity and little else is learnt). A negative that is i itself
 * is passed over. A first positive, without items before it, moves only biases.
 *
 * Invariants:
 *  - E1 the same positives in the same order with the same chance give the same vectors, bit for bit.
 *  - E2 all arithmetic is on typed arrays in place; a step allocates nothing. Measured by learner.bench.ts.
 *  - E3 no step makes a value that is not finite: logits are shifted by their maximum, and a step's size is bounded by
 *       the learning rate times the vectors it is made of.
 */
import { randomFrom } from '../../streams/serde/hash.ts'
import { vectorDimension } from './rows.ts'

export interface EmbeddingOptions {
  readonly learningRate: number
  readonly negatives: number
  /** How many of the newest targets the recent half of the negatives is drawn from. */
  readonly recentPool: number
}

/** Items before the positive that make its context, and the weight of each next one. */
const contextWindow = 10
const contextDecay = 0.8
/**
 * C starts uniform in +-initialScale, Q and bias at 0: a C of 0 as well would be a saddle without a gradient. Recall@10 of
 * the second half of MovieTweetings at .1, .3, .6, 1: .167, .176, .166, .153.
 */
const initialScale = 0.3

const d = vectorDimension

export class SessionEmbeddings {
  context = new Float32Array(1024 * d)
  output = new Float32Array(1024 * d)
  bias = new Float32Array(1024)
  /** Known items: indices 0 to size - 1. */
  size = 0
  /** The items that the last step moved, with doubles; `touchedCount` are valid. */
  readonly touched: Int32Array
  touchedCount = 0

  private readonly options: EmbeddingOptions
  private readonly recent: Int32Array
  private recentCount = 0
  private readonly user = new Float64Array(d)
  private readonly userGradient = new Float64Array(d)
  private readonly drawn: Int32Array
  private readonly share: Float64Array

  constructor(options: EmbeddingOptions) {
    this.options = options
    this.recent = new Int32Array(options.recentPool)
    this.drawn = new Int32Array(options.negatives + 1)
    this.share = new Float64Array(options.negatives + 1)
    this.touched = new Int32Array(options.negatives + 1 + contextWindow)
  }

  /** Makes the next item known; `seed` (a hash of its id) decides where its C starts. Returns its index. */
  add(seed: number): number {
    const index = this.size++
    if (index >= this.bias.length) this.grow()
    const random = randomFrom(seed)
    for (let i = 0; i < d; i++) this.context[index * d + i] = (2 * random() - 1) * initialScale
    return index
  }

  /**
   * One step on a positive: `target` after `history` (newest first, `length` used, of which the first 10 count). Returns
   * the loss before the step.
   */
  learn(target: number, history: ArrayLike<number>, length: number, random: () => number): number {
    const { context, output, bias, user, userGradient, drawn, share } = this
    const { learningRate } = this.options
    const window = Math.min(length, contextWindow)
    const norm = contextMean(context, history, window, user)
    const n = this.draw(target, random)

    let max = Number.NEGATIVE_INFINITY
    for (let s = 0; s < n; s++) {
      const at = drawn[s] * d
      let logit = bias[drawn[s]]
      if (window > 0) for (let i = 0; i < d; i++) logit += user[i] * output[at + i]
      share[s] = logit
      if (logit > max) max = logit
    }
    let sum = 0
    for (let s = 0; s < n; s++) {
      share[s] = Math.exp(share[s] - max)
      sum += share[s]
    }
    const loss = Math.log(sum) - Math.log(share[0])

    // all gradients are taken at the point before the step: an item drawn twice gets the sum of its two
    userGradient.fill(0)
    for (let s = 0; s < n; s++) {
      share[s] = share[s] / sum - (s === 0 ? 1 : 0)
      const at = drawn[s] * d
      for (let i = 0; i < d; i++) userGradient[i] += share[s] * output[at + i]
    }
    for (let s = 0; s < n; s++) {
      const step = learningRate * share[s]
      const item = drawn[s]
      bias[item] -= step
      this.touched[s] = item
      if (window === 0) continue
      const at = item * d
      for (let i = 0; i < d; i++) output[at + i] -= step * user[i]
    }
    this.touchedCount = n
    let weight = learningRate / norm
    for (let k = 0; k < window; k++) {
      const at = history[k] * d
      for (let i = 0; i < d; i++) context[at + i] -= weight * userGradient[i]
      weight *= contextDecay
      this.touched[this.touchedCount++] = history[k]
    }
    this.recent[this.recentCount++ % this.recent.length] = target
    return loss
  }

  /** Writes the target and its negatives to `drawn`, the target first; returns how many. */
  private draw(target: number, random: () => number): number {
    const { drawn, recent } = this
    const recentSize = Math.min(this.recentCount, recent.length)
    let n = 1
    drawn[0] = target
    for (let s = 0; s < this.options.negatives; s++) {
      const chance = random()
      const item =
        s % 2 === 1 && recentSize > 0
          ? recent[Math.floor(chance * recentSize)]
          : Math.floor(chance * this.size)
      if (item !== target) drawn[n++] = item
    }
    return n
  }

  private grow(): void {
    const items = this.bias.length * 2
    this.context = larger(this.context, items * d)
    this.output = larger(this.output, items * d)
    this.bias = larger(this.bias, items)
  }
}

/**
 * u = sum .8^k C[a_k] / sum .8^k over the first `length` of `history`, at most 10, into `user`; returns the sum of the
 * weights. Without history u is 0 and the return 1. Also what top-k asks the nearest items of.
 */
export function contextMean(
  context: Float32Array,
  history: ArrayLike<number>,
  length: number,
  user: Float32Array | Float64Array,
): number {
  user.fill(0)
  let weight = 1
  let sum = 0
  for (let k = 0; k < length && k < contextWindow; k++) {
    const at = history[k] * d
    for (let i = 0; i < d; i++) user[i] += weight * context[at + i]
    sum += weight
    weight *= contextDecay
  }
  if (sum === 0) return 1
  for (let i = 0; i < d; i++) user[i] /= sum
  return sum
}

function larger(array: Float32Array, length: number): Float32Array<ArrayBuffer> {
  const grown = new Float32Array(length)
  grown.set(array)
  return grown
}

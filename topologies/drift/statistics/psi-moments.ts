/**
 * How far PSI's null distribution is from a multiple of chi-square's where few users stand behind the rows. With 50 users
 * of 20 alike rows a tenth of the rows is five users; some windows then have a group without anyone, and the logarithm makes
 * of that what chi-square does not know of. So a side's rows in a group are taken as blocks: n / effect users, as many rows
 * each, binomially many of them in the group; the moments of (r - c) ln(r / c) are summed over those counts, exactly.
 * Groups are taken as independent of each other but for what chi-square's own moments say of that.
 */
import { pseudocount } from './shares.ts'
import { logGamma } from './special.ts'

/** Beyond so many users a side's shares are as good as normal. */
const few = 400

/** Mean, variance and third central moment, as multiples of those of the chi-square approximation. */
export interface MomentRatios {
  readonly mean: number
  readonly variance: number
  readonly third: number
}

export interface Blocks {
  /** Rows. */
  readonly n: number
  /** Rows that are as good as one: the design effect. */
  readonly effect: number
}

/** What the share of one group may be, with the probability of each. */
interface Shares {
  readonly share: Float64Array
  readonly log: Float64Array
  readonly weight: Float64Array
}

/**
 * `p`: the groups' shares under no drift. null where both sides have many users: chi-square will do.
 * Cost: for 50 users on both sides and ten groups, about 10,000 multiplications.
 */
export function momentRatios(
  p: ArrayLike<number>,
  reference: Blocks,
  current: Blocks,
): MomentRatios | null {
  const sides = [reference, current]
  if (p.length < 2 || sides.every(side => users(side) > few)) return null
  // what chi-square says of the sides with few users, to be put right
  const small = sides.reduce((sum, side) => sum + (users(side) > few ? 0 : side.effect / side.n), 0)
  const all = sides.reduce((sum, side) => sum + side.effect / side.n, 0)
  const free = p.length - 1
  let mean = all * free
  let variance = 2 * all ** 2 * free
  let third = 8 * all ** 3 * free
  const plain = { mean, variance, third }
  for (let group = 0; group < p.length; group++) {
    if (!(p[group] > 0 && p[group] < 1)) continue
    const [m1, m2, m3] = rawMoments(
      sharesOf(reference, p[group], p.length),
      sharesOf(current, p[group], p.length),
    )
    const rest = 1 - p[group]
    mean += m1 - rest * small
    variance += m2 - m1 ** 2 - 2 * (rest * small) ** 2
    third += m3 - 3 * m1 * m2 + 2 * m1 ** 3 - 8 * (rest * small) ** 3
  }
  // where hardly anyone stands behind the rows the correction may be larger than what it corrects
  if (!(mean > 0 && variance > 0 && third > 0)) return null
  return {
    mean: mean / plain.mean,
    variance: variance / plain.variance,
    third: third / plain.third,
  }
}

const users = ({ n, effect }: Blocks): number => n / effect

function sharesOf({ n, effect }: Blocks, p: number, groups: number): Shares {
  if (n / effect > few)
    return {
      share: Float64Array.of(p),
      log: Float64Array.of(Math.log(p)),
      weight: Float64Array.of(1),
    }
  const blocks = Math.max(1, Math.round(n / effect))
  const { from, weight } = binomial(blocks, p)
  const share = weight.map(
    (_, i) => (((from + i) * n) / blocks + pseudocount) / (n + pseudocount * groups),
  )
  return { share, log: share.map(Math.log), weight }
}

/** Probabilities of the counts from `from` on, but for less than a millionth. */
function binomial(blocks: number, p: number): { from: number; weight: Float64Array } {
  const spread = Math.sqrt(blocks * p * (1 - p)) + 1
  const from = Math.max(0, Math.floor(blocks * p - 6 * spread))
  const to = Math.min(blocks, Math.ceil(blocks * p + 8 * spread))
  const [hit, miss] = [Math.log(p), Math.log1p(-p)]
  const weight = Float64Array.from({ length: to - from + 1 }, (_, i) => {
    const k = from + i
    const ways = logGamma(blocks + 1) - logGamma(k + 1) - logGamma(blocks - k + 1)
    return Math.exp(ways + k * hit + (blocks - k) * miss)
  })
  return { from, weight }
}

/** Means of t, t^2 and t^3 for t = (r - c) ln(r / c). */
function rawMoments(r: Shares, c: Shares): [number, number, number] {
  let [m1, m2, m3] = [0, 0, 0]
  for (let i = 0; i < r.share.length; i++)
    for (let j = 0; j < c.share.length; j++) {
      const t = (r.share[i] - c.share[j]) * (r.log[i] - c.log[j])
      const weight = r.weight[i] * c.weight[j]
      m1 += weight * t
      m2 += weight * t * t
      m3 += weight * t * t * t
    }
  return [m1, m2, m3]
}

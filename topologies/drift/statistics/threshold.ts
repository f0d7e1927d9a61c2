/**
 * The PSI that chance alone exceeds with probability `alpha` in one window. Without drift and with independent rows PSI is
 * about (1/N + 1/M) chi2(B-1); with alike rows each side's 1/n is scaled by its design effect and B-1 shrinks to what the
 * groups are worth. Where there are few users its moments are corrected (psi-moments.ts) and the distribution is the
 * chi-square with the same mean, variance and skewness, shifted (Pearson's type III). As the design effects are estimated
 * from shards, chi2(k)/k becomes F(k, v), v by Welch and Satterthwaite.
 */
import type { DesignEffect } from './design-effect.ts'
import { type MomentRatios, momentRatios } from './psi-moments.ts'
import { pseudocount, shares, total } from './shares.ts'
import { fUpperQuantile } from './special.ts'

export interface Side {
  /** By group. */
  readonly counts: ArrayLike<number>
  readonly design: DesignEffect
}

const asChi2: MomentRatios = { mean: 1, variance: 1, third: 1 }

/** `alpha`: of this subject and window alone. */
export function psiThreshold(alpha: number, reference: Side, current: Side): number {
  const n = total(reference.counts)
  const m = total(current.counts)
  const r = reference.design.effect / n
  const c = current.design.effect / m
  const worth =
    ((r + c) / (r / Math.sqrt(reference.design.df) + c / Math.sqrt(current.design.df))) ** 2
  const v = (r + c) ** 2 / (r ** 2 / estimated(reference) + c ** 2 / estimated(current))
  // groups that the reference found empty are not expected to hold anything
  const filled = Array.from(reference.counts).filter(count => count > 0).length
  const pooled = Array.from(
    reference.counts,
    (count, group) => (c * (count / n) + r * (current.counts[group] / m)) / (r + c),
  )
  const ratios =
    momentRatios(
      pooled,
      { n, effect: reference.design.effect },
      { n: m, effect: current.design.effect },
    ) ?? asChi2
  const mean = (r + c) * Math.max(1, filled - 1) * ratios.mean
  const deviation = mean * Math.sqrt((2 / worth) * (ratios.variance / ratios.mean ** 2))
  const skewness = Math.sqrt(8 / worth) * (ratios.third / ratios.variance ** 1.5)
  const k = 8 / Math.max(leastSkewness, skewness) ** 2
  const scaled = deviation * Math.sqrt(k / 2)
  return mean + scaled * (fUpperQuantile(alpha, k, v) - 1) + ofEmptyGroups(reference, current)
}

/** What the half counts of groups that are empty on both sides add to PSI: the sides' sizes differ, so it is not 0. */
function ofEmptyGroups({ counts: r }: Side, { counts: c }: Side): number {
  const [p, q] = [shares(r, pseudocount), shares(c, pseudocount)]
  let sum = 0
  for (let group = 0; group < r.length; group++)
    if (r[group] === 0 && c[group] === 0)
      sum += (p[group] - q[group]) * Math.log(p[group] / q[group])
  return sum
}

/** The level of each of `count` subjects so that any of them alarms with probability `alpha` (Sidak; dependence only lowers it). */
export function levelOfEach(alpha: number, count: number): number {
  return 1 - (1 - alpha) ** (1 / Math.max(1, count))
}

/** That of chi-square with 200 degrees of freedom: more normal than that nothing here is. */
const leastSkewness = 0.2

/** Degrees of freedom that a side's mean design effect was estimated with. */
function estimated({ design }: Side): number {
  return (design.shards - 1) * design.df
}

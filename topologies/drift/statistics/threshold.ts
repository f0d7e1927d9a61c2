/**
 * The PSI that chance alone exceeds with probability `alpha` in one window. Without drift and with independent rows PSI is
 * about (1/N + 1/M) chi2(B-1); with alike rows each side's 1/n is scaled by its design effect and B-1 shrinks to what the
 * groups are worth. As these are estimated from shards, chi2(k)/k becomes F(k, v), v by Welch and Satterthwaite.
 */
import type { DesignEffect } from './design-effect.ts'
import { fUpperQuantile } from './special.ts'

export interface Side {
  readonly n: number
  readonly design: DesignEffect
}

export function psiThreshold(
  alpha: number,
  groups: number,
  reference: Side,
  current: Side,
): number {
  const r = reference.design.effect / reference.n
  const c = current.design.effect / current.n
  const k = ((r + c) / (r / Math.sqrt(reference.design.df) + c / Math.sqrt(current.design.df))) ** 2
  const v = (r + c) ** 2 / (r ** 2 / estimated(reference) + c ** 2 / estimated(current))
  return (r + c) * Math.max(1, groups - 1) * fUpperQuantile(alpha, k, v)
}

/** Degrees of freedom that a side's mean design effect was estimated with. */
function estimated({ design }: Side): number {
  return (design.shards - 1) * design.df
}

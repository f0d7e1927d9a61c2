/**
 * An arm against the control: effect, its always-valid interval and p, or why there is none.
 *
 * F1 Where one arm has less than a third of the other's users, its variance counts as no less than the pooled one: of skewed
 *    metrics a small sample that misses the tail has a low mean *and* a low variance, and Welch's form then alarms in 6 to 17%
 *    of streams without an effect (log-normal, 1 user in 10 or in 100). Arms of more equal size are left as the formula has them.
 */
import { alwaysValidP, halfWidth, rhoOf } from './always-valid.ts'
import type { Estimate } from './estimates.ts'

export interface Effect {
  readonly effect: number | null
  readonly low: number | null
  readonly high: number | null
  readonly p: number | null
  /** Why something is null; '' where nothing is. */
  readonly reason: string
}

export interface EffectLimits {
  readonly alpha: number
  /** Users that an arm must have before an interval is given: the formula is one of large numbers. */
  readonly minUsers: number
}

/** There is an effect, and no interval: a variance of 0. */
export const alike = 'all users are alike'

const unknown = { effect: null, low: null, high: null, p: null }

export function effectOf(arm: Estimate, control: Estimate, limits: EffectLimits): Effect {
  if (arm.n === 0) return { ...unknown, reason: 'the arm has no users' }
  if (control.n === 0) return { ...unknown, reason: 'the control has no users' }
  if (arm.mean === null || control.mean === null)
    return { ...unknown, reason: 'nothing to divide by yet' }
  const effect = arm.mean - control.mean
  const without = (reason: string): Effect => ({ ...unknown, effect, reason })
  const least = Math.max(2, limits.minUsers)
  if (arm.n < least || control.n < least) return without(`fewer than ${least} users in an arm`)
  const n = arm.n + control.n
  const s2 = n * (varianceOf(arm, control) / arm.n + varianceOf(control, arm) / control.n)
  if (!(s2 > 0)) return without(alike)
  const rho = rhoOf(limits.alpha)
  const half = halfWidth(s2, n, limits.alpha, rho)
  return {
    effect,
    low: effect - half,
    high: effect + half,
    p: alwaysValidP(effect, s2, n, rho),
    reason: '',
  }
}

/** F1 */
function varianceOf(one: Estimate, other: Estimate): number {
  const own = one.variance ?? 0
  if (3 * one.n >= other.n) return own
  const pooled = (one.n * own + other.n * (other.variance ?? 0)) / (one.n + other.n)
  return Math.max(own, pooled)
}

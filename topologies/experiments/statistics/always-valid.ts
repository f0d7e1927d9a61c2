/**
 * Intervals and p-values that hold however often one looks: a mixture sequential probability ratio test (mSPRT, Robbins
 * 1970; Johari et al., "Always Valid Inference", 2022) in the asymptotic form of Waudby-Smith et al., "Time-uniform central
 * limit theory", 2024, for a difference of two means.
 *
 *   n = n_a + n_b,  s2 = n (v_a / n_a + v_b / n_b)    (v: variance of one user in an arm)
 *   rho = sqrt((-2 ln a + ln(1 - 2 ln a)) / N*)
 *   half-width = sqrt(s2) sqrt(2 (n rho^2 + 1) ln(sqrt(n rho^2 + 1) / a) / (n rho)^2)
 *   p = min(1, sqrt(n rho^2 + 1) exp(-rho^2 S^2 / (2 (n rho^2 + 1)))),  S^2 = (n effect)^2 / s2
 *
 * The interval of level 1 - a leaves 0 out exactly where p < a (for the a that rho was tuned to, and any other).
 */

/** Users of both arms at which the interval is as narrow as it can be made: N*. */
const tunedFor = 5_000

/** @param alpha level of the interval. @param users of both arms, where the interval is to be narrowest. */
export function rhoOf(alpha: number, users = tunedFor): number {
  const twoLog = -2 * Math.log(alpha)
  return Math.sqrt((twoLog + Math.log(1 + twoLog)) / users)
}

/** @param n users of both arms. @param s2 n times the squared standard error of the effect. */
export function halfWidth(s2: number, n: number, alpha: number, rho: number): number {
  const spread = n * rho * rho + 1
  return Math.sqrt((s2 * 2 * spread * Math.log(Math.sqrt(spread) / alpha)) / (n * rho) ** 2)
}

/** As `halfWidth`; 1 where nothing speaks against no effect. */
export function alwaysValidP(effect: number, s2: number, n: number, rho: number): number {
  const spread = n * rho * rho + 1
  const squared = (n * effect) ** 2 / s2
  return Math.min(1, Math.sqrt(spread) * Math.exp((-rho * rho * squared) / (2 * spread)))
}

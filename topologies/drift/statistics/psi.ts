/**
 * Population stability index of shares over the same groups: sum (r - c) ln(r / c), the symmetrised Kullback-Leibler
 * divergence. Shares must be positive; what to do with empty groups is the profile's choice.
 */
export function psi(reference: ArrayLike<number>, current: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < reference.length; i++)
    sum += (reference[i] - current[i]) * Math.log(reference[i] / current[i])
  return sum
}

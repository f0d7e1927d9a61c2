/**
 * First Wasserstein distance from counts in bins with common `edges` (bin i is [edges[i-1], edges[i]), ends open): the
 * integral of |F - G| over the finite edges, linear within a bin. In the values' unit; what lies outside the outermost
 * edges counts as lying on them.
 */
import { total } from './shares.ts'

export function w1(
  reference: ArrayLike<number>,
  current: ArrayLike<number>,
  edges: ArrayLike<number>,
): number {
  const n = total(reference)
  const m = total(current)
  let difference = reference[0] / n - current[0] / m
  let sum = 0
  for (let i = 1; i < edges.length; i++) {
    const before = difference
    difference += reference[i] / n - current[i] / m
    sum += meanAbsolute(before, difference) * (edges[i] - edges[i - 1])
  }
  return sum
}

/** Mean of |x| as x goes linearly from a to b. */
function meanAbsolute(a: number, b: number): number {
  if (a * b >= 0) return Math.abs(a + b) / 2
  return (a * a + b * b) / (2 * Math.abs(a - b))
}

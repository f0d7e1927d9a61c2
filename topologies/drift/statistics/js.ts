/** Jensen-Shannon distance (the root of the divergence), with logarithms to `base`; in [0, 1] for base 2. */
import { kl } from './kl.ts'

export function js(p: ArrayLike<number>, q: ArrayLike<number>, base = Math.E): number {
  const middle = Float64Array.from(p, (value, i) => (value + q[i]) / 2)
  const divergence = (kl(p, middle) + kl(q, middle)) / 2
  return Math.sqrt(Math.max(0, divergence) / Math.log(base))
}

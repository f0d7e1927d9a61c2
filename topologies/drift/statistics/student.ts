/** Quantiles of Student's t, each computed once. */
import { fUpperQuantile } from './special.ts'

const known = new Map<string, number>()

/** The t that |T| exceeds with probability `alpha`; T^2 is F with 1 and `df` degrees of freedom. */
export function tQuantile(alpha: number, df: number): number {
  const key = `${alpha} ${df}`
  const found = known.get(key)
  if (found !== undefined) return found
  const value = Math.sqrt(fUpperQuantile(alpha, 1, df))
  if (known.size > 4096) known.clear()
  known.set(key, value)
  return value
}

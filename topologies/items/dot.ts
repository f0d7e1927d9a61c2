/**
 * Dot product of two vectors that stand in larger arrays. Four sums side by side: one sum alone waits for itself at every
 * addition, and looking at many vectors and likeness (MMR) are half of a list's time. Measured by topk.bench.ts.
 */
export function dot(
  a: Float32Array,
  atA: number,
  b: Float32Array,
  atB: number,
  dimension: number,
): number {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let k = 0
  for (; k + 3 < dimension; k += 4) {
    s0 += a[atA + k] * b[atB + k]
    s1 += a[atA + k + 1] * b[atB + k + 1]
    s2 += a[atA + k + 2] * b[atB + k + 2]
    s3 += a[atA + k + 3] * b[atB + k + 3]
  }
  for (; k < dimension; k++) s0 += a[atA + k] * b[atB + k]
  return s0 + s1 + (s2 + s3)
}

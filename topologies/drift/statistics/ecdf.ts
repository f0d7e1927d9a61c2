/** Distances between the distribution functions of two sorted samples, exactly: every value is a step. */

/**
 * Calls `at` for each distinct value but the last, with how many values of each side lie at or below it and the way to
 * the next.
 */
export function walk(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  at: (i: number, j: number, width: number) => void,
): void {
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const value = j >= b.length || (i < a.length && a[i] <= b[j]) ? a[i] : b[j]
    while (i < a.length && a[i] === value) i++
    while (j < b.length && b[j] === value) j++
    if (i === a.length && j === b.length) return
    const next = j >= b.length || (i < a.length && a[i] <= b[j]) ? a[i] : b[j]
    at(i, j, next - value)
  }
}

/** First Wasserstein distance (the earth mover's): the integral of |F - G|, in the values' unit. Sides are not empty. */
export function w1Of(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  walk(a, b, (i, j, width) => {
    sum += Math.abs(i / a.length - j / b.length) * width
  })
  return sum
}

/** Energy distance as scipy has it: the root of twice the integral of (F - G)^2 (Székely & Rizzo 2013). */
export function energyOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  walk(a, b, (i, j, width) => {
    sum += (i / a.length - j / b.length) ** 2 * width
  })
  return Math.sqrt(2 * sum)
}

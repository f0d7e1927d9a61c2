/**
 * False positive probability of Kuiper's V of `n` rows (Stephens 1965; Paltani 2004), by the four ranges in which it is
 * computed by astropy and frouros. NaN where its terms overflow. `n` is nm / (n + m) of two samples, and need not be whole.
 */
import { logGamma } from './special.ts'

export function kuiperP(v: number, n: number): number {
  if (v < 2 / n) return 1 - factorial(n) * (v - 1 / n) ** (n - 1)
  if (v < 3 / n) {
    const k = -(n * v - 1) / 2
    const root = Math.sqrt(k ** 2 - (n * v - 2) ** 2 / 2)
    const a = -k + root
    const b = -k - root
    const sum = b ** (n - 1) * (1 - a) - a ** (n - 1) * (1 - b)
    return 1 - (factorial(n - 1) * sum) / n ** (n - 2) / (b - a)
  }
  const even = n % 2 === 0
  const odd = n % 2 === 1
  return (v > 0.5 && even) || (v > (n - 1) / (2 * n) && odd) ? stephens(v, n) : limit(v, n)
}

/** The exact upper tail of whole n. */
function stephens(v: number, n: number): number {
  let p = 0
  for (let t = 0; t <= Math.floor(n * (1 - v)); t++) {
    const y = v + t / n
    const three = 3 - 2 / n
    const bracket =
      y ** 3 * n -
      y ** 2 * t * three +
      (y * t * (t - 1) * three) / n -
      (t * (t - 1) * (t - 2)) / n ** 2
    p += y ** (t - 3) * bracket * choose(n, t) * (1 - v - t / n) ** (n - t - 1)
  }
  return p
}

/** Kuiper's limit with its first correction. */
function limit(v: number, n: number): number {
  const z = v * Math.sqrt(n)
  let first = 0
  let second = 0
  for (let m = 1; m < 18.82 / z; m++) {
    const square = 4 * m ** 2 * z ** 2
    const tail = Math.exp(-square / 2)
    first += 2 * (square - 1) * tail
    second += m ** 2 * (square - 3) * tail
  }
  return first - ((8 * v) / 3) * second
}

function factorial(x: number): number {
  return Math.exp(logGamma(x + 1))
}

function choose(n: number, t: number): number {
  let product = 1
  for (let i = 1; i <= t; i++) product *= (n - t + i) / i
  return product
}

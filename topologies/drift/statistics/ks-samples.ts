/**
 * Two-sample Kolmogorov-Smirnov of raw values, with the exact p-value of samples without ties (Hodges 1957), as scipy's
 * `ks_2samp` gives it up to 10,000 rows a side. Above that scipy changes over to the one-sample distribution with
 * round(nm / (n + m)) rows; here the count stays exact while it is affordable, and then is Kolmogorov's limit.
 */
import { walk } from './ecdf.ts'
import { kolmogorovSurvival } from './special.ts'

/** Cells of the count: some 0.5 s. Two sides of equal size never need it. */
const affordable = 1e8

export interface KolmogorovSmirnov {
  /** Largest difference of the distribution functions. */
  readonly d: number
  /** Two-sided. */
  readonly p: number
}

/** Of two sorted sides that are not empty. */
export function ksOf(a: ArrayLike<number>, b: ArrayLike<number>): KolmogorovSmirnov {
  const n = a.length
  const m = b.length
  const divisor = gcd(n, m)
  const h = steps(a, b, divisor)
  const d = h / ((n / divisor) * m)
  return { d, p: Math.min(1, Math.max(0, pOf(n, m, divisor, h, d))) }
}

/** D alone, which costs no count. */
export function ksDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const divisor = gcd(a.length, b.length)
  return steps(a, b, divisor) / ((a.length / divisor) * b.length)
}

/** D in units of 1 / lcm(n, m), so that it is whole. */
function steps(a: ArrayLike<number>, b: ArrayLike<number>, divisor: number): number {
  const perI = b.length / divisor
  const perJ = a.length / divisor
  let h = 0
  walk(a, b, (i, j) => {
    h = Math.max(h, Math.abs(i * perI - j * perJ))
  })
  return h
}

function pOf(n: number, m: number, divisor: number, h: number, d: number): number {
  if (h === 0) return 1
  if (n === m) return equalSides(n, h)
  const cells = Math.max(n, m) * Math.min(Math.min(n, m), 2 * d * Math.min(n, m) + 2)
  if (cells > affordable) return kolmogorovSurvival(d * Math.sqrt((n * m) / (n + m)))
  return outside(Math.max(n, m), Math.min(n, m), divisor, h)
}

/**
 * n = m: the paths that leave the band, by reflection, 2 sum_k (-1)^(k-1) C(2n, n - kh) / C(2n, n), summed by Horner's
 * rule from the smallest term.
 */
function equalSides(n: number, h: number): number {
  let p = 0
  for (let k = Math.floor(n / h); k >= 1; k--) {
    let ratio = 1
    // C(2n, n - kh) over C(2n, n - (k-1)h)
    for (let i = 0; i < h; i++) ratio *= (n - (k - 1) * h - i) / (n + (k - 1) * h + i + 1)
    p = ratio * (1 - p)
  }
  return 2 * p
}

/**
 * The share of lattice paths from (0, 0) to (m, n) that touch or leave |n x - m y| < h * divisor. A path to (x, y) comes
 * from (x - 1, y) with probability x / (x + y); what is outside is 1. Column by column, only within the band.
 */
function outside(m: number, n: number, divisor: number, h: number): number {
  const perX = n / divisor
  const perY = m / divisor
  const column = new Float64Array(n + 2).fill(1)
  let low = 0
  for (let y = 0; y <= n && y * perY < h; y++) column[y] = 0
  for (let x = 1; x <= m; x++) {
    const first = Math.max(0, Math.floor((x * perX - h) / perY) + 1)
    const last = Math.min(n, Math.ceil((x * perX + h) / perY) - 1)
    for (; low < first; low++) column[low] = 1
    let below = first === 0 ? 0 : 1
    for (let y = first; y <= last; y++) {
      below = (column[y] * x + below * y) / (x + y)
      column[y] = below
    }
  }
  return column[n]
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b)
}

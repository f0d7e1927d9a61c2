/** How numbers between 0 and 1 are spread. */
export interface Distribution {
  readonly n: number
  /** null where n is 0, as are the next two. */
  readonly mean: number | null
  readonly median: number | null
  readonly p10: number | null
  /** Counts of twenty bins of .05; 1 is in the last. */
  readonly bins: readonly number[]
}

const binCount = 20

export function distributionOf(values: readonly number[]): Distribution {
  const sorted = [...values].sort((a, b) => a - b)
  const bins = new Array<number>(binCount).fill(0)
  for (const value of sorted)
    bins[Math.max(0, Math.min(binCount - 1, Math.floor(value * binCount + 1e-9)))]++
  const n = sorted.length
  return {
    n,
    mean: n === 0 ? null : sorted.reduce((sum, value) => sum + value, 0) / n,
    median: quantile(sorted, 0.5),
    p10: quantile(sorted, 0.1),
    bins,
  }
}

/** Linear between the nearest ranks (type 7 of Hyndman and Fan 1996). */
function quantile(sorted: readonly number[], q: number): number | null {
  if (sorted.length === 0) return null
  const at = q * (sorted.length - 1)
  const low = Math.floor(at)
  const high = Math.min(sorted.length - 1, low + 1)
  return sorted[low] + (at - low) * (sorted[high] - sorted[low])
}

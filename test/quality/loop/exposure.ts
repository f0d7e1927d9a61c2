/** How exposure is spread over a catalog. */

/** Gini coefficient of counts: 0 where all are equal, near 1 where one has everything; NaN of nothing. */
export function gini(counts: readonly number[]): number {
  const sorted = [...counts].sort((a, b) => a - b)
  const n = sorted.length
  const total = sorted.reduce((sum, x) => sum + x, 0)
  const ranked = sorted.reduce((sum, x, i) => sum + (i + 1) * x, 0)
  return (2 * ranked) / (n * total) - (n + 1) / n
}

/** Part of the items that were shown at all. */
export function coverage(counts: readonly number[]): number {
  return counts.filter(count => count > 0).length / counts.length
}

/**
 * Exposure of new items against their fair share, by how often they had been shown by then. Fair: what the same draw gives
 * where every score is the truth.
 */
export class NewItemCurve {
  private readonly edges: readonly number[]
  private readonly shown: number[]
  private readonly fair: number[]
  private readonly seen = new Map<string, number>()

  /** `edges`: impressions at which a step of the curve begins, the first 0. */
  constructor(edges: readonly number[]) {
    this.edges = edges
    this.shown = edges.map(() => 0)
    this.fair = edges.map(() => 0)
  }

  follow(itemId: string): void {
    this.seen.set(itemId, 0)
  }

  /** A page: what stood on it, and what would have stood on it. */
  page(shown: readonly string[], fair: readonly string[]): void {
    for (const id of fair) this.count(this.fair, id)
    for (const id of shown) {
      this.count(this.shown, id)
      const had = this.seen.get(id)
      if (had !== undefined) this.seen.set(id, had + 1)
    }
  }

  private count(into: number[], itemId: string): void {
    const had = this.seen.get(itemId)
    if (had === undefined) return
    const step = this.edges.findLastIndex(edge => had >= edge)
    into[step]++
  }

  steps(): { from: number; shown: number; fair: number }[] {
    return this.edges.map((from, i) => ({ from, shown: this.shown[i], fair: this.fair[i] }))
  }
}

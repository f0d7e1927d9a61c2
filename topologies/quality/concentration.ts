/** How impressions are spread over items and creators. */

export interface Concentration {
  /** Gini coefficient of the impressions of creators that were shown: 0 all alike, towards 1 one has all. */
  readonly gini: number
  /** Part of the impressions that go to the tenth of the creators (rounded up) that are shown most. */
  readonly topShare: number
  readonly impressions: number
}

/** Of counts above 0; null without one. */
export function concentration(counts: readonly number[]): Concentration | null {
  if (counts.length === 0) return null
  const sorted = Float64Array.from(counts).sort()
  const n = sorted.length
  let total = 0
  let weighted = 0
  for (let i = 0; i < n; i++) {
    total += sorted[i]
    weighted += (2 * (i + 1) - n - 1) * sorted[i]
  }
  let top = 0
  for (let i = n - Math.ceil(n / 10); i < n; i++) top += sorted[i]
  return { gini: weighted / (n * total), topShare: top / total, impressions: total }
}

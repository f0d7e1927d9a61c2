/**
 * What a place is worth, and the sums of it by user: intervals are taken over users, since one user's events hang together.
 * One item is right, so that recall@10 is whether it is among the ten, NDCG@10 = 1 / log2(place + 1) (Jaervelin and
 * Kekaelaeinen 2002, with an ideal of 1) and MRR@10 = 1 / place; 0 beyond the tenth.
 */
import { depth } from './top.ts'

export const metrics = ['recall@10', 'ndcg@10', 'mrr@10'] as const
export type Metric = (typeof metrics)[number]

/** Place from 1; 0: not among the ten. */
export function gain(metric: Metric, place: number): number {
  if (place < 1 || place > depth) return 0
  if (metric === 'recall@10') return 1
  return metric === 'ndcg@10' ? 1 / Math.log2(place + 1) : 1 / place
}

/**
 * `all`: predictions of items that had an event before; `secondHalf`: those of them among the last half of the log's events;
 * `newItems`: predictions of items without an earlier event, which nothing that learns from behaviour can rank.
 */
export const parts = ['all', 'secondHalf', 'newItems'] as const
export type Part = (typeof parts)[number]

/** Sums by user (numbered from 0) of one scorer. */
export class Sums {
  /** By user: sums of each metric, in the order of `metrics`. */
  readonly gains: Record<Part, number[][]>
  private readonly listed: Record<Part, Set<number>>

  constructor() {
    const empty = (): number[][] => metrics.map(() => [])
    this.gains = { all: empty(), secondHalf: empty(), newItems: empty() }
    this.listed = { all: new Set(), secondHalf: new Set(), newItems: new Set() }
  }

  /** Counts a prediction; `items` are those of the list, `size` valid. */
  add(part: Part, user: number, place: number, items: Int32Array, size: number): void {
    const { listed } = this
    for (let k = 0; k < size; k++) listed[part].add(items[k])
    metrics.forEach((metric, m) => {
      const sums = this.gains[part][m]
      while (sums.length <= user) sums.push(0)
      sums[user] += gain(metric, place)
    })
  }

  /** How many different items stood among anyone's ten. */
  distinct(part: Part): number {
    return this.listed[part].size
  }
}

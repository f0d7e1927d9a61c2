/** Which of the user's own items an item's co-visitation comes from. */
import type { ItemTable } from '../items/table.ts'
import type { Ask } from '../topk/retrieve/ask.ts'
import { Covisit, covisitScorers, covisitWindow } from '../topk/retrieve/covisit.ts'

/** The scorers' numbers (S, D, F, L of retrieve/covisit.ts) that one of the user's items gives another. */
export interface CovisitPart {
  /** The user's k-th newest positive. */
  readonly k: number
  readonly from: number
  readonly s: number
  readonly next: number
  readonly recent: number
  readonly long: number
}

/**
 * Strongest first by S. The scorer's own code runs once for each of the user's items, with the neighbours of that one alone:
 * the parts sum to what it says of all.
 */
export function covisitParts(ask: Ask, item: number): CovisitPart[] {
  const parts: CovisitPart[] = []
  const covisit = new Covisit()
  const scores = new Float64Array(covisitScorers)
  let only = -1
  const alone: ItemTable = Object.create(ask.items, {
    neighbours: {
      value: (index: number) => (index === only ? ask.items.neighbours(index) : undefined),
    },
  })
  for (let k = 0; k < Math.min(ask.length, covisitWindow); k++) {
    only = ask.history[k]
    covisit.accumulate({ ...ask, items: alone })
    if (!covisit.scoresOf(item, scores)) continue
    const [s, , next, recent, long] = scores
    parts.push({ k, from: only, s, next, recent, long })
  }
  return parts.sort((a, b) => b.s - a.s)
}

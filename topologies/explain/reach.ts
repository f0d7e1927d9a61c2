/** How far each source of candidates was from naming an item: what retrieval looked at, and where the item stands there. */

import { covisitDepth, covisitScorers, namedByS } from '../topk/retrieve/covisit.ts'
import { newestLooked } from '../topk/retrieve/explore.ts'
import type { Listing, Scored } from './listing.ts'

export interface Reach {
  /** Rank by decayed positives at each half-life, from 1; 0: none left. Retrieval went down to `looked` in turns over them. */
  readonly popularity: {
    readonly ranks: readonly { readonly halfLifeMs: number; readonly rank: number }[]
    readonly looked: number
  }
  /** Half of the source's places go by S, the rest by F (retrieve/covisit.ts). */
  readonly covisit: { readonly s: CovisitReach; readonly f: CovisitReach }
  /** u . Q, its rank among all items with a vector (retrieval asks for the nearest, without their bias); null: there is none. */
  readonly embedding: {
    readonly nearness: number
    readonly rank: number
    readonly of: number
  } | null
  /**
   * Rank by publication, from 1, and whether that is new enough for the half of `explore` that looks at the newest alone; its
   * other half is drawn from the whole catalog.
   */
  readonly newest: { readonly rank: number; readonly looked: number; readonly isNew: boolean }
  /** Cosine to what the user watched, its rank among all items with content; null: the user or the item has none. */
  readonly content: {
    readonly cosine: number
    readonly rank: number
    readonly of: number
  } | null
  readonly impressions: number
}

/** The item's number, its rank among all that the user's items lead to (0: none does), and the least that was named by it. */
export interface CovisitReach {
  readonly value: number
  readonly rank: number
  readonly of: number
  readonly least: number | null
}

/** Looks through all items. */
export function reachOf(listing: Listing, item: number): Reach {
  const { evidence } = listing
  const { ask, covisit, embedding, content } = evidence
  const { items, countedUntil } = ask
  const better = (of: (item: number) => number, than = item): number => {
    const own = of(than)
    let rank = 1
    for (let i = 0; i < items.size; i++) if (of(i) > own) rank++
    return rank
  }
  const rankAt = (h: number, i: number): number =>
    items.decayed(h, i, countedUntil) > 0
      ? better(other => items.decayed(h, other, countedUntil))
      : 0
  const scores = new Float64Array(covisitScorers)
  const scorerOf = (scorer: number) => (i: number) =>
    covisit.scoresOf(i, scores) ? scores[scorer] : 0
  const named = listing.candidates.filter(({ source }) => source === 'covisit')
  const sOf = scorerOf(0)
  const byS = named.slice(0, namedByS(ask.perSource)).filter(
    // where few of the most S are admitted, F names the rest of its places too
    each => better(sOf, each.item) <= covisitDepth(ask.perSource),
  )
  const covisitReach = (of: (item: number) => number, those: readonly Scored[]): CovisitReach => ({
    value: of(item),
    rank: of(item) > 0 ? better(of) : 0,
    of: countWhere(items.size, i => of(i) > 0),
    least: those.length === 0 ? null : Math.min(...those.map(each => of(each.item))),
  })
  const nearnessOf = (i: number) =>
    (embedding.logit(ask, i) ?? Number.NEGATIVE_INFINITY) - items.bias[i]
  const hasContent = (i: number) => items.contentAt(i) >= 0
  const cosineOf = (i: number) =>
    hasContent(i) ? content.similarity(ask, i) : Number.NEGATIVE_INFINITY
  const hasLogit = embedding.logit(ask, item) !== undefined
  const newest = items.newest(Math.max(newestLooked, items.size)).indexOf(item) + 1
  return {
    popularity: {
      ranks: items.halfLivesMs.map((halfLifeMs, h) => ({ halfLifeMs, rank: rankAt(h, item) })),
      looked: lookedAt(listing),
    },
    covisit: {
      s: covisitReach(sOf, byS),
      f: covisitReach(scorerOf(3), named.slice(byS.length)),
    },
    embedding: hasLogit
      ? {
          nearness: nearnessOf(item),
          rank: better(nearnessOf),
          of: countWhere(items.size, i => items.hasVector(i)),
        }
      : null,
    newest: { rank: newest, looked: newestLooked, isNew: newest > 0 && newest <= newestLooked },
    content:
      content.present && hasContent(item)
        ? {
            cosine: cosineOf(item),
            rank: better(cosineOf),
            of: countWhere(items.size, hasContent),
          }
        : null,
    impressions: items.impressions(item),
  }
}

/** The worst rank, by its best half-life, of what popularity named: retrieval goes down all half-lives at once. */
function lookedAt({ candidates, evidence }: Listing): number {
  const { items } = evidence.ask
  const best = items.halfLivesMs.map((_, h) => items.popular(h, 1024))
  let looked = 0
  for (const { item, source } of candidates) {
    if (source !== 'popularity') continue
    const ranks = best.map(list => list.indexOf(item) + 1).filter(rank => rank > 0)
    looked = Math.max(looked, Math.min(...ranks))
  }
  return looked
}

function countWhere(size: number, holds: (item: number) => boolean): number {
  let n = 0
  for (let i = 0; i < size; i++) if (holds(i)) n++
  return n
}

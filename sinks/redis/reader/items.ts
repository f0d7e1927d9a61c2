/** The items of a list as it stands in Redis, in either format (CONTRACT 2: `topk.format`). */
export interface ListedItem {
  readonly id: string
  readonly score: number
  readonly p: number | null
  readonly src: string
  readonly x: boolean
}

const letters: Readonly<Record<string, string>> = {
  p: 'popularity',
  c: 'covisit',
  k: 'knn',
  e: 'embedding',
  n: 'content',
  x: 'explore',
  o: 'other',
}

interface Compact {
  readonly ids: readonly string[]
  readonly scores: readonly number[]
  readonly p: readonly number[]
  readonly src: string
  /** Positions with explore = true. */
  readonly x: readonly number[]
}

/** By position. Errors: TypeError for what is no list. */
export function itemsOfList(list: object): ListedItem[] {
  if (!('ids' in list))
    return (list as { items: readonly ListedItem[] }).items.map(item => ({
      ...item,
      x: item.x ?? false,
    }))
  const { ids, scores, p, src, x } = list as Compact
  const explored = new Set(x)
  return ids.map((id, k) => ({
    id,
    score: scores[k],
    p: p[k],
    src: letters[src[k]] ?? 'other',
    x: explored.has(k),
  }))
}

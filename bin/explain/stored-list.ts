/** A user's list as it stands in the view store: the user's own, in either format of CONTRACT 2. */
import type { ViewReader } from '../../streams/sinks.ts'
import { listKey } from '../../topologies/sessions/views.ts'

export interface StoredItem {
  readonly id: string
  readonly score: number
  readonly p: number
  readonly src: string
  readonly x: boolean
}

export interface StoredList {
  readonly version: string
  readonly policy: string
  readonly model: string
  /** Processing time at which it was drawn, ms. */
  readonly at: number
  readonly items: readonly StoredItem[]
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

/** null where the user has none of their own: readers get the cohort's or the global one. */
export async function readStoredList(
  views: Pick<ViewReader, 'json'>,
  surface: string,
  user: string,
): Promise<StoredList | null> {
  const found = await views.json(listKey(surface, user))
  if (found === null) return null
  const { version, policy, model, at } = found
  return {
    version: String(version),
    policy: String(policy),
    model: String(model),
    at: Number(at),
    items: Array.isArray(found.items) ? (found.items as StoredItem[]) : compactItems(found),
  }
}

function compactItems(found: Readonly<Record<string, unknown>>): StoredItem[] {
  const {
    ids = [],
    scores = [],
    p = [],
    src = '',
    x = [],
  } = found as {
    ids?: string[]
    scores?: number[]
    p?: number[]
    src?: string
    x?: number[]
  }
  return ids.map((id, k) => ({
    id,
    score: scores[k],
    p: p[k],
    src: letters[src[k]] ?? 'other',
    x: x.includes(k),
  }))
}

/** A user's list as it stands in the view store: the user's own, in either format of CONTRACT 2. */
import { itemsOfList, type ListedItem } from '../../sinks/redis/reader/items.ts'
import type { ViewReader } from '../../streams/sinks.ts'
import { listKey } from '../../topologies/sessions/views.ts'

export interface StoredList {
  readonly version: string
  readonly policy: string
  readonly model: string
  /** Processing time at which it was drawn, ms. */
  readonly at: number
  readonly items: readonly ListedItem[]
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
    items: itemsOfList(found),
  }
}

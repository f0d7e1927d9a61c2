/**
 * For whoever shows the lists (CONTRACT 2, "Reading"): which list to show, and what to log for each item that was visible.
 * No dependency but something with `get`, as ioredis has it. Give `zscore` too and withdrawn items are dropped.
 *  - The user's list, else one of the cohort's 16, else one of the 16 for all; else an empty page. Never an error.
 *  - A propensity is the probability of the item *given those above it*. Where an item was dropped or moved, that condition
 *    no longer holds from there on: null below the first dropped one, exact above it.
 */
import { itemsOfList, type ListedItem } from './items.ts'

/** Lists carry the arms; this deals them for what comes from elsewhere (schemas/arms.ts says how). */
export { assign } from '../../../schemas/arms.ts'

export interface RedisLike {
  get(key: string): Promise<string | null>
  mget?(...keys: string[]): Promise<(string | null)[]>
  zscore?(key: string, member: string): Promise<string | null>
  zmscore?(key: string, ...members: string[]): Promise<(string | null)[]>
}

export interface Page {
  /** Where the list was found. */
  readonly from: 'user' | 'cohort' | 'global' | 'nowhere'
  readonly version: string | null
  readonly policy: string
  readonly model: string
  readonly experiments: Readonly<Record<string, string>>
  readonly surface: string
  readonly cohort: string
  /** `index`: the place in the list as it was written. */
  readonly items: readonly (ListedItem & { readonly index: number })[]
}

export interface ReadOptions {
  /** '' or absent for a logged-out viewer. */
  readonly userId?: string
  readonly cohort?: string
  /** Default home. */
  readonly surface?: string
  /** Default freshet: */
  readonly prefix?: string
  /** Items of yours that must not be shown, besides what is in `blocked`. */
  readonly drop?: (itemId: string) => boolean
  /** For tests; a number in [0, 1). */
  readonly random?: () => number
  /** Told of what went wrong: Redis away, a value that is no list. The page is then the next best one. */
  readonly onError?: (error: unknown) => void
}

const draws = 16

/** Reads once; page through the copy for as long as the screen is open. */
export async function readPage(redis: RedisLike, options: ReadOptions = {}): Promise<Page> {
  const { userId = '', cohort = '', surface = 'home', prefix = 'freshet:', onError } = options
  const n = Math.floor((options.random ?? Math.random)() * draws)
  const keys: { from: 'user' | 'cohort' | 'global'; key: string }[] = []
  if (userId) keys.push({ from: 'user', key: `${prefix}topk:${surface}:u:${userId}` })
  if (cohort) keys.push({ from: 'cohort', key: `${prefix}topk:${surface}:c:${cohort}:${n}` })
  keys.push({ from: 'global', key: `${prefix}topk:${surface}:global:${n}` })
  for (const { from, key } of keys) {
    try {
      const text = await redis.get(key)
      if (text === null) continue
      const list = JSON.parse(text) as Omit<Page, 'from' | 'items'>
      const items = itemsOfList(list).map((item, index) => ({ ...item, index }))
      const blocked = await blockedOf(
        redis,
        `${prefix}blocked`,
        items.map(({ id }) => id),
        onError,
      )
      return {
        from,
        version: list.version,
        policy: list.policy ?? '',
        model: list.model ?? '',
        experiments: list.experiments ?? {},
        surface,
        cohort,
        items: withoutDropped(items, id => blocked.has(id) || (options.drop?.(id) ?? false)),
      }
    } catch (error) {
      onError?.(error)
    }
  }
  return {
    from: 'nowhere',
    version: null,
    policy: '',
    model: '',
    experiments: {},
    surface,
    cohort,
    items: [],
  }
}

/** Leaves items out and sets p to null below the first one that is missing. */
function withoutDropped<I extends { readonly id: string; readonly p: number | null }>(
  items: readonly I[],
  drop: (id: string) => boolean,
): I[] {
  const kept: I[] = []
  let exact = true
  for (const item of items) {
    if (drop(item.id)) exact = false
    else kept.push(exact ? item : { ...item, p: null })
  }
  return kept
}

/** A blocked list that can't be read hides nothing: what is withdrawn leaves the lists themselves within minutes. */
async function blockedOf(
  redis: RedisLike,
  key: string,
  ids: readonly string[],
  onError: ReadOptions['onError'],
): Promise<Set<string>> {
  try {
    if (ids.length === 0) return new Set()
    const scores = redis.zmscore
      ? await redis.zmscore(key, ...ids)
      : redis.zscore
        ? await Promise.all(ids.map(async id => redis.zscore?.(key, id) ?? null))
        : []
    return new Set(ids.filter((_, i) => scores[i] !== null && scores[i] !== undefined))
  } catch (error) {
    onError?.(error)
    return new Set()
  }
}

const sources: ReadonlySet<string> = new Set([
  'popularity',
  'covisit',
  'knn',
  'embedding',
  'content',
  'explore',
])

/**
 * The fields of `freshet.Impression` that come from the list, for the item at `position` of what was shown; add eventId,
 * userId, requestId, ts, context and consent. `asServed: false` where you moved or mixed in items: then p is not known.
 */
export function impressionFields(
  page: Page,
  itemId: string,
  shown: { readonly position: number; readonly slateSize: number; readonly asServed?: boolean },
) {
  const item = page.items.find(({ id }) => id === itemId)
  return {
    itemId,
    position: shown.position,
    slateSize: shown.slateSize,
    surface: page.surface,
    cohort: page.cohort,
    policy: item ? page.policy : '',
    modelVersion: item ? page.model : '',
    listVersion: item ? page.version : null,
    listIndex: item ? item.index : null,
    candidateSource: item && sources.has(item.src) ? item.src : 'other',
    score: item ? item.score : null,
    propensity: item && shown.asServed !== false ? item.p : null,
    explore: item ? item.x : false,
    experiments: page.experiments,
  }
}

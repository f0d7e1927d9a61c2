/** One pass over all keys of a run's views: how many there are of each sort, and a sample of what is to be compared. */
import type { ViewReader } from '../../streams/sinks.ts'
import { HashSample } from './sample.ts'

/** Cohorts are few, but nothing says how few. */
const mostSets = 500

export interface Census {
  /** Keys by sort: `sessions`, `lists`, `cohort lists`, `global lists`, `popularity`, `similar`, `other`. */
  readonly keys: Readonly<Record<string, number>>
  readonly sessionUsers: readonly string[]
  readonly listUsers: readonly string[]
  readonly surfaces: readonly string[]
  /** Keys of sorted sets. */
  readonly popularity: readonly string[]
  /** Keys of lists without a user. */
  readonly shared: readonly string[]
}

/** @param users sampled of each sort. @param onKey told now and then how many keys were seen. */
export async function census(
  reader: ViewReader,
  users: number,
  onKey: (keys: number) => void = () => {},
): Promise<Census> {
  const keys: Record<string, number> = {}
  const sessions = new HashSample(users)
  const lists = new HashSample(users)
  const popularity = new HashSample(mostSets)
  const shared = new HashSample(mostSets * 16)
  const surfaces = new Set<string>()
  let n = 0
  for await (const key of reader.scan('', true)) {
    if (++n % 4096 === 0) onKey(n)
    const sort = take(key)
    keys[sort] = (keys[sort] ?? 0) + 1
  }
  return {
    keys,
    sessionUsers: sessions.names(),
    listUsers: lists.names(),
    surfaces: [...surfaces].sort(),
    popularity: popularity.names().sort(),
    shared: shared.names().sort(),
  }

  function take(key: string): string {
    if (key.startsWith('session:')) {
      sessions.add(key.slice('session:'.length))
      return 'sessions'
    }
    const list = /^topk:([a-z0-9-]+):(u|c|global):(.*)$/s.exec(key)
    if (list) {
      surfaces.add(list[1])
      if (list[2] === 'u') {
        lists.add(list[3])
        return 'lists'
      }
      shared.add(key)
      return list[2] === 'c' ? 'cohort lists' : 'global lists'
    }
    if (key.startsWith('pop:')) {
      if (key !== 'pop:at') popularity.add(key)
      return 'popularity'
    }
    return key.startsWith('similar:') ? 'similar' : 'other'
  }
}

/** Runs `read` for all, so many at a time, in order. */
export async function inTurn<T, R>(
  all: readonly T[],
  read: (one: T) => Promise<R>,
  atOnce = 64,
): Promise<R[]> {
  const found: R[] = []
  for (let k = 0; k < all.length; k += atOnce)
    found.push(...(await Promise.all(all.slice(k, k + atOnce).map(read))))
  return found
}

/** Lists of two runs: rank-biased overlap and overlap@10, user by user; and of lists without a user by what their draws come to. */
import type { ViewReader } from '../../streams/sinks.ts'
import { type Census, inTurn } from './census.ts'
import { type Distribution, distributionOf } from './distribution.ts'
import { overlapAt, rboExt } from './rbo.ts'
import { sampledOfBoth } from './sample.ts'

const depth = 10
const shownWorst = 10
/** A draw's item of rank k counts for so much less than that of rank k - 1, as in RBO. */
const rankWeight = 0.9

export interface WorstList {
  /** User, cohort, or '' for all. */
  readonly of: string
  readonly surface: string
  readonly rbo: number
  readonly overlap10: number
}

export interface ListFigures {
  readonly both: number
  readonly onlyReplay: number
  readonly onlyWith: number
  /** Lists of the same items in the same order. */
  readonly identical: number
  readonly rbo: Distribution
  readonly overlap10: Distribution
  /** The least alike, least first. */
  readonly worst: readonly WorstList[]
}

export interface TopkFigures {
  readonly users: ListFigures
  readonly bySurface: readonly {
    readonly surface: string
    readonly both: number
    readonly rbo: number | null
  }[]
  /** Of cohorts and of all: the rankings that their draws come to. */
  readonly shared: ListFigures
}

interface Pair {
  readonly of: string
  readonly surface: string
  readonly replay: readonly string[] | null
  readonly with: readonly string[] | null
}

/** @param nameOf what stands for a user in the report. */
export async function compareLists(
  readers: readonly [ViewReader, ViewReader],
  of: readonly [Census, Census],
  limit: number,
  nameOf: (userId: string) => string,
): Promise<TopkFigures> {
  const surfaces = [...new Set([...of[0].surfaces, ...of[1].surfaces])].sort()
  const users = sampledOfBoth(of[0].listUsers, of[1].listUsers, limit)
  const asked = users.flatMap(user => surfaces.map(surface => ({ user, surface })))
  const pairs = await inTurn(asked, async ({ user, surface }): Promise<Pair> => {
    const key = `topk:${surface}:u:${user}`
    const [replay, other] = await Promise.all(readers.map(reader => reader.json(key)))
    return { of: nameOf(user), surface, replay: itemsOf(replay), with: itemsOf(other) }
  })
  return {
    users: figuresOf(pairs),
    bySurface: surfaces.map(surface => {
      const { both, rbo } = figuresOf(pairs.filter(pair => pair.surface === surface))
      return { surface, both, rbo: rbo.mean }
    }),
    shared: figuresOf(await sharedPairs(readers, of)),
  }
}

/** Ids, best first; either format of lists. */
export function itemsOf(list: Record<string, unknown> | null): string[] | null {
  if (list === null) return null
  if (Array.isArray(list.ids)) return list.ids.map(String)
  if (!Array.isArray(list.items)) return []
  return list.items.map(item => String((item as { id?: unknown }).id))
}

function figuresOf(pairs: readonly Pair[]): ListFigures {
  const found: WorstList[] = []
  let identical = 0
  let onlyReplay = 0
  let onlyWith = 0
  for (const { of, surface, replay, with: other } of pairs) {
    if (replay === null || other === null) {
      if (replay !== null) onlyReplay++
      if (other !== null) onlyWith++
      continue
    }
    const isSame = replay.length === other.length && replay.every((item, k) => item === other[k])
    if (isSame) identical++
    found.push({
      of,
      surface,
      rbo: isSame ? 1 : rboExt(replay, other),
      overlap10: overlapAt(replay, other, depth),
    })
  }
  return {
    both: found.length,
    onlyReplay,
    onlyWith,
    identical,
    rbo: distributionOf(found.map(({ rbo }) => rbo)),
    overlap10: distributionOf(found.map(({ overlap10 }) => overlap10)),
    worst: found
      .filter(({ rbo }) => rbo < 1)
      .sort((a, b) => a.rbo - b.rbo)
      .slice(0, shownWorst),
  }
}

/**
 * Lists of cohorts are several independent draws, at other moments in each run: single ones differ by chance alone. What is
 * compared is the ranking of items by the sum over draws of .9^rank.
 */
async function sharedPairs(
  readers: readonly [ViewReader, ViewReader],
  of: readonly [Census, Census],
): Promise<Pair[]> {
  const groups = new Map<string, string[]>()
  for (const key of new Set([...of[0].shared, ...of[1].shared])) {
    const group = key.replace(/:\d+$/, '')
    const keys = groups.get(group)
    if (keys) keys.push(key)
    else groups.set(group, [key])
  }
  return inTurn(
    [...groups],
    async ([group, keys]): Promise<Pair> => {
      const [, surface, kind, ...rest] = group.split(':')
      const draws = async (reader: ViewReader): Promise<string[] | null> => {
        const lists = (await Promise.all(keys.map(key => reader.json(key)))).map(itemsOf)
        const there = lists.filter(list => list !== null)
        return there.length === 0 ? null : consensus(there)
      }
      const [replay, other] = await Promise.all(readers.map(draws))
      return { of: kind === 'c' ? rest.join(':') : '', surface, replay, with: other }
    },
    8,
  )
}

function consensus(draws: readonly (readonly string[])[]): string[] {
  const weights = new Map<string, number>()
  for (const draw of draws)
    for (const [k, item] of draw.entries())
      weights.set(item, (weights.get(item) ?? 0) + rankWeight ** k)
  return [...weights].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([item]) => item)
}

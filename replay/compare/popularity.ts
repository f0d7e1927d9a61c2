/** Popularity sets of two runs: how far their counts agree, and where they differ most. */
import type { ViewReader } from '../../streams/sinks.ts'
import type { Census } from './census.ts'

/** As many as a set has at most. */
const setSize = 1_000
const shownItems = 10

export interface ItemDifference {
  readonly set: string
  readonly item: string
  readonly replay: number
  readonly with: number
}

export interface SetFigures {
  readonly set: string
  readonly items: number
  /** Of items with equal counts (1e-9 relative), among all of either. */
  readonly equal: number
  readonly onlyReplay: number
  readonly onlyWith: number
  readonly totalReplay: number
  readonly totalWith: number
  /** Sum of the smaller by sum of the larger of each item's two counts: 1 where all are equal. */
  readonly agreement: number
}

export interface CountFigures {
  /** `pop:at`, event time that the sets are true for, ms. */
  readonly atReplay: number | null
  readonly atWith: number | null
  readonly sets: readonly SetFigures[]
  /** Of all sets together; null where neither has one. */
  readonly agreement: number | null
  readonly largest: readonly ItemDifference[]
}

type Members = readonly { readonly member: string; readonly score: number }[]

export async function compareCounts(
  readers: readonly [ViewReader, ViewReader],
  of: readonly [Census, Census],
): Promise<CountFigures> {
  const names = [...new Set([...of[0].popularity, ...of[1].popularity])].sort()
  const sets: SetFigures[] = []
  const largest: ItemDifference[] = []
  const sums = { smaller: 0, larger: 0 }
  for (const name of names) {
    const [replay, other] = await Promise.all(readers.map(reader => reader.zset(name, setSize)))
    sets.push(compareSets(name, replay, other, largest, sums))
  }
  const at = await Promise.all(readers.map(reader => reader.string('pop:at')))
  return {
    atReplay: at[0] === null ? null : Number(at[0]),
    atWith: at[1] === null ? null : Number(at[1]),
    sets,
    agreement: names.length === 0 ? null : agreementOf(sums),
    largest,
  }
}

function compareSets(
  set: string,
  replay: Members,
  other: Members,
  largest: ItemDifference[],
  all: { smaller: number; larger: number },
): SetFigures {
  const mine = new Map(replay.map(({ member, score }) => [member, score]))
  const theirs = new Map(other.map(({ member, score }) => [member, score]))
  const items = new Set([...mine.keys(), ...theirs.keys()])
  const sums = { smaller: 0, larger: 0 }
  const only = { replay: 0, with: 0 }
  let equal = 0
  for (const item of items) {
    const a = mine.get(item)
    const b = theirs.get(item)
    if (a === undefined) only.with++
    else if (b === undefined) only.replay++
    else if (Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b))) equal++
    sums.smaller += Math.min(a ?? 0, b ?? 0)
    sums.larger += Math.max(a ?? 0, b ?? 0)
    if (a !== b) keepLargest(largest, { set, item, replay: a ?? 0, with: b ?? 0 })
  }
  all.smaller += sums.smaller
  all.larger += sums.larger
  return {
    set,
    items: items.size,
    equal,
    onlyReplay: only.replay,
    onlyWith: only.with,
    totalReplay: replay.reduce((sum, { score }) => sum + score, 0),
    totalWith: other.reduce((sum, { score }) => sum + score, 0),
    agreement: agreementOf(sums),
  }
}

const agreementOf = ({ smaller, larger }: { smaller: number; larger: number }): number =>
  larger > 0 ? smaller / larger : 1

function keepLargest(largest: ItemDifference[], found: ItemDifference): void {
  largest.push(found)
  largest.sort((a, b) => Math.abs(b.replay - b.with) - Math.abs(a.replay - a.with))
  if (largest.length > shownItems) largest.pop()
}

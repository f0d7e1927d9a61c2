/** A list's features from the JSON of `freshet explain`, by the formulas of docs/learning.md written out, sharing no code. */
import { expect } from 'vitest'

interface Decayed {
  readonly asOf: number
  readonly values: readonly { readonly halfLifeMs: number; readonly value: number }[]
}
export interface Item {
  readonly item: string
  readonly positives: number
  readonly impressions: number
  readonly firstPositiveAt: number
  readonly lastPositiveAt: number
  readonly decayed: Decayed
  readonly vectors: { context: number[]; output: number[]; bias: number } | null
}
export interface Neighbour {
  readonly item: string
  readonly w: number
  readonly d: number
  readonly f: number
  readonly positives: number
}
interface Candidate extends Item {
  readonly source: string
  readonly features: readonly number[]
  readonly fatigue: number
  readonly creatorWeight: number
  readonly logit: number
}
export interface Explained {
  readonly user: {
    readonly positives: readonly { item: string; at: number }[]
    readonly exclusions: readonly { item: string; reason: string }[]
    readonly shown: readonly { item: string; last7d: number }[]
    readonly session: { readonly watches: number }
  }
  readonly stored: { readonly version: string; readonly at: number } | null
  readonly listing: {
    readonly countedUntil: number
    readonly policy: string
    readonly bucket: number
    readonly features: readonly string[]
    readonly weights: { readonly learnt: number; readonly values: readonly number[] }
    readonly world: {
      readonly items: number
      readonly positives: number
      readonly mostPositives: number
      readonly decayed: readonly { halfLifeMs: number; sum: number; most: number }[]
      readonly tasteMeans: readonly number[]
    }
    readonly history: readonly (Item & {
      readonly neighbours: { readonly asOf: number; readonly items: readonly Neighbour[] } | null
    })[]
    readonly candidates: readonly Candidate[]
    readonly list: readonly { id: string; score: number; p: number }[]
  }
  readonly item?: {
    readonly sentence: string
    readonly verdict: { readonly kind: string; readonly reason?: string }
    readonly covisits: readonly { from: string; s: number }[]
  }
  readonly notes: readonly string[]
}

/** The registry's features by docs/learning.md, from the JSON; sums over items are taken here. */
export function recountOf(
  { history, candidates, world, countedUntil }: Explained['listing'],
  hidden: Item,
  sent: ReadonlyMap<string, number>,
) {
  const all = new Map<string, Item>(
    [...candidates, ...history, hidden].map(item => [item.item, item]),
  )
  const liked = [...all.values()].filter(({ positives }) => positives > 0)
  expect(world.items).toBe(sent.size)
  expect(world.positives).toBe([...sent.values()].reduce((a, b) => a + b, 0))
  const n = sent.size
  const hour = 3_600_000
  const pair = (score: number, sum: number, most: number): number[] =>
    score > 0 && sum > 1e-20
      ? [Math.log((score * n) / sum + 0.05) - Math.log(0.05), Math.sqrt(Math.min(1, score / most))]
      : [0, 0]
  const neighbours = new Map<string, { s: number; d: number; f: number; l: number }>()
  const positivesOf = new Map<string, number>()
  history.forEach(({ neighbours: row, positives }, k) => {
    for (const { item, w, d, f, positives: own } of row?.items ?? []) {
      const old = (row!.asOf - countedUntil) / hour
      const sums = neighbours.get(item) ?? { s: 0, d: 0, f: 0, l: 0 }
      sums.s += 0.8 ** k * w
      sums.d += 0.7 ** k * 2 ** (old / 6) * d
      sums.f += 0.7 ** k * 2 ** (old / 336) * f
      sums.l += (0.97 ** k * w) / (positives + 5)
      neighbours.set(item, sums)
      positivesOf.set(item, own)
    }
  })
  const covisitsOf = (item: string): number[] => {
    const sums = neighbours.get(item)
    if (!sums) return [0, 0, 0, 0, 0, 0]
    const rare = 1 / Math.sqrt(positivesOf.get(item)! + 5)
    return [sums.s, sums.s * rare, sums.d, sums.f, sums.l, sums.l * rare]
  }
  const covisits = [...neighbours.keys()].map(covisitsOf)
  const known = history.filter(({ vectors }) => vectors !== null).slice(0, 10)
  const norm = known.reduce((sum, _, k) => sum + 0.8 ** k, 0)
  const context = Array.from({ length: 32 }, (_, i) =>
    known.reduce((sum, { vectors }, k) => sum + (0.8 ** k * vectors!.context[i]) / norm, 0),
  )
  const logitOf = ({ vectors }: Item): number =>
    vectors === null ? 0 : vectors.bias + vectors.output.reduce((s, q, i) => s + q * context[i], 0)
  // of the 60 nearest and the most watched: all, in so small a world
  const largest = Math.max(...[...all.values()].filter(i => i.vectors !== null).map(logitOf))
  const decayed = ({ decayed: { asOf, values } }: Item, h: number): number =>
    values[h].value * 2 ** ((asOf - countedUntil) / values[h].halfLifeMs)
  const age = ({ firstPositiveAt: first }: Item): number =>
    first > 0 ? Math.log1p((countedUntil - first) / hour) : 0
  const tasteOf = (item: Item): number[] => [
    Math.log1p(item.positives),
    age(item),
    Math.log((60 * decayed(item, 2) + 1) / (decayed(item, 4) + 1)),
  ]
  const taste = [0, 1, 2].map(
    t =>
      history.reduce((sum, item) => sum + tasteOf(item)[t], 0) / history.length -
      world.tasteMeans[t],
  )
  return (item: Item): number[] => {
    const counts = item.decayed.values.flatMap((_, h) => {
      const sum = world.decayed[h].sum
      const listed = liked.reduce((total, each) => total + decayed(each, h), 0)
      expect(Math.abs(listed / sum - 1)).toBeLessThan(1e-4)
      return pair(decayed(item, h), sum, world.decayed[h].most)
    })
    const own = covisitsOf(item.item)
    const logit = logitOf(item) - largest
    const idle = item.lastPositiveAt > 0 ? countedUntil - item.lastPositiveAt : 365 * 24 * hour
    return [
      ...counts,
      ...pair(item.positives, world.positives, world.mostPositives),
      ...own.flatMap((score, f) =>
        pair(
          score,
          covisits.reduce((sum, each) => sum + each[f], 0),
          Math.max(...covisits.map(each => each[f])),
        ),
      ),
      logit,
      Math.exp(logit),
      0,
      0.1 * age(item),
      0.1 * Math.log1p(Math.max(0, idle) / 60_000),
      0.1 * Math.log1p(item.positives),
      ...tasteOf(item).map((value, t) => 0.1 * taste[t] * value),
    ]
  }
}

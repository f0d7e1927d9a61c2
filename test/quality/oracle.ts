/**
 * A second implementation of prequential evaluation for tiny logs, as plain as can be: nothing is kept between predictions
 * but the list of events, and every score is summed anew from it. Popularity, decayed popularity and co-visitation only:
 * what they are can be said in a line.
 */
export interface LogEvent {
  readonly user: string
  readonly item: string
  /** ms */
  readonly ts: number
}

export interface OracleSettings {
  /** In the order of time. */
  readonly events: readonly LogEvent[]
  readonly catalog: readonly string[]
  readonly halfLivesMs: readonly number[]
  readonly activeWithinMs?: number
  readonly scoreEvery: number
}

interface OracleFigures {
  n: number
  recall: number
  ndcg: number
  mrr: number
  listed: Set<string>
}

export type OracleAnswer = Record<'all' | 'secondHalf' | 'newItems', Record<string, OracleFigures>>

const HOUR_12 = 12 * 3_600_000

export function oracle(settings: OracleSettings): { answer: OracleAnswer; items: number } {
  const { events, catalog, scoreEvery } = settings
  const answer: OracleAnswer = { all: {}, secondHalf: {}, newItems: {} }
  let firsts = 0
  events.forEach((event, n) => {
    const before = events.slice(0, n)
    if (before.some(other => other.user === event.user && other.item === event.item)) return
    if (firsts++ % scoreEvery !== 0) return
    const candidates = candidatesOf(settings, before, event)
    const isNew = !before.some(other => other.item === event.item)
    const parts = isNew
      ? (['newItems'] as const)
      : n >= events.length / 2
        ? (['all', 'secondHalf'] as const)
        : (['all'] as const)
    for (const [name, scores] of Object.entries(rankers(settings, before, event, candidates))) {
      const list = [...candidates].sort((a, b) => compare(scores(b), scores(a)) || (a < b ? -1 : 1))
      const place = list.indexOf(event.item) + 1
      for (const part of parts) {
        const figures = answer[part][name] ?? {
          ...{ n: 0, recall: 0, ndcg: 0, mrr: 0 },
          listed: new Set<string>(),
        }
        answer[part][name] = figures
        for (const item of list.slice(0, 10)) figures.listed.add(item)
        figures.n++
        if (place === 0 || place > 10) continue
        figures.recall += 1
        figures.ndcg += Math.LN2 / Math.log(1 + place)
        figures.mrr += 1 / place
      }
    }
  })
  return { answer, items: new Set([...catalog, ...events.map(event => event.item)]).size }
}

function candidatesOf(
  { catalog, activeWithinMs }: OracleSettings,
  before: readonly LogEvent[],
  { user, ts }: LogEvent,
): string[] {
  const seen = new Set(before.filter(other => other.user === user).map(other => other.item))
  const known =
    activeWithinMs === undefined
      ? [...catalog, ...before.map(other => other.item)]
      : before.filter(other => other.ts >= ts - activeWithinMs).map(other => other.item)
  return [...new Set(known)].filter(item => !seen.has(item))
}

type Scores = (item: string) => readonly number[]

function rankers(
  { halfLivesMs }: OracleSettings,
  before: readonly LogEvent[],
  { user }: LogEvent,
  candidates: readonly string[],
): Record<string, Scores> {
  const at = before.at(-1)?.ts ?? 0
  /** As a logarithm: a short half-life underflows within days. */
  const decayed = (item: string, halfLife: number): number => {
    // counts are kept by the minute in which they came
    const minutes = before
      .filter(each => each.item === item)
      .map(each => each.ts - (each.ts % 60_000))
    if (minutes.length === 0) return Number.NEGATIVE_INFINITY
    const newest = Math.max(...minutes)
    const sum = minutes.reduce((all, minute) => all + 2 ** ((minute - newest) / halfLife), 0)
    return Math.log2(sum) + (newest - at) / halfLife
  }
  const firsts = before.filter(
    (each, n) =>
      !before.slice(0, n).some(other => other.user === each.user && other.item === each.item),
  )
  const history = firsts.filter(each => each.user === user).reverse()
  /** W[a][b]: over each user, .8^k where the two are k + 1 apart in the order of first positives. */
  const together = (a: string, b: string): number => {
    let sum = 0
    for (const name of new Set(firsts.map(each => each.user))) {
      const own = firsts.filter(each => each.user === name).map(each => each.item)
      const apart = Math.abs(own.indexOf(a) - own.indexOf(b)) - 1
      if (own.includes(a) && own.includes(b) && apart < 23)
        sum += Math.round(4096 * 0.8 ** apart) / 4096
    }
    return sum
  }
  const scores = (of: Scores): Scores => {
    const known = new Map(candidates.map(item => [item, of(item)]))
    return item => known.get(item) ?? []
  }
  return {
    popularity: scores(item => [before.filter(other => other.item === item).length]),
    ...Object.fromEntries(
      halfLivesMs.map(halfLife => [
        `decayed ${halfLife}`,
        scores(item => [decayed(item, halfLife)]),
      ]),
    ),
    covisit: scores(item => [
      history.slice(0, 24).reduce((sum, each, k) => sum + 0.8 ** k * together(each.item, item), 0),
      decayed(item, HOUR_12),
    ]),
  }
}

/** Sums taken in another order differ in their last digits; decayed counts are kept as float32. */
function compare(a: readonly number[], b: readonly number[]): number {
  for (let k = 0; k < a.length; k++)
    if (a[k] !== b[k] && !(Math.abs(a[k] - b[k]) < 1.5e-7)) return a[k] > b[k] ? 1 : -1
  return 0
}

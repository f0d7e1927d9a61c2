/**
 * What p means, written out: the conditional probability of each item of a list at its position, given the items above it
 * and the candidates, computed from a whole draw as it stands in the table `slates`. Independent of `slate.ts` and
 * `narrowing.ts` on purpose, and slow: for checks, and for whoever re-weighs logs.
 *
 * A reader of a list alone cannot compute p: the candidates that were not drawn are not in it. Where all candidates are in
 * the list and no rule binds, the list's own scores and temperature are enough:
 * p_k = exp(score_k / T) / sum over l >= k of exp(score_l / T), `score` being the logit after the penalty.
 */
import { EXPLORED, FRESH, type SlateRules } from './rules.ts'

export interface DrawnCandidate {
  /** The logit before any penalty. */
  readonly weight: number
  /** Equal numbers are one creator / first topic; -1: unknown. */
  readonly creator: number
  readonly topic: number
  /** Groups, FRESH and EXPLORED as in rules.ts; absent: none. */
  readonly marks?: number
  /** Unit vector; empty or zeros: like nothing. */
  readonly vector: ArrayLike<number>
}

export interface Draw {
  readonly rules: SlateRules
  readonly candidates: readonly DrawnCandidate[]
  /** Candidate number at each position of the list. */
  readonly picked: readonly number[]
}

/** p of each position. NaN where the rules forbid what stands there. Not of thompson: its samples are in no row. */
export function propensitiesOf(draw: Draw): number[] {
  return draw.picked.map((pick, position) => {
    const odds = chancesAfter(draw.picked.slice(0, position), draw.candidates, draw.rules)
    return odds.get(pick) ?? Number.NaN
  })
}

/** The chance of each candidate that may stand below `above`. */
export function chancesAfter(
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): ReadonlyMap<number, number> {
  const allowed = allowedAfter(above, candidates, rules)
  const value = new Map(allowed.map(i => [i, valueAfter(i, above, candidates, rules)]))
  const of = (i: number) => value.get(i) ?? Number.NaN
  if (rules.policy === 'plackett-luce' && rules.temperature > 0)
    return new Map(
      allowed.map(pick => {
        const sum = allowed.reduce(
          (s, i) => s + Math.exp((of(i) - of(pick)) / rules.temperature),
          0,
        )
        return [pick, 1 / sum]
      }),
    )
  const greedy = greedyOf(allowed, of)
  const spent = exploredIn(above, candidates, rules) >= rules.exploreMost
  const epsilon = rules.policy === 'epsilon' && !spent ? rules.epsilon : 0
  return new Map(
    allowed.map(pick => [pick, (pick === greedy ? 1 - epsilon : 0) + epsilon / allowed.length]),
  )
}

/** The candidates that the rules allow below `above`. */
export function allowedAfter(
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): number[] {
  return allowedGiven(exploredIn(above, candidates, rules), above, candidates, rules)
}

/** `explored`: how many of `above` were. */
function allowedGiven(
  explored: number,
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): number[] {
  let left = candidates
    .map((_, i) => i)
    .filter(i => !above.includes(i) && !cappedAfter(i, above, candidates, rules))
  const unless = (broken: (i: number) => boolean): void => {
    const others = left.filter(i => !broken(i))
    if (others.length > 0) left = others
  }
  const marked = (i: number, mark: number) => ((candidates[i].marks ?? 0) & mark) !== 0
  if (explored >= rules.exploreMost) unless(i => marked(i, EXPLORED))
  const wanted = missing(above, left, candidates, rules)
  if (wanted.length > 0) unless(i => !wanted.some(mark => marked(i, mark)))
  const last = above.slice(-rules.topicRun).map(i => candidates[i].topic)
  if (rules.topicRun > 0 && last.length === rules.topicRun && new Set(last).size === 1)
    if (last[0] !== -1) unless(i => candidates[i].topic === last[0])
  return left
}

function cappedAfter(
  i: number,
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): boolean {
  const { creator, marks = 0 } = candidates[i]
  if (creator !== -1 && rules.creatorCap > 0)
    if (above.filter(j => candidates[j].creator === creator).length >= rules.creatorCap) return true
  return rules.caps.some(
    ({ mark, most }) =>
      (marks & mark) !== 0 &&
      above.filter(j => ((candidates[j].marks ?? 0) & mark) !== 0).length >= most,
  )
}

/** Marks of which one must come next, so that every floor can still be kept; [] where anything may. */
function missing(
  above: readonly number[],
  left: readonly number[],
  candidates: readonly DrawnCandidate[],
  { floors, fresh, size }: SlateRules,
): number[] {
  const having = (mark: number, all: readonly number[]) =>
    all.filter(i => ((candidates[i].marks ?? 0) & mark) !== 0).length
  for (let length = above.length + 1; length <= size; length++) {
    const asked = floors.map(({ mark, share, after }) => ({
      mark,
      // tenths of a millionth, so that .1 + .2 is .3
      of: length > after ? Math.floor(Math.round(share * length * 1e7) / 1e7) : 0,
    }))
    if (fresh !== null && length === Math.min(fresh.ofFirst, size))
      asked.push({ mark: FRESH, of: fresh.atLeast })
    const slots = length - above.length
    const marks: number[] = []
    let sum = 0
    for (const { mark, of } of asked) {
      const short = Math.min(of - having(mark, above), having(mark, left))
      if (short <= 0 || sum >= slots) continue
      sum += short
      marks.push(mark)
    }
    if (sum >= slots) return marks
  }
  return []
}

/** How many of `above` were explored: marked so, or picked by chance against the best. */
function exploredIn(
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): number {
  if (rules.exploreMost >= rules.size) return 0
  const byChance = rules.policy !== 'plackett-luce' || rules.temperature === 0
  let explored = 0
  above.forEach((pick, position) => {
    const before = above.slice(0, position)
    const allowed = allowedGiven(explored, before, candidates, rules)
    const best = greedyOf(allowed, i => valueAfter(i, before, candidates, rules))
    if (((candidates[pick].marks ?? 0) & EXPLORED) !== 0 || (byChance && pick !== best)) explored++
  })
  return explored
}

function greedyOf(allowed: readonly number[], value: (i: number) => number): number {
  return allowed.reduce((best, i) => (value(i) > value(best) ? i : best), allowed[0])
}

/** The logit of a candidate after the penalty for likeness to those above. */
function valueAfter(
  i: number,
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): number {
  const { weight, vector } = candidates[i]
  const likeness = above.slice(0, rules.mmrPositions).map(other => {
    let cosine = 0
    for (let k = 0; k < vector.length; k++) cosine += vector[k] * (candidates[other].vector[k] ?? 0)
    return cosine
  })
  const most = Math.max(0, ...likeness)
  return rules.mmr > 0 && most > 0 ? Math.round((weight - rules.mmr * most) * 1000) / 1000 : weight
}

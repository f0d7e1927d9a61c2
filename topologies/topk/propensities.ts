/**
 * What p means, written out: the conditional probability of each item of a list at its position, given the items above it
 * and the candidates, computed from a whole draw as it stands in the table `slates`. Independent of `slate.ts` on purpose,
 * and slow: for checks, and for whoever re-weighs logs.
 *
 * A reader of a list alone cannot compute p: the candidates that were not drawn are not in it. Where all candidates are in
 * the list and no rule binds, the list's own scores and temperature are enough:
 * p_k = exp(score_k / T) / sum over l >= k of exp(score_l / T), `score` being the logit after the penalty.
 */
import type { SlateRules } from './slate.ts'

export interface DrawnCandidate {
  /** The logit before any penalty. */
  readonly weight: number
  /** Equal numbers are one creator / first topic; -1: unknown. */
  readonly creator: number
  readonly topic: number
  /** Unit vector; empty or zeros: like nothing. */
  readonly vector: ArrayLike<number>
}

export interface Draw {
  readonly rules: SlateRules
  readonly candidates: readonly DrawnCandidate[]
  /** Candidate number at each position of the list. */
  readonly picked: readonly number[]
}

/** p of each position. NaN where the rules forbid what stands there. */
export function propensitiesOf({ rules, candidates, picked }: Draw): number[] {
  return picked.map((pick, position) => {
    const above = picked.slice(0, position)
    const allowed = allowedAfter(above, candidates, rules)
    if (!allowed.includes(pick)) return Number.NaN
    const value = (i: number) => valueAfter(i, above, candidates, rules)
    if (rules.policy === 'plackett-luce' && rules.temperature > 0) {
      const own = value(pick)
      return 1 / allowed.reduce((sum, i) => sum + Math.exp((value(i) - own) / rules.temperature), 0)
    }
    const greedy = allowed.reduce((best, i) => (value(i) > value(best) ? i : best))
    const epsilon = rules.policy === 'epsilon' ? rules.epsilon : 0
    return (pick === greedy ? 1 - epsilon : 0) + epsilon / allowed.length
  })
}

/** The candidates that the rules allow below `above`. */
export function allowedAfter(
  above: readonly number[],
  candidates: readonly DrawnCandidate[],
  rules: SlateRules,
): number[] {
  const byCreator = (creator: number) => above.filter(i => candidates[i].creator === creator).length
  const left = candidates
    .map((_, i) => i)
    .filter(i => !above.includes(i))
    .filter(i => {
      const { creator } = candidates[i]
      return creator === -1 || rules.creatorCap === 0 || byCreator(creator) < rules.creatorCap
    })
  if (rules.topicRun === 0 || above.length < rules.topicRun) return left
  const last = above.slice(-rules.topicRun).map(i => candidates[i].topic)
  if (last[0] === -1 || last.some(topic => topic !== last[0])) return left
  const others = left.filter(i => candidates[i].topic !== last[0])
  return others.length > 0 ? others : left
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

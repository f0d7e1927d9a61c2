/**
 * Which rows a combination of dims counts in. '' stands for all: of policies, of arms, of surfaces.
 *
 *  - hours and days: each of policy, surface and arm named or not, in all combinations; cohorts (`segment` `cohort=...`)
 *    by policy and for all policies;
 *  - minutes: one of policy, surface and arm named, or none.
 *
 * An impression in several experiments counts in an arm of each.
 */
import type { Dims } from '../ledger/dims.ts'

export interface Marginal {
  readonly policy: string
  readonly arm: string
  readonly surface: string
  readonly segment: string
}

/** Rows of a window at most: those with fewest names first. Policies times surfaces times arms is seldom near it. */
const mostMarginals = 300

export function marginalsOf(dims: Dims, isMinute: boolean): Marginal[] {
  const { policy, surface, cohort } = dims
  const arms = ['', ...dims.arms]
  if (isMinute)
    return [
      ...arms.map(arm => ({ policy: '', arm, surface: '', segment: '' })),
      { policy, arm: '', surface: '', segment: '' },
      { policy: '', arm: '', surface, segment: '' },
    ]
  const list: Marginal[] = []
  for (const p of ['', policy])
    for (const s of ['', surface])
      for (const arm of arms) list.push({ policy: p, arm, surface: s, segment: '' })
  const segment = `cohort=${cohort}`
  list.push(
    { policy: '', arm: '', surface: '', segment },
    { policy, arm: '', surface: '', segment },
  )
  return list
}

function marginalKey({ policy, arm, surface, segment }: Marginal): string {
  return `${policy}\u0000${arm}\u0000${surface}\u0000${segment}`
}

const names = ({ policy, arm, surface, segment }: Marginal): number =>
  [policy, arm, surface, segment].filter(name => name !== '').length

/** Things gathered by marginal, those kept in order: few names first, then by name, so that a replay keeps the same. */
export class ByMarginal<T> {
  private readonly byKey = new Map<string, { readonly marginal: Marginal; readonly value: T }>()
  private readonly make: () => T

  constructor(make: () => T) {
    this.make = make
  }

  of(marginal: Marginal): T {
    const key = marginalKey(marginal)
    let known = this.byKey.get(key)
    if (!known) {
      known = { marginal, value: this.make() }
      this.byKey.set(key, known)
    }
    return known.value
  }

  kept(): { readonly marginal: Marginal; readonly value: T }[] {
    return [...this.byKey.entries()]
      .sort(([a, x], [b, y]) => names(x.marginal) - names(y.marginal) || (a < b ? -1 : 1))
      .slice(0, mostMarginals)
      .map(([, each]) => each)
  }
}

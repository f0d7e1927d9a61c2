/** What a user has finished or refused, as plain values: for who asks why. */
import type { StoredUser } from './stored-user.ts'
import { itemOfExclusion, timeOfExclusion } from './user-state.ts'

const HOUR = 3_600_000
/** By the reason's number (user-state.ts), and of approvals by the kind's (creator-weights.ts). */
const reasons = ['finished', 'hidden', 'disliked', 'reported'] as const
const kinds = ['liked', 'saved', 'shared', 'followed'] as const

export interface Exclusion {
  readonly item: number
  readonly reason: (typeof reasons)[number]
  /** Event time, ms, to the hour. */
  readonly at: number
}

export interface Approval {
  readonly item: number
  readonly kind: (typeof kinds)[number]
  readonly at: number
}

/** Newest last. Of each item the gravest reason, which does not say that it is in force: `topk.repeat` lets finished ones end. */
export function exclusionsOf({ state }: StoredUser): Exclusion[] {
  return (state.excluded?.values ?? []).map(value => ({
    item: itemOfExclusion(value),
    reason: reasons[value % 4],
    at: Math.floor(timeOfExclusion(value) / 4) * HOUR,
  }))
}

export function approvalsOf({ state }: StoredUser): Approval[] {
  return (state.approved?.values ?? []).map(value => ({
    item: itemOfExclusion(value),
    kind: kinds[value % 4],
    at: Math.floor(timeOfExclusion(value) / 4) * HOUR,
  }))
}

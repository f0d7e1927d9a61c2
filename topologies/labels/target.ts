/**
 * What an impression was worth, as one number in [0, 1]: a declared mix of objectives, moved by feedback.
 *
 *   target = clamp01( sum w_k objective_k / sum w_k  +  sum feedback weights of the kinds given )
 *
 * Objectives: `click` (a click, or a play that was joined), `graded` (the quantile of the share watched among plays of like
 * duration, quantiles.ts; 0 without a play), `completion` (the play ended finished), `return1d` (the user opened another
 * session within a day).
 */
import type { FeedbackKind } from '../../schemas/index.ts'

export const objectiveNames = ['click', 'graded', 'completion', 'return1d'] as const
export type Objectives = Readonly<Record<(typeof objectiveNames)[number], number>>

/** Bits of a mask that stands on the changelog: append, never reorder. */
export const feedbackKinds: readonly FeedbackKind[] = [
  'click',
  'like',
  'dislike',
  'hide',
  'share',
  'save',
  'follow',
  'report',
  'other',
]
export type FeedbackWeights = Readonly<Partial<Record<FeedbackKind, number>>>

/** What is known of an impression once its wait is over. */
export interface Outcome {
  readonly clicked: boolean
  /** In (0, 1]; 0 without a play. */
  readonly quantile: number
  readonly completed: boolean
  readonly returned: boolean
  /** Bit k: feedback of kind k was given. */
  readonly feedback: number
}

export function feedbackBit(kind: FeedbackKind): number {
  return 1 << Math.max(0, feedbackKinds.indexOf(kind))
}

export function targetOf(
  outcome: Outcome,
  objectives: Objectives,
  feedback: FeedbackWeights,
): number {
  const { click, graded, completion, return1d } = objectives
  let target =
    ((outcome.clicked ? click : 0) +
      outcome.quantile * graded +
      (outcome.completed ? completion : 0) +
      (outcome.returned ? return1d : 0)) /
    (click + graded + completion + return1d)
  for (let k = 0; outcome.feedback >> k !== 0; k++)
    if ((outcome.feedback >> k) & 1) target += feedback[feedbackKinds[k]] ?? 0
  return Math.min(1, Math.max(0, target))
}

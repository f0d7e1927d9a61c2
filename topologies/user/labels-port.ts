/** How the outcome of an impression reaches other stages of the same task. */
import type { CandidateSource } from '../../schemas/index.ts'
import type { User } from './user.ts'

/** Later stages extend this by declaration: what they derive from a request, in memory only. */
export interface RequestScratch {
  readonly _?: never
}

/** What the impressions of one request have in common, as their events said. */
export interface ShownRequest extends ShownPage {
  readonly scratch: RequestScratch
  readonly policy: string
  readonly model: string
  readonly surface: string
  readonly cohort: string
  /** '' where the events named none. */
  readonly listVersion: string
  /** Experiment to arm. */
  readonly experiments: Readonly<Record<string, string>>
}

/** One object is reused: nothing of it may be kept beyond the call. */
export interface LabelFact {
  readonly userId: string
  /** One object a request for as long as one of its impressions waits: what is derived from it may be kept by it. */
  readonly request: ShownRequest
  readonly item: number
  /** The impression's score; null where it had none. */
  readonly prediction: number | null
  /** What the user's own answers said of the item when it was shown, packed; -1: not looked at, or lost in a restart. */
  readonly answers: number
  readonly positive: boolean
  readonly explore: boolean
  /** A click or a play was joined. */
  readonly clicked: boolean
  /** The play ended finished. */
  readonly completed: boolean
  /** Another session of the user in time; null where `complete` is not waited for it (labels.objectives). */
  readonly returned: boolean | null
  /** Unique content watched, ms. */
  readonly watchedMs: number
  /** 0: unknown, or no play. */
  readonly durationMs: number
  /** Bits of the kinds of feedback that were given (labels/target.ts: feedbackBit). */
  readonly feedback: number
  /** Share watched, capped at 1; null where the duration is unknown; 0 where nothing was watched. */
  readonly graded: number | null
  /** The declared mix of objectives and feedback, in [0, 1]; null while a part of it is waited for (labels/target.ts). */
  readonly target: number | null
  readonly position: number
  readonly propensity: number | null
  readonly source: CandidateSource
  /** Impressions of the item to the user before this one, within 7 days and without a watch; at most 31, 0 after a restart. */
  readonly timesShown: number
  readonly surface: string
  readonly cohort: string
  readonly model: string
  /** Event time of the impression, ms. */
  readonly shownAt: number
  /** Event time at which the outcome became final, ms: a function of the input, not of when it was noticed. */
  readonly finalAt: number
}

/** The impressions of one request, as far as they were seen. */
export interface ShownPage {
  readonly user: User
  readonly requestId: string
  /** Event time of its first impression, ms. */
  readonly openedAt: number
  items(): ReadonlySet<number>
}

/** What the user's own answers say of an item as it is shown at `at` (event time, ms), packed; -1: not looked at. */
export type AnswerLook = (page: ShownPage, item: number, at: number) => number

/** Called once an impression, when its label is final, within the commit that holds it. */
export interface LabelSink {
  label(fact: LabelFact): void
  /**
   * Nothing of the request is waited for any more. `isWhole`: each of its impressions got its label; else its user was removed
   * before. Asked of `sinks` alone.
   */
  over?(request: ShownRequest, isWhole: boolean): void
}

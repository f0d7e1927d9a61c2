/** How the outcome of an impression reaches other stages of the same task. */

/** One object is reused: nothing of it may be kept beyond the call. */
export interface LabelFact {
  readonly userId: string
  readonly item: number
  /** The impression's score; null where it had none. */
  readonly prediction: number | null
  readonly positive: boolean
  /** Share watched, capped at 1; null where the duration is unknown; 0 where nothing was watched. */
  readonly graded: number | null
  readonly surface: string
  readonly cohort: string
  readonly model: string
  /** Event time of the impression, ms. */
  readonly shownAt: number
  /** Event time at which the outcome became final, ms: a function of the input, not of when it was noticed. */
  readonly finalAt: number
}

/** Called once an impression, when its label is final, within the commit that holds it. */
export interface LabelSink {
  label(fact: LabelFact): void
}

/**
 * What passes through the fused stages of a user task. The `sessions` stage stands first: it drops doubles and late
 * events, keeps the user and fills in the facts; every later stage reads them. One object is reused for all records.
 */
import type { Consent, Erasure, Feedback, Impression, Watch } from '../../schemas/index.ts'
import type { User } from './user.ts'

interface EventBase {
  readonly topic: string
  readonly offset: number
  /** The Kafka record's timestamp, ms. */
  readonly recordTs: number
  /** Event time, ms; clamped to at most 5 min ahead of the record's timestamp. */
  readonly ts: number
  readonly userId: string
}

/** Facts that the sessions stage finds out. All false / 0 / null before it has run. */
export interface Facts {
  /** The stored user; null where the event's consent is not `full` (then nothing of the user may be stored or listed). */
  user: User | null
  /** This watch is the first heartbeat of its play. */
  playStarted: boolean
  /** Unique content newly watched by this heartbeat, ms. */
  watchedMs: number
  /** The play became a positive with this event (once per play). */
  positive: boolean
  /** `positive`, and the item was not among the user's positives before. It is `user.positives` at position 0 now. */
  firstPositive: boolean
  /** The play ended finished / was skipped, with this event. */
  completed: boolean
  skipped: boolean
  /** A new session began with this event. */
  sessionStarted: boolean
  /** Length of the session that this event closed, ms; -1 where none was closed. */
  closedSessionMs: number
}

/** The item's index in the process' item table. */
interface OnItem {
  readonly item: number
}

export interface ImpressionEvent extends EventBase, Facts, OnItem {
  readonly kind: 'impression'
  readonly event: Impression
  readonly consent: Consent
}

export interface WatchEvent extends EventBase, Facts, OnItem {
  readonly kind: 'watch'
  readonly event: Watch
  readonly consent: Consent
}

export interface FeedbackEvent extends EventBase, Facts, OnItem {
  readonly kind: 'feedback'
  readonly event: Feedback
  readonly consent: Consent
}

export interface ErasureEvent extends EventBase, Facts {
  readonly kind: 'erasure'
  readonly event: Erasure
}

export type ActivityEvent = ImpressionEvent | WatchEvent | FeedbackEvent
export type UserEvent = ActivityEvent | ErasureEvent

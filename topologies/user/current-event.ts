/**
 * The one event object of a task: decoding fills it, the stages read it, the next record overwrites it. Nothing of it may be
 * kept beyond `process`.
 */
import type { Consent, Erasure, Feedback, Impression, Watch } from '../../schemas/index.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import type { UserEvent } from './event.ts'
import type { User } from './user.ts'

export class CurrentEvent {
  kind: UserEvent['kind'] = 'impression'
  event: Impression | Watch | Feedback | Erasure | null = null
  consent: Consent = 'none'
  topic = ''
  offset = 0
  recordTs = 0
  ts = 0
  userId = ''
  item = 0
  /** The record it came from, for the dead letters. */
  record: LogRecord | null = null

  user: User | null = null
  playStarted = false
  watchedMs = 0
  positive = false
  firstPositive = false
  completed = false
  skipped = false
  sessionStarted = false
  closedSessionMs = -1

  /** Facts as they are before the sessions stage. */
  clearFacts(): void {
    this.user = null
    this.playStarted = false
    this.watchedMs = 0
    this.positive = false
    this.firstPositive = false
    this.completed = false
    this.skipped = false
    this.sessionStarted = false
    this.closedSessionMs = -1
  }

  /** The same object as stages see it: `kind` tells which record `event` is. */
  asEvent(): UserEvent {
    return this as unknown as UserEvent
  }
}

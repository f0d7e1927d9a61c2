/**
 * Impressions that wait for their outcome, as pure logic.
 *
 *  - L1 An impression waits `startWithin` for a play to start, then until the play ends, `silence` without a heartbeat, or
 *       `longest` after it was shown. Then its label is final.
 *  - L2 An impression without a play is kept on until `joinWithin` for watches that name no request: such a watch makes a
 *       newer revision of a label that was already given.
 *  - L3 Deadlines are asked of the watermark (less `slack`) where they matter; the sweep only carries out what they say, so
 *       labels do not depend on when it runs.
 *  - L4 Where the objective `return1d` counts, an impression is kept until its user opened another session, or
 *       `returnWithin` has passed: then its row is written once more. Otherwise nothing is kept for it.
 *  - L5 Of a user who is removed no row leaves any more, not even of impressions from before in the same commit. Rows that
 *       left before are the erasure's (docs/operating.md); withdrawn consent ends what is kept here.
 */
import type { CandidateSource, Impression } from '../../schemas/index.ts'
import type { Row } from '../../streams/topology/store.ts'
import { gradedLabel, isPositive } from '../sessions/outcome.ts'
import { intern } from '../user/codec.ts'
import type { RequestScratch, ShownRequest } from '../user/labels-port.ts'
import type { StoredUser } from '../user/stored-user.ts'
import { feedbackBit } from './target.ts'

export interface LabelTimes {
  readonly startWithinMs: number
  readonly joinWithinMs: number
  readonly silenceMs: number
  readonly longestMs: number
  /** L4; 0: returns are not waited for. */
  readonly returnWithinMs: number
}

const noExperiments: Readonly<Record<string, string>> = Object.freeze({})
/** Stands for an entry without a heartbeat; a small integer, so that an entry without play needs no boxed number. */
const NEVER = -(2 ** 30)

/** What the impressions of one list request have in common. */
export class LabelRequest implements Row, ShownRequest {
  dirty = false
  removed = false
  readonly user: StoredUser
  readonly requestId: string
  /** Event time of the impression that opened it: parts requests without an id. */
  readonly openedAt: number
  readonly policy: string
  readonly model: string
  readonly surface: string
  readonly cohort: string
  readonly listVersion: string
  readonly experiments: Readonly<Record<string, string>>
  /** Entries that still wait. */
  waiting = 0
  /** Made at the first row. */
  pseudonym = ''
  private slots: RequestScratch | null = null

  constructor(user: StoredUser, openedAt: number, from: RequestFields) {
    this.user = user
    this.openedAt = openedAt
    this.requestId = from.requestId
    // names that nearly all requests share: one copy of each
    this.policy = intern(from.policy)
    this.model = intern(from.model)
    this.surface = intern(from.surface)
    this.cohort = intern(from.cohort)
    this.listVersion = from.listVersion
    this.experiments = sameExperiments(from.experiments, noExperiments)
      ? noExperiments
      : from.experiments
  }

  get scratch(): RequestScratch {
    this.slots ??= {}
    return this.slots
  }

  /** What was shown in it, as far as that still waits. */
  items(): ReadonlySet<number> {
    const items = new Set<number>()
    for (const entry of this.user.pendingLabels ?? [])
      if (entry.request === this) items.add(entry.item)
    return items
  }

  /** May the impression stand under this request's columns? */
  fits(e: Impression): boolean {
    return (
      e.requestId === this.requestId &&
      e.policy === this.policy &&
      e.modelVersion === this.model &&
      e.surface === this.surface &&
      e.cohort === this.cohort &&
      (e.listVersion ?? '') === this.listVersion &&
      sameExperiments(e.experiments, this.experiments)
    )
  }
}

export interface RequestFields {
  readonly requestId: string
  readonly policy: string
  readonly model: string
  readonly surface: string
  readonly cohort: string
  readonly listVersion: string
  readonly experiments: Readonly<Record<string, string>>
}

function sameExperiments(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): boolean {
  if (a === b) return true
  let n = 0
  for (const name in a) {
    if (a[name] !== b[name]) return false
    n++
  }
  for (const _ in b) n--
  return n === 0
}

export const WAITING = 0
const PLAYING = 1
export const UNPLAYED = 2
/** The label is final and nothing joins any more: only the user's return is waited for. */
export const RETURNING = 3

/** Of `marks`: 9 bits of feedback kinds (target.ts), then these, then how often it was shown before. */
const FEEDBACK = 511
const FINISHED = 512
const RETURNED = 1024
const SHOWN_UNIT = 2048
const MOST_SHOWN = 31
/** Quantiles are kept in this many parts. */
const QUANTILE_UNIT = 65_535

export class LabelEntry implements Row {
  dirty = false
  removed = false
  readonly request: LabelRequest
  readonly item: number
  /** Times are kept as differences: a small integer takes 8 B, a time of its own 24. */
  private readonly shownAfterMs: number
  private heardAfterMs = NEVER
  readonly position: number
  readonly propensity: number | null
  readonly prediction: number | null
  readonly explore: boolean
  readonly source: CandidateSource
  state = WAITING
  /** When it is looked at: never later than its state ends. */
  dueMinute = 0
  /** Hash of the play that it was joined to; -1: none. */
  play = -1
  watchedMs = 0
  durationMs = 0
  positive = false
  ended = false
  /** The label was given to the other stages: once an impression. */
  told = false
  /**
   * What the user's own answers said of it when it was shown, packed; -1: unknown. Not on the changelog: it follows from soft
   * stores, and rows of an exact one must not.
   */
  answers = -1
  /** Feedback, ends, and times shown before, in one small integer: there are millions of these. */
  marks = 0
  /**
   * The features that it was ranked by, packed (served/); '' where they are not known. Not on the changelog, as `answers`.
   */
  features = ''
  /** The quantile in 65,535ths. */
  quantileParts = 0
  /** Of the row in `examples` that was written last. */
  revision = 1

  constructor(request: LabelRequest, item: number, shownAt: number, from: ShownFields) {
    this.request = request
    this.item = item
    this.shownAfterMs = shownAt - request.openedAt
    this.position = from.position
    this.propensity = from.propensity
    this.prediction = from.prediction
    this.explore = from.explore
    this.source = from.source
    this.marks = Math.min(MOST_SHOWN, from.timesShown) * SHOWN_UNIT
  }

  /** Impressions of the item to the user before this one, within 7 days and without a watch; 31: or more. */
  get timesShown(): number {
    return Math.floor(this.marks / SHOWN_UNIT)
  }

  /**
   * What of the marks stands on the changelog. Not the times shown: they come from a soft store, and rows of an exact one
   * must not; a restored impression counts as the first.
   */
  get keptMarks(): number {
    return this.marks % SHOWN_UNIT
  }

  /** Bits of the kinds of feedback that were given. */
  get feedback(): number {
    return this.marks & FEEDBACK
  }

  get clicked(): boolean {
    return this.play !== -1 || (this.marks & feedbackBit('click')) !== 0
  }

  get completed(): boolean {
    return (this.marks & FINISHED) !== 0
  }

  get returned(): boolean {
    return (this.marks & RETURNED) !== 0
  }

  markReturned(): void {
    this.marks |= RETURNED
  }

  /** Share watched, as the quantile among plays of like duration, in (0, 1]; 0: nothing was watched. */
  get quantile(): number {
    return this.quantileParts / QUANTILE_UNIT
  }

  set quantile(value: number) {
    this.quantileParts = value === 0 ? 0 : Math.max(1, Math.round(value * QUANTILE_UNIT))
  }

  get shownAt(): number {
    return this.request.openedAt + this.shownAfterMs
  }

  /** Event time of the newest heartbeat; 0: none. */
  get heardAt(): number {
    return this.heardAfterMs === NEVER ? 0 : this.shownAt + this.heardAfterMs
  }

  set heardAt(ts: number) {
    this.heardAfterMs = ts - this.shownAt
  }

  /** Event time at which the present state ends (L1, L2). */
  deadline(times: LabelTimes): number {
    if (this.state === WAITING) return this.shownAt + times.startWithinMs
    if (this.state === UNPLAYED) return this.shownAt + times.joinWithinMs
    if (this.state === RETURNING) return this.shownAt + times.returnWithinMs
    if (this.ended) return this.heardAt
    return Math.min(this.shownAt + times.longestMs, this.heardAt + times.silenceMs)
  }

  get graded(): number | null {
    return this.watchedMs === 0 ? 0 : gradedLabel(this.watchedMs, this.durationMs)
  }

  /** Takes in a heartbeat of the play that it was joined to. True: it became a positive. */
  hear(ts: number, watchedMs: number, durationMs: number, endReason: EndReasonName): boolean {
    const was = this.positive
    this.state = PLAYING
    this.heardAt = Math.max(this.heardAt, ts)
    this.watchedMs = Math.max(this.watchedMs, watchedMs)
    this.durationMs = Math.max(this.durationMs, durationMs)
    this.positive ||= isPositive(watchedMs, durationMs, endReason)
    this.ended ||= endReason !== 'none'
    if (endReason === 'finished') this.marks |= FINISHED
    return this.positive && !was
  }
}

type ShownFields = Pick<
  LabelEntry,
  'position' | 'propensity' | 'prediction' | 'explore' | 'source' | 'timesShown'
>
type EndReasonName = Parameters<typeof isPositive>[2]

/**
 * The impression that a heartbeat at `ts` belongs to: that of its play, else that of its request and item, else (it names
 * no request) the newest of the item. Undefined: organic. The play is taken to have started `watchedMs` before `ts`, so
 * that a producer may send one event at a play's end. `passed`: watermark less slack.
 */
export function findEntry(
  pending: readonly LabelEntry[],
  play: number,
  item: number,
  requestId: string | null,
  ts: number,
  watchedMs: number,
  times: LabelTimes,
  passed: number,
): LabelEntry | undefined {
  const start = ts - watchedMs
  let found: LabelEntry | undefined
  for (let k = pending.length - 1; k >= 0; k--) {
    const entry = pending[k]
    if (entry.item !== item || entry.state === RETURNING) continue
    if (entry.play === play && passed <= entry.deadline(times)) return entry
    if (entry.play !== -1 || (found && found.shownAt >= entry.shownAt)) continue
    const fits = requestId
      ? entry.request.requestId === requestId && mayStart(entry, start, passed, times.startWithinMs)
      : ts >= entry.shownAt && mayStart(entry, start, passed, times.joinWithinMs)
    if (fits) found = entry
  }
  return found
}

function mayStart(entry: LabelEntry, start: number, passed: number, withinMs: number): boolean {
  const until = entry.shownAt + withinMs
  return start <= until && passed <= until
}

/**
 * Impressions that feedback on the item at `ts` may belong to, newest first: those of its request where it names one. Whether
 * they still wait is for the caller to ask.
 */
export function* entriesOfFeedback(
  pending: readonly LabelEntry[],
  item: number,
  requestId: string | null,
  ts: number,
): IterableIterator<LabelEntry> {
  for (let k = pending.length - 1; k >= 0; k--) {
    const entry = pending[k]
    if (entry.item !== item || entry.state === RETURNING || ts < entry.shownAt) continue
    if (!requestId || entry.request.requestId === requestId) yield entry
  }
}

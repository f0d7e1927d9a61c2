/**
 * Impressions that wait for their outcome, as pure logic.
 *
 *  - L1 An impression waits `startWithin` for a play to start, then until the play ends, `silence` without a heartbeat, or
 *       `longest` after it was shown. Then its label is final.
 *  - L2 An impression without a play is kept on until `joinWithin` for watches that name no request: such a watch makes a
 *       newer revision of a label that was already given.
 *  - L3 Deadlines are asked of the watermark (less `slack`) where they matter; the sweep only carries out what they say, so
 *       labels do not depend on when it runs.
 */
import type { CandidateSource, Impression } from '../../schemas/index.ts'
import type { Row } from '../../streams/topology/store.ts'
import { gradedLabel, isPositive } from '../sessions/outcome.ts'
import { intern } from '../user/codec.ts'
import type { StoredUser } from '../user/stored-user.ts'

export interface LabelTimes {
  readonly startWithinMs: number
  readonly joinWithinMs: number
  readonly silenceMs: number
  readonly longestMs: number
}

const noExperiments: Readonly<Record<string, string>> = Object.freeze({})
/** Stands for an entry without a heartbeat; a small integer, so that an entry without play needs no boxed number. */
const NEVER = -(2 ** 30)

/** What the impressions of one list request have in common. */
export class LabelRequest implements Row {
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
  /** Hash of the play that it was joined to; -1: none. */
  play = -1
  watchedMs = 0
  durationMs = 0
  positive = false
  ended = false
  /** The label was given to the other stages: once an impression. */
  told = false
  /** Of the row in `examples` that was written last. */
  revision = 1

  constructor(
    request: LabelRequest,
    item: number,
    shownAt: number,
    from: Pick<LabelEntry, 'position' | 'propensity' | 'prediction' | 'explore' | 'source'>,
  ) {
    this.request = request
    this.item = item
    this.shownAfterMs = shownAt - request.openedAt
    this.position = from.position
    this.propensity = from.propensity
    this.prediction = from.prediction
    this.explore = from.explore
    this.source = from.source
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
    return this.positive && !was
  }
}

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
    if (entry.item !== item) continue
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

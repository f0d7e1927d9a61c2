/**
 * Sessions of one user by event time, as pure logic.
 *
 *  - S1 events at most `gapMs` apart (inclusive) stand in one session, whatever order they arrive in.
 *  - S2 sessions of a user are more than a gap apart; an event that touches two makes them one.
 *  - S3 the newest session by event time is `session`; those before it stand in `older`, oldest first.
 */

import { hash53 } from '../../streams/serde/hash.ts'
import type { Row } from '../../streams/topology/store.ts'
import {
  entriesOf,
  isSplit,
  type PlayCounts,
  playFirst,
  playHash,
  playItem,
  STRIDE,
} from '../user/plays.ts'
import type { Session } from '../user/user.ts'
import type { UserState } from '../user/user-state.ts'

const ITEMS_KEPT = 50

export class SessionState implements Session, Row, PlayCounts {
  dirty = false
  private cleared = false
  readonly user: UserState
  startedAt: number
  lastEventAt: number
  impressions = 0
  watches = 0
  positives = 0
  watchedMs = 0
  completes = 0
  skips = 0
  items: number[] = []
  /** `id`, and the start that it was made for: writing it costs more than the event. */
  private text = ''
  private textOf = -1

  constructor(user: UserState, startedAt: number) {
    this.user = user
    this.startedAt = startedAt
    this.lastEventAt = startedAt
  }

  get removed(): boolean {
    return this.cleared || this.user.removed
  }

  set removed(value: boolean) {
    this.cleared = value
  }

  /** A stable function of user and start. */
  get id(): string {
    if (this.textOf !== this.startedAt) {
      this.textOf = this.startedAt
      this.text = hash53(this.user.id, this.startedAt % 4294967296).toString(36)
    }
    return this.text
  }
}

/** What `place` did; one object is reused. */
export interface Placement {
  session: SessionState
  /** A new session began. */
  started: boolean
  /** The newest session was closed by a newer one. */
  closed: SessionState | null
  /** A later session that became part of `session`; its row goes. */
  joined: SessionState | null
  /** `session` began at this time until now and begins earlier since; -1: its start stays. */
  movedFrom: number
  /** Not older than any event of the user's newest session. */
  inOrder: boolean
}

/** Finds or makes the session of an event of an existing user at `ts` and stretches it: S1 to S3. Hot. */
export function place(user: UserState, ts: number, gapMs: number, out: Placement): void {
  const newest = user.session
  out.started = false
  out.closed = null
  out.joined = null
  out.movedFrom = -1
  out.session = newest
  out.inOrder = ts >= newest.lastEventAt
  if (out.inOrder) {
    if (ts - newest.lastEventAt <= gapMs) {
      newest.lastEventAt = ts
      return
    }
    user.older ??= []
    user.older.push(newest)
    out.closed = newest
    out.started = true
    out.session = user.session = new SessionState(user, ts)
    return
  }
  if (ts >= newest.startedAt) return
  placeBefore(user, ts, gapMs, out)
}

/** The slow way, for an event before the newest session's start. */
function placeBefore(user: UserState, ts: number, gapMs: number, out: Placement): void {
  const older = user.older ?? []
  let at = older.length - 1
  while (at >= 0 && older[at].startedAt > ts) at--
  const before = at >= 0 ? older[at] : undefined
  const after = at + 1 < older.length ? older[at + 1] : user.session
  const touchesBefore = before !== undefined && ts - before.lastEventAt <= gapMs
  const touchesAfter = after.startedAt - ts <= gapMs
  if (touchesBefore && touchesAfter) {
    // the earlier one stays: its row keeps its key
    absorb(before, after)
    if (after === user.session) {
      older.pop()
      user.session = before
    } else older.splice(at + 1, 1)
    out.session = before
    out.joined = after
  } else if (touchesAfter) {
    out.session = after
    out.movedFrom = after.startedAt
    after.startedAt = ts
  } else if (touchesBefore) {
    out.session = before
    if (ts > before.lastEventAt) before.lastEventAt = ts
  } else {
    out.started = true
    out.session = new SessionState(user, ts)
    older.splice(at + 1, 0, out.session)
  }
  user.older = older.length > 0 ? older : null
  if (out.joined) {
    out.session.items = out.joined.items.concat(out.session.items)
    orderItems(user, out.session)
  }
}

function absorb(into: SessionState, from: SessionState): void {
  into.lastEventAt = from.lastEventAt
  into.impressions += from.impressions
  into.watches += from.watches
  into.positives += from.positives
  into.watchedMs += from.watchedMs
  into.completes += from.completes
  into.skips += from.skips
}

/** A play began, newer than all of the session: its item comes first. */
export function itemFirst(session: SessionState, item: number): void {
  const { items } = session
  if (items[0] === item) return
  const rest = items.includes(item) ? items.filter(other => other !== item) : items
  session.items = [item].concat(rest.length >= ITEMS_KEPT ? rest.slice(0, ITEMS_KEPT - 1) : rest)
}

/**
 * Puts the items in order of their newest play again, from the plays; items whose plays have expired (a session longer
 * than a day) come behind them as they stood.
 */
export function orderItems(user: UserState, session: SessionState): void {
  const { plays } = user
  const started: number[] = []
  for (let at = 0; at < plays.length; at += STRIDE) {
    const first = playFirst(plays, at)
    if (user.sessionAt(first) !== session) continue
    if (isSplit(plays, at) && entriesOf(plays, playHash(plays, at))[0] !== at) continue
    started.push(at)
  }
  started.sort((a, b) => playFirst(plays, b) - playFirst(plays, a) || b - a)
  const ordered = new Set(started.map(at => playItem(plays, at)))
  const known = new Set<number>()
  for (let at = 0; at < plays.length; at += STRIDE) known.add(playItem(plays, at))
  for (const item of session.items) if (!known.has(item)) ordered.add(item)
  session.items = [...ordered].slice(0, ITEMS_KEPT)
}

/**
 * What one event does to its user: doubles are found, the session is placed, counts move, facts are filled in. No stream,
 * no clock; `stage.ts` plugs it in. Hot: one call an event.
 *
 * Doubles, within the grace and the user's last 512 hashes: by eventId, impressions also by (requestId, itemId),
 * heartbeats also by playId and number.
 */
import type { Feedback, Impression, Watch } from '../../schemas/index.ts'
import { hash53 } from '../../streams/serde/hash.ts'
import { ChunkedList, DOUBLES, EXCLUSIONS, POSITIVES } from '../user/chunks.ts'
import { intern } from '../user/codec.ts'
import { approvalOf } from '../user/creator-weights.ts'
import type { CurrentEvent } from '../user/current-event.ts'
import {
  appendEntry,
  COMPLETED,
  contribute,
  entriesOf,
  findPlay,
  hashOfPlay,
  isApart,
  isSplit,
  kept,
  markApart,
  markSplit,
  POSITIVE,
  playFirst,
  playFlags,
  playSeqs,
  playWatched,
  SKIPPED,
  seqSeen,
  setSeqs,
  widen,
  withSeq,
} from '../user/plays.ts'
import { DISLIKED, FINISHED, HIDDEN, REPORTED, type UserState } from '../user/user-state.ts'
import type { UserTable } from '../user/users.ts'
import { isPositive, isSkip } from './outcome.ts'
import { itemFirst, orderItems, type Placement, place, SessionState } from './session.ts'

/** Keeps hashes of what was shown apart from those of events in the one ring. */
const SHOWN_SEED = 1

export class Activity {
  private readonly users: UserTable
  private readonly placement: Placement
  private readonly gapMs: number

  constructor(users: UserTable) {
    this.users = users
    this.gapMs = users.settings.gapMs
    const nobody = { id: '' } as UserState
    this.placement = {
      session: new SessionState(nobody, 0),
      started: false,
      closed: null,
      joined: null,
      movedFrom: -1,
      inOrder: true,
    }
  }

  /**
   * Takes in an event that is not late and whose consent allows it. False: it is a double and changed nothing.
   * `known` is the user as it stands; undefined where this is the first event. `user` of the event is set by the caller.
   */
  take(known: UserState | undefined, current: CurrentEvent, stored: boolean): UserState | null {
    const event = current.event as Impression | Watch | Feedback
    const eventHash = kept(hash53(event.eventId))
    let shownHash = -1
    let playHash = -1
    if (current.kind === 'watch') playHash = hashOfPlay((event as Watch).playId)
    else if (current.kind === 'impression' && (event as Impression).requestId !== '')
      shownHash = kept(
        hash53(event.itemId, hash53((event as Impression).requestId, SHOWN_SEED) | 0),
      )
    if (known !== undefined) {
      this.users.forgetDoubles(known)
      if (this.isDouble(known, eventHash, shownHash)) return null
    }
    let playAt = -1
    if (playHash >= 0 && known !== undefined) {
      playAt = findPlay(known.plays, playHash)
      if (playAt >= 0 && this.users.playExpired(known.plays, playAt)) {
        this.users.forgetPlay(known, playHash)
        playAt = -1
      }
      if (playAt >= 0) {
        const first = isSplit(known.plays, playAt) ? entriesOf(known.plays, playHash)[0] : playAt
        if (seqSeen(playSeqs(known.plays, first), (event as Watch).seq)) return null
      }
    }

    const user = known ?? this.users.add(current.userId, current.ts, stored).state
    user.used = true
    this.remember(user, eventHash, shownHash)
    this.placeEvent(user, current, known === undefined)
    const { session } = this.placement
    if (current.kind === 'impression') {
      session.impressions++
      const chunk = user.addShown(current.item, current.ts)
      if (user.recentlyShown)
        this.users.touchChunk(this.users.stores.shown, user, user.recentlyShown, chunk)
    } else if (current.kind === 'watch') this.heartbeat(user, session, current, playHash, playAt)
    else this.feedback(user, current)

    if (current.ts >= user.lastSeenAt) {
      user.lastSeenAt = current.ts
      if (event.cohort !== user.cohort) user.cohort = intern(event.cohort)
      if (event.surface !== user.surface) user.surface = intern(event.surface)
    }
    user.lastOffset = current.offset
    this.users.touchUser(user)
    if (session !== user.session) this.users.touchSession(user, session)
    return user
  }

  private isDouble(user: UserState, eventHash: number, shownHash: number): boolean {
    if (user.seen === null) return false
    const { values } = user.seen
    for (let k = values.length - 1; k >= 0; k--)
      if (values[k] === eventHash || values[k] === shownHash) return true
    return false
  }

  private remember(user: UserState, eventHash: number, shownHash: number): void {
    if (user.seen === null) {
      user.seen = new ChunkedList()
      user.seen.dropped = user.seenBefore
    }
    this.rememberOne(user, user.seen, eventHash)
    if (shownHash >= 0) this.rememberOne(user, user.seen, shownHash)
  }

  private rememberOne(user: UserState, seen: ChunkedList, hash: number): void {
    seen.trim(DOUBLES)
    seen.values.push(hash)
    // an open chunk stands in the user's own row; a full one gets a row once
    const total = seen.dropped + seen.values.length
    if (total % DOUBLES.size === 0)
      this.users.touchFull(this.users.stores.doubles, DOUBLES, user, seen, total / DOUBLES.size - 1)
  }

  private placeEvent(user: UserState, current: CurrentEvent, first: boolean): void {
    const { placement } = this
    place(user, current.ts, this.gapMs, placement)
    if (first) {
      placement.started = true
      current.sessionStarted = true
      return
    }
    current.sessionStarted = placement.started
    if (placement.closed) {
      current.closedSessionMs = placement.closed.lastEventAt - placement.closed.startedAt
      this.users.touchSession(user, placement.closed)
    }
    if (placement.movedFrom >= 0) {
      this.users.sessionMoved(user, placement.movedFrom)
      this.users.touchSession(user, placement.session)
    }
    if (placement.joined) {
      if (user.stored) this.users.stores.sessions.remove(placement.joined)
      this.users.touchSession(user, placement.session)
    }
  }

  private heartbeat(
    user: UserState,
    session: SessionState,
    current: CurrentEvent,
    hash: number,
    known: number,
  ): void {
    const event = current.event as Watch
    const { plays } = user
    const watchedMs = event.watchedMs
    let flags = 0
    if (isPositive(watchedMs, event.durationMs, event.endReason)) flags |= POSITIVE
    if (event.endReason === 'finished') flags |= COMPLETED
    if (isSkip(watchedMs, event.endReason)) flags |= SKIPPED
    this.users.touchPlay(user, hash)

    if (known < 0) {
      appendEntry(plays, hash, current.item, current.ts, watchedMs, flags, withSeq(0, event.seq))
      this.users.sparePlays(user)
      this.count(session, watchedMs, flags)
      session.watches++
      current.playStarted = true
      current.watchedMs = watchedMs
      if (this.placement.inOrder) itemFirst(session, current.item)
      else orderItems(user, session)
      this.users.touchSession(user, session)
      user.forgetShown(current.item, chunk => {
        if (user.recentlyShown)
          this.users.touchChunk(this.users.stores.shown, user, user.recentlyShown, chunk)
      })
    } else {
      // after a join of sessions the entries may have moved
      const at = findPlay(plays, hash)
      const before = this.totals(plays, at, hash)
      current.watchedMs = Math.max(0, watchedMs - before.watchedMs)
      flags = this.addHeartbeat(user, session, current, hash, at, flags)
      flags &= ~before.flags
    }
    current.positive = (flags & POSITIVE) !== 0
    current.completed = (flags & COMPLETED) !== 0
    current.skipped = (flags & SKIPPED) !== 0
    if (current.positive && !user.likes(current.item)) {
      current.firstPositive = true
      user.addPositive(current.item, current.ts)
      const chunk = user.liked.chunkOf(POSITIVES, user.liked.length(POSITIVES) - 1)
      this.users.touchFull(this.users.stores.positives, POSITIVES, user, user.liked, chunk)
    }
    if (current.completed) this.exclude(user, current, FINISHED)
  }

  private count(session: SessionState, watchedMs: number, flags: number): void {
    session.watchedMs += watchedMs
    if (flags & POSITIVE) session.positives++
    if (flags & COMPLETED) session.completes++
    if (flags & SKIPPED) session.skips++
  }

  private readonly sum = { watchedMs: 0, flags: 0 }

  /** The highest watchedMs and all flags of a play so far. */
  private totals(plays: readonly number[], at: number, hash: number): Activity['sum'] {
    const { sum } = this
    sum.watchedMs = playWatched(plays, at)
    sum.flags = playFlags(plays, at)
    if (isSplit(plays, at))
      for (const entry of entriesOf(plays, hash)) {
        sum.watchedMs = Math.max(sum.watchedMs, playWatched(plays, entry))
        sum.flags |= playFlags(plays, entry)
      }
    return sum
  }

  /** A further heartbeat of a known play; gives its flags. */
  private addHeartbeat(
    user: UserState,
    session: SessionState,
    current: CurrentEvent,
    hash: number,
    at: number,
    flags: number,
  ): number {
    const { plays } = user
    const { ts } = current
    const event = current.event as Watch
    if (!isSplit(plays, at) && user.sessionAt(playFirst(plays, at)) === session) {
      const fresh = flags & ~playFlags(plays, at)
      this.count(session, Math.max(0, event.watchedMs - playWatched(plays, at)), fresh)
      const moved = ts < playFirst(plays, at)
      widen(plays, at, ts, event.watchedMs, flags)
      setSeqs(plays, at, withSeq(playSeqs(plays, at), event.seq))
      if (moved) this.reorder(user, session)
      return flags
    }
    this.addSplit(user, session, current, hash, flags)
    return flags
  }

  /** The slow way, for a play that spans sessions: what its entries count is taken back, then counted anew. */
  private addSplit(
    user: UserState,
    session: SessionState,
    current: CurrentEvent,
    hash: number,
    flags: number,
  ): void {
    const { plays } = user
    const event = current.event as Watch
    const sessionAt = (ts: number) => user.sessionAt(ts)
    const before = entriesOf(plays, hash)
    contribute(plays, before, -1, sessionAt)
    const seqs = withSeq(playSeqs(plays, before[0]), event.seq)
    const own = before.find(entry => user.sessionAt(playFirst(plays, entry)) === session)
    const apart = isApart(plays, before[0])
    if (own === undefined) {
      appendEntry(plays, hash, current.item, current.ts, event.watchedMs, flags, 0)
      if (apart) markApart(plays, hash)
      else this.users.sparePlays(user)
    } else widen(plays, own, current.ts, event.watchedMs, flags)
    const after = entriesOf(plays, hash)
    for (const entry of after) {
      if (after.length > 1) markSplit(plays, entry)
      setSeqs(plays, entry, 0)
    }
    setSeqs(plays, after[0], seqs)
    contribute(plays, after, 1, sessionAt)
    for (const entry of after) {
      const touched = user.sessionAt(playFirst(plays, entry))
      if (touched) this.reorder(user, touched)
    }
  }

  private reorder(user: UserState, session: SessionState): void {
    orderItems(user, session)
    this.users.touchSession(user, session)
  }

  private feedback(user: UserState, current: CurrentEvent): void {
    const { kind } = current.event as Feedback
    if (kind === 'hide') this.exclude(user, current, HIDDEN)
    else if (kind === 'dislike') this.exclude(user, current, DISLIKED)
    else if (kind === 'report') this.exclude(user, current, REPORTED)
    else this.approve(user, current, approvalOf(kind))
  }

  private approve(user: UserState, current: CurrentEvent, kind: number): void {
    const chunk = kind < 0 ? -1 : user.approve(current.item, kind, current.ts)
    if (chunk >= 0 && user.approved)
      this.users.touchChunk(this.users.stores.approvals, user, user.approved, chunk)
  }

  private exclude(user: UserState, current: CurrentEvent, reason: number): void {
    const chunk = user.exclude(current.item, reason, current.ts)
    const { excluded } = user
    if (excluded)
      this.users.touchFull(this.users.stores.exclusions, EXCLUSIONS, user, excluded, chunk)
  }
}

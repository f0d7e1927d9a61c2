/**
 * The first stage of the user task: decides which events count, keeps users and sessions, fills in the facts, and writes
 * what outside readers see.
 *
 *  - Consent `full` counts and is stored; `contextual` counts and is kept in memory for the session gap only; `none` is
 *    counted as such and goes no further. An event with less consent than before, not older than the user's newest,
 *    removes what was stored; so does an erasure, which later stages see too.
 *  - Views leave at most every `session.redis.minInterval` a user; features with every commit.
 */
import type { Encoder } from '../../schemas/index.ts'
import { ByteReader, type ByteWriter } from '../../streams/serde/bytes.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { RefillExtent, RestoredRow, Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import type { ItemTable } from '../items/table.ts'
import { readPassing, writePassing } from '../user/carried-users.ts'
import type { CurrentEvent } from '../user/current-event.ts'
import type { UserEvent } from '../user/event.ts'
import { USER_STORES } from '../user/store-ids.ts'
import type { UserState } from '../user/user-state.ts'
import type { UserTable } from '../user/users.ts'
import { Activity } from './activity.ts'
import { FeaturesEncoder } from './features.ts'
import { SessionRefill } from './refill.ts'
import { listKey, sessionKey, sessionLifeMs, sessionView } from './views.ts'

/** Users cleaned in one tick: some tens of microseconds each at worst. */
const CLEAN_SLICE = 200

export interface SessionsDeps {
  readonly users: UserTable
  /** Knows the schema of session-features; undefined: none are published. */
  readonly features: Encoder | undefined
  /** Write session hashes. */
  readonly views: boolean
  readonly minIntervalMs: number
  readonly lateDeadLetters: boolean
  /** Surfaces whose lists go when a user is removed. */
  readonly surfaces: readonly string[]
}

export function createSessionsStage(ctx: TaskContext, deps: SessionsDeps): Stage<UserEvent> {
  return new SessionsStage(ctx, deps)
}

class SessionsStage implements Stage<UserEvent> {
  readonly name = 'sessions'
  readonly stores: NonNullable<Stage['stores']>
  private readonly deps: SessionsDeps
  private readonly users: UserTable
  private readonly activity: Activity
  private readonly items: ItemTable
  private readonly features: FeaturesEncoder | null
  private readonly now: () => number
  private readonly startedAt: number
  private readonly counters
  private readonly lateness
  private readonly stateBytes
  /** Users whose view is to be written, oldest change first. */
  private viewQueue: UserState[] = []
  /** Views of the commit that is under way. */
  private shownNow: UserState[] = []
  private changedUsers: UserState[] = []
  private removedUsers = new Set<string>()
  private refillOf: SessionRefill | undefined
  private lateRecords: { topic: string; record: LogRecord; ts: number }[] = []

  constructor(ctx: TaskContext, deps: SessionsDeps) {
    this.deps = deps
    this.users = deps.users
    this.activity = new Activity(deps.users)
    this.items = ctx.table<ItemTable>('items')
    this.features = deps.features
      ? new FeaturesEncoder(deps.features.idOf('SessionFeatures'), this.items)
      : null
    this.now = () => ctx.now()
    this.startedAt = ctx.now()
    const { stores } = deps.users
    this.stores = [
      stores.watermark,
      stores.withdrawals,
      stores.users,
      stores.sessions,
      stores.plays,
      stores.positives,
      stores.exclusions,
      stores.doubles,
      stores.shown,
      stores.approvals,
    ]
    const topology = 'sessions'
    this.counters = {
      withoutConsent: ctx.metrics.counter('freshet_without_consent_total', { topology }),
      late: ctx.metrics.counter('freshet_late_total', { topology }),
      doubles: ctx.metrics.counter('freshet_duplicates_total', { topology }),
    }
    this.stateBytes = ctx.metrics.gauge('freshet_state_bytes', { store: 'users' })
    this.lateness = ctx.metrics.histogram('freshet_lateness_seconds', { topology })
  }

  process(event: UserEvent): undefined | 'drop' {
    const current = event as unknown as CurrentEvent
    if (current.kind === 'erasure') {
      this.removeUser(current.userId, current.ts)
      return undefined
    }
    const { users } = this
    users.see(current.ts)
    // every sixteenth: a histogram costs as much as a third of the event
    if ((current.offset & 15) === 0) this.lateness.observe((current.recordTs - current.ts) / 1000)
    if (current.ts < users.watermark.at - users.settings.graceMs) return this.late(current)
    const { consent } = current
    let known = users.get(current.userId)
    if (consent !== 'full') {
      if (known && current.ts >= known.lastSeenAt) {
        this.removeUser(current.userId, current.ts)
        known = undefined
      }
      if (consent === 'none') {
        this.counters.withoutConsent.add()
        return 'drop'
      }
    }
    if (users.withdrawals.size > 0 && this.wasWithdrawn(current)) return 'drop'
    if (consent === 'contextual') return this.inPassing(current)
    const user = this.activity.take(known?.state, current, true)
    if (user === null) return this.double()
    current.user = user.user
    users.cleanAfter(user, current.ts + users.settings.graceMs)
    this.changed(user, current.recordTs)
    return undefined
  }

  /** Consent contextual: facts are found out with a user that lives in memory for the gap. */
  private inPassing(current: CurrentEvent): undefined | 'drop' {
    const { users } = this
    const { gapMs } = users.settings
    let known = users.passing.get(current.userId)
    if (known && users.watermark.at > known.lastSeenAt + gapMs) {
      users.remove(known)
      known = undefined
    }
    const user = this.activity.take(known?.state, current, false)
    if (user === null) return this.double()
    users.cleanAfter(user, user.lastSeenAt + gapMs)
    return undefined
  }

  private late(current: CurrentEvent): 'drop' {
    this.counters.late.add()
    if (this.deps.lateDeadLetters && current.record)
      this.lateRecords.push({ topic: current.topic, record: current.record, ts: current.ts })
    return 'drop'
  }

  private double(): 'drop' {
    this.counters.doubles.add()
    return 'drop'
  }

  private wasWithdrawn(current: CurrentEvent): boolean {
    const withdrawal = this.users.withdrawals.get(current.userId)
    return withdrawal !== undefined && current.ts <= withdrawal.at
  }

  /** @param asked event time of the erasure, or of the event with less consent, ms. */
  private removeUser(userId: string, asked: number): void {
    const { users } = this
    const passing = users.passing.get(userId)
    if (passing) users.remove(passing)
    const known = users.get(userId)
    // what was removed is not begun again by events as old as it
    const at = Math.max(asked, known?.lastSeenAt ?? 0)
    if (known) users.remove(known)
    // also of a user that is not known here: older events may be under way, and a view may have outlived its state
    users.withdraw(userId, at)
    this.removedUsers.add(userId)
  }

  private changed(user: UserState, recordTs: number): void {
    if (!user.changed) {
      user.changed = true
      this.changedUsers.push(user)
    }
    if (this.deps.views && !user.viewWaits) {
      user.viewWaits = true
      user.answersTs = recordTs
      this.viewQueue.push(user)
    }
  }

  carry(w: ByteWriter): void {
    writePassing(this.users, w)
  }

  carried(r: ByteReader): void {
    readPassing(this.users, r)
  }

  tick(): boolean {
    this.users.packIdle()
    return this.users.clean(CLEAN_SLICE)
  }

  flush(out: Outbox): void {
    this.stateBytes.set(this.users.stateBytes)
    for (const { topic, record, ts } of this.lateRecords)
      out.deadLetter(
        topic,
        record,
        'LATE',
        `event time ${new Date(ts).toISOString()} is more than ${this.users.settings.graceMs} ms behind the newest of the partition (late.grace)`,
      )
    this.lateRecords = []
    if (this.removedUsers.size > 0) this.flushRemoved(out)
    if (this.changedUsers.length > 0) this.flushFeatures(out)
    if (this.viewQueue.length > 0) this.flushViews(out)
    if (this.refillOf?.flush(out)) this.refillOf = undefined
  }

  refill(extent: RefillExtent): void {
    this.refillOf = new SessionRefill(extent, {
      users: this.users,
      items: this.items,
      views: this.deps.views,
      removeViews: (userId, out) => this.removeViews(userId, out),
    })
  }

  refilling(): boolean {
    return this.refillOf !== undefined
  }

  private flushRemoved(out: Outbox): void {
    for (const userId of this.removedUsers) {
      this.removeViews(userId, out)
      if (this.deps.features) out.publish('session-features', userId, null)
    }
    this.removedUsers.clear()
  }

  private removeViews(userId: string, out: Outbox): void {
    out.view({ op: 'delete', key: sessionKey(userId) })
    for (const surface of this.deps.surfaces)
      out.view({ op: 'delete', key: listKey(surface, userId) })
  }

  private flushFeatures(out: Outbox): void {
    const { features } = this
    for (const user of this.changedUsers) {
      user.changed = false
      if (user.removed || !features) continue
      const record = features.encode(user.id, user.session, user.lastOffset)
      out.publish('session-features', user.id, record)
    }
    this.changedUsers = []
  }

  private flushViews(out: Outbox): void {
    const now = this.now() - this.startedAt
    const waiting: UserState[] = []
    const ttlMs = sessionLifeMs(this.users.settings.gapMs)
    for (const user of this.viewQueue) {
      if (user.removed) user.viewWaits = false
      else if (user.viewedAt >= 0 && now - user.viewedAt < this.deps.minIntervalMs)
        waiting.push(user)
      else {
        user.viewWaits = false
        user.viewedAt = now
        this.shownNow.push(user)
        out.view(sessionView(user.id, user.session, this.items, ttlMs, user.answersTs))
      }
    }
    this.viewQueue = waiting
  }

  delivered(): void {
    this.shownNow = []
  }

  /** Views that are held back, or leave with this commit: their users' rows may stand in an earlier batch than the last. */
  unfinishedFrom(): number | undefined {
    let lowest: number | undefined
    for (const user of [...this.viewQueue, ...this.shownNow])
      if (lowest === undefined || user.lastOffset < lowest) lowest = user.lastOffset
    return lowest
  }

  resumeUnfinished(fromOffset: number): void {
    for (const user of this.users.withOffsetFrom(fromOffset)) this.changed(user.state, this.now())
  }

  restored(last: readonly RestoredRow[]): void {
    this.users.restored()
    for (const row of last) {
      if (row.store !== USER_STORES.users) continue
      const userId = new ByteReader(row.key).string()
      const user = this.users.get(userId)
      if (user) this.changed(user.state, this.now())
      else this.removedUsers.add(userId)
    }
  }
}

/**
 * In the user task: when a session has ended, and how soon the next one began.
 *
 *  - S1 A session has ended once the watermark is a gap and the slack past its last event, or with the first event of the
 *       user's next session. It counts once, as it stands then, at the minute of its last event; what comes later for it
 *       (hours late) changes the user and not this figure.
 *  - S2 It counts under the dims of its first impression; without one under its first event's surface, cohort and arms.
 *  - S3 The next session's beginning, if it comes within 7 days, counts as the return of the one before.
 *  - S4 The watermark is asked with each event, and few sessions are looked at with one: what counts is a function of the
 *       record order, but where more than those are due at once.
 *
 * One row a user who was active within 7 days, on the changelog with each session's beginning and end. It goes with the user.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { UserEvent } from '../user/event.ts'
import type { StoredUser } from '../user/stored-user.ts'
import type { UserTable } from '../user/users.ts'
import { type DimsTable, readDims, writeDims } from './dims.ts'
import { type Dated, Due, notDue } from './due.ts'
import type { PacketWriter, SentDims } from './packets.ts'
import { returns } from './sums.ts'

const minuteMs = 60_000
const longestReturn = returns[returns.length - 1].withinMs
/** Sessions looked at with one event; more wait for the next, or for the tick. */
const looksAnEvent = 100
const looksATick = 1000

interface SessionRow extends Row, Dated {
  readonly userId: string
  readonly bucket: number
  dims: SentDims
  /** No impression came yet: the dims may change with the first. */
  provisional: boolean
  /** Event time of its last event once it counted, ms; -1: it has not ended. */
  endedAt: number
}

export class EndedSessions {
  readonly store: Store<SessionRow>
  private readonly users: UserTable
  private readonly slackMs: number
  private readonly packets: PacketWriter
  private readonly dims: DimsTable<SentDims>
  private readonly bucketOf: (userId: string) => number
  private readonly rows = new Map<string, SessionRow>()
  private readonly due = new Due<SessionRow>()
  /** At restore: dims by their bytes, which nearly all rows share. */
  private readonly dimsOfBytes = new Map<string, SentDims>()
  private minute = 0

  constructor(
    storeId: number,
    users: UserTable,
    slackMs: number,
    packets: PacketWriter,
    dims: DimsTable<SentDims>,
    bucketOf: (userId: string) => number,
  ) {
    this.users = users
    this.slackMs = slackMs
    this.packets = packets
    this.dims = dims
    this.bucketOf = bucketOf
    this.store = new Store<SessionRow>({
      id: storeId,
      name: 'ledger-sessions',
      write: 'exact',
      writeKey: (row, w) => w.rawString(row.userId),
      writeValue(row, w) {
        w.u8(row.provisional ? 1 : 0).int(row.endedAt)
        writeDims(row.dims, w)
      },
      restore: (key, value) => this.restoreRow(key.rawString(), value),
    })
    users.onRemove.push(user => this.forget(user.id))
  }

  get size(): number {
    return this.rows.size
  }

  /** Takes in an event of a stored user, which the sessions stage has placed. Hot: nearly always two comparisons. */
  take(event: Exclude<UserEvent, { kind: 'erasure' }>, user: StoredUser): void {
    if (event.sessionStarted) this.begin(event, user)
    else if (event.kind === 'impression' && user.session.impressions === 1) {
      const row = this.rows.get(event.userId)
      if (!row?.provisional || row.endedAt >= 0) return
      row.dims = this.dimsOf(event)
      row.provisional = false
      this.store.touch(row)
    }
  }

  /** After each event: S4. */
  see(watermark: number): void {
    const minute = Math.floor((watermark - this.slackMs) / minuteMs)
    if (minute <= this.minute) {
      if (this.due.isReady) this.look(looksAnEvent)
      return
    }
    this.minute = minute
    this.due.moveTo(minute)
    this.look(looksAnEvent)
  }

  /** True where more is due. */
  tick(): boolean {
    return this.due.isReady && this.look(looksATick)
  }

  forget(userId: string): void {
    const row = this.rows.get(userId)
    if (row) this.drop(row)
  }

  restored(): void {
    this.dimsOfBytes.clear()
    // when an open session's last event was is asked as its turn comes
    for (const row of this.rows.values())
      if (row.endedAt < 0) this.due.add(row, 0)
      else this.lookAgain(row, row.endedAt + longestReturn)
  }

  private begin(event: Exclude<UserEvent, { kind: 'erasure' }>, user: StoredUser): void {
    const { session } = user
    // a session that is found out of order, before the newest, is passed over
    if (session.startedAt !== event.ts || session.lastEventAt !== event.ts) return
    const before = this.rows.get(event.userId)
    if (before) {
      const closed = user.state.older?.at(-1)
      if (before.endedAt < 0 && closed) this.count(before, closed)
      if (before.endedAt >= 0) this.countReturn(before, event.ts - before.endedAt)
    }
    const row = before ?? this.newRow(event.userId, this.dimsOf(event))
    row.dims = this.dimsOf(event)
    row.provisional = event.kind !== 'impression'
    row.endedAt = -1
    this.store.touch(row)
    this.lookAgain(row, event.ts + this.users.settings.gapMs)
  }

  private newRow(userId: string, dims: SentDims): SessionRow {
    const row: SessionRow = {
      dirty: false,
      removed: false,
      dueMinute: notDue,
      userId,
      bucket: this.bucketOf(userId),
      dims,
      provisional: true,
      endedAt: -1,
    }
    this.rows.set(userId, row)
    return row
  }

  private dimsOf(event: Exclude<UserEvent, { kind: 'erasure' }>): SentDims {
    const { surface, cohort, experiments } = event.event
    const { policy = '', modelVersion = '' } = event.kind === 'impression' ? event.event : {}
    return this.dims.of({ policy, model: modelVersion, surface, cohort, experiments })
  }

  private count(row: SessionRow, session: StoredUser['session']): void {
    const { startedAt, lastEventAt, impressions, watches, watchedMs } = session
    row.endedAt = lastEventAt
    this.store.touch(row)
    this.packets.session(
      row.dims,
      Math.floor(lastEventAt / minuteMs),
      row.bucket,
      lastEventAt - startedAt,
      impressions,
      watches,
      watchedMs,
    )
  }

  private countReturn(row: SessionRow, afterMs: number): void {
    let bits = 0
    returns.forEach(({ withinMs }, k) => {
      if (afterMs <= withinMs) bits |= 1 << k
    })
    if (bits !== 0)
      this.packets.returned(row.dims, Math.floor(row.endedAt / minuteMs), row.bucket, bits)
  }

  /** True where more is due. */
  private look(limit: number): boolean {
    for (let left = limit; left > 0; left--) {
      const row = this.due.take()
      if (!row) return false
      if (!row.removed) this.lookAt(row)
    }
    return this.due.isReady
  }

  private lookAt(row: SessionRow): void {
    if (row.endedAt < 0) {
      const user = this.users.get(row.userId)
      if (!user) {
        this.drop(row)
        return
      }
      // nobody is unpacked for it, nor kept as an object
      const { lastSeenAt } = user.unpacked ?? user.around.packedTimes(user)
      const endsAt = lastSeenAt + this.users.settings.gapMs
      if (!this.hasPassed(endsAt)) {
        if (user.idle) this.users.directory.setObject(user.entry, undefined)
        this.lookAgain(row, endsAt)
        return
      }
      this.count(row, user.session)
    }
    const until = row.endedAt + longestReturn
    if (this.hasPassed(until)) this.drop(row)
    else this.lookAgain(row, until)
  }

  /** Once the watermark is the slack past `ts`. */
  private lookAgain(row: SessionRow, ts: number): void {
    this.due.add(row, Math.floor(ts / minuteMs) + 1)
  }

  /** By whole minutes, as things are looked at. */
  private hasPassed(ts: number): boolean {
    return Math.floor(ts / minuteMs) < this.minute
  }

  private drop(row: SessionRow): void {
    this.rows.delete(row.userId)
    this.store.remove(row)
  }

  private restoreRow(userId: string, value: ByteReader | null): void {
    if (value === null) {
      this.rows.delete(userId)
      return
    }
    const provisional = value.u8() === 1
    const endedAt = value.int()
    const bytes = value.raw(value.left)
    const text = bytes.toString('latin1')
    let dims = this.dimsOfBytes.get(text)
    if (!dims) {
      dims = this.dims.at(readDims(new ByteReader(bytes)))
      this.dimsOfBytes.set(text, dims)
    }
    const row = this.rows.get(userId) ?? this.newRow(userId, dims)
    row.dims = dims
    row.provisional = provisional
    row.endedAt = endedAt
  }
}

/**
 * The users of one task, their stores, and when what they no longer need is cleared.
 *
 *  - U1 Clearing decides nothing: whether something has expired is asked of the watermark where it is used, so results do
 *       not depend on when `tick` runs.
 *  - U2 Users with consent `contextual` live in `passing` and touch no store.
 *  - U3 Who was erased or withdrew consent is remembered for the grace: older events that arrive later are not used.
 *  - U4 All but about `unpackedUsers` users, those touched last, are packed. A state with changes that are not committed
 *       is never packed: rows are views into it.
 */
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Store } from '../../streams/topology/store.ts'
import type { ItemTable } from '../items/table.ts'
import type { SessionState } from '../sessions/session.ts'
import { Arena } from './arena.ts'
import { type ChunkedList, ChunkRow, DOUBLES, EXCLUSIONS, POSITIVES, SHOWN } from './chunks.ts'
import { packedOffset, packUser, unpackUser } from './packing.ts'
import { playHash, playLast, removePlay, STRIDE } from './plays.ts'
import { MovedSession, PlayRow, Withdrawal } from './row-types.ts'
import { createUserStores, type UserStores } from './rows.ts'
import { StoredUser, type Surroundings } from './stored-user.ts'
import type { Users } from './user.ts'
import type { UserState } from './user-state.ts'

const HOUR = 3_600_000

export interface UsersSettings {
  readonly items: ItemTable
  readonly gapMs: number
  readonly graceMs: number
  readonly repeatAfterMs: number
  /** Users of a task that stay unpacked, those touched last; default 16,384: 2 to 6 KB each; unpacking and packing cost more than an event. */
  readonly unpackedUsers?: number
}

const UNPACKED_USERS = 16_384

export class UserTable implements Users {
  readonly settings: UsersSettings
  readonly stores: UserStores
  readonly byId = new Map<string, StoredUser>()
  readonly passing = new Map<string, StoredUser>()
  readonly withdrawals = new Map<string, Withdrawal>()
  /** Newest event time of the partition, ms. */
  readonly watermark = { dirty: false, removed: false, at: 0 }
  private readonly around: Surroundings
  private readonly inPassing: Surroundings
  /** Later stages remove what they keep of a stored user here. */
  readonly onRemove: ((user: StoredUser) => void)[] = []
  private readonly cleanups = new Map<number, (StoredUser | Withdrawal)[]>()
  private cleanedHour = 0
  private readonly arena = new Arena()
  private readonly writer = new ByteWriter(4096)
  /** Every unpacked stored user, and those removed of late; `hand` goes round. */
  private readonly unpacked: UserState[] = []
  private hand = 0
  private readonly unpackedLimit: number

  constructor(settings: UsersSettings) {
    this.settings = settings
    const { items } = settings
    this.unpackedLimit = settings.unpackedUsers ?? UNPACKED_USERS
    this.around = {
      stored: true,
      repeatAfterMs: settings.repeatAfterMs,
      watermark: () => this.watermark.at,
      creatorOf: item => items.catalog(item)?.creator ?? -1,
      unpack: user => this.unpack(user),
      packedOffset: user => packedOffset(this.packedBytes(user)),
    }
    this.inPassing = { ...this.around, stored: false }
    this.stores = createUserStores(this)
  }

  get size(): number {
    return this.byId.size
  }

  get(userId: string): StoredUser | undefined {
    return this.byId.get(userId)
  }

  values(): IterableIterator<StoredUser> {
    return this.byId.values()
  }

  /** Moves the watermark; it never goes back. */
  see(ts: number): void {
    if (ts <= this.watermark.at) return
    this.watermark.at = ts
    this.stores.watermark.touch(this.watermark)
  }

  add(userId: string, startedAt: number, stored: boolean): StoredUser {
    const user = new StoredUser(userId, stored ? this.around : this.inPassing, startedAt)
    if (stored) {
      this.byId.set(userId, user)
      this.unpacked.push(user.state)
    } else this.passing.set(userId, user)
    return user
  }

  private packedBytes(user: StoredUser): ByteReader {
    const start = this.arena.startOf(user.packed)
    const page = this.arena.pageOf(user.packed)
    return new ByteReader(page, start, start + this.arena.lengthOf(user.packed))
  }

  private unpack(user: StoredUser): UserState {
    const state = unpackUser(user, this.packedBytes(user))
    this.arena.release(user.packed)
    user.packed = 0
    user.unpacked = state
    this.unpacked.push(state)
    return state
  }

  /** Packs users that were not touched of late, where more than the limit are unpacked: U4. */
  packIdle(): void {
    const { unpacked } = this
    let looks = 4 * (unpacked.length - this.unpackedLimit)
    while (looks-- > 0 && unpacked.length > this.unpackedLimit) {
      if (this.hand >= unpacked.length) this.hand = 0
      const state = unpacked[this.hand]
      if (state.used || !(state.user.gone || this.pack(state))) {
        state.used = false
        this.hand++
        continue
      }
      const last = unpacked.pop() as UserState
      if (last !== state) unpacked[this.hand] = last
    }
  }

  /** False: the state has to stay. */
  private pack(state: UserState): boolean {
    if (state.dirty || state.changed || state.viewWaits || state.session.dirty) return false
    if (state.older?.some(session => session.dirty)) return false
    this.writer.reset()
    packUser(state, this.writer)
    if (this.writer.length > Arena.limit) return false
    const { user } = state
    user.packed = this.arena.put(this.writer.bytes())
    user.unpacked = null
    return true
  }

  /** Bytes of packed users, and how many users are unpacked. */
  get memory(): { packedBytes: number; unpackedUsers: number } {
    return { packedBytes: this.arena.bytes, unpackedUsers: this.unpacked.length }
  }

  touchUser(user: UserState): void {
    if (user.stored) this.stores.users.touch(user)
  }

  touchSession(user: UserState, session: SessionState): void {
    if (user.stored) this.stores.sessions.touch(session)
  }

  touchPlay(user: UserState, hash: number): void {
    if (user.stored) this.stores.plays.touch(new PlayRow(user.user, hash))
  }

  /** Marks one chunk of a list; the open chunk is marked over and over and costs nothing then. */
  touchChunk(store: Store<ChunkRow>, user: UserState, list: ChunkedList, chunk: number): void {
    if (!user.stored) return
    const { open } = list
    if (open?.dirty && open.chunk === chunk) return
    list.open = new ChunkRow(user.user, chunk)
    store.touch(list.open)
  }

  sessionMoved(user: UserState, startedAt: number): void {
    if (user.stored) this.stores.sessions.touch(new MovedSession(user.user, startedAt))
  }

  /** Asks for the user to be looked at once the watermark has passed `at`. */
  cleanAfter(user: UserState, at: number): void {
    const hour = Math.floor(at / HOUR) + 1
    if (user.cleanupHour !== 0 && user.cleanupHour <= hour) return
    user.cleanupHour = hour
    this.enqueue(hour, user.user)
  }

  private enqueue(hour: number, entry: StoredUser | Withdrawal): void {
    const due = Math.max(hour, this.cleanedHour + 1)
    const waiting = this.cleanups.get(due)
    if (waiting) waiting.push(entry)
    else this.cleanups.set(due, [entry])
  }

  /** Removes all that is stored of a user: every row becomes a tombstone. */
  remove(user: StoredUser): void {
    ;(user.stored ? this.byId : this.passing).delete(user.id)
    if (!user.stored) return
    const { stores } = this
    const { state } = user
    for (const remove of this.onRemove) remove(user)
    user.gone = true
    stores.users.touch(state)
    stores.sessions.touch(state.session)
    for (const session of state.older ?? []) stores.sessions.touch(session)
    for (let at = 0; at < state.plays.length; at += STRIDE)
      stores.plays.touch(new PlayRow(user, playHash(state.plays, at)))
    this.removeChunks(stores.positives, state, state.liked, POSITIVES)
    this.removeChunks(stores.exclusions, state, state.excluded, EXCLUSIONS)
    this.removeChunks(stores.doubles, state, state.seen, DOUBLES)
    this.removeChunks(stores.shown, state, state.recentlyShown, SHOWN)
  }

  private removeChunks(
    store: Store<ChunkRow>,
    user: UserState,
    list: ChunkedList | null,
    shape: typeof POSITIVES,
  ): void {
    if (list === null || list.values.length === 0 || !user.stored) return
    const last = list.chunkOf(shape, list.length(shape) - 1)
    for (let chunk = list.chunkOf(shape, 0); chunk <= last; chunk++) {
      const row = new ChunkRow(user.user, chunk)
      row.removed = true
      store.touch(row)
    }
  }

  /** Remembers that the user's older events are not to be used: U3. */
  withdraw(userId: string, at: number): void {
    const withdrawal = new Withdrawal(userId, at)
    this.withdrawals.set(userId, withdrawal)
    this.stores.withdrawals.touch(withdrawal)
    this.enqueueWithdrawal(withdrawal)
  }

  private enqueueWithdrawal(withdrawal: Withdrawal): void {
    this.enqueue(Math.floor((withdrawal.at + this.settings.graceMs) / HOUR) + 1, withdrawal)
  }

  /** Clears what has expired, at most `limit` users a call; true where more is due. */
  clean(limit: number): boolean {
    const nowHour = Math.floor(this.watermark.at / HOUR)
    if (this.cleanedHour >= nowHour) return false
    let left = limit
    const due = [...this.cleanups.keys()].filter(hour => hour <= nowHour).sort((a, b) => a - b)
    for (const hour of due) {
      const waiting = this.cleanups.get(hour) ?? []
      while (waiting.length > 0 && left-- > 0) this.cleanOne(waiting.pop() as StoredUser, hour)
      if (waiting.length > 0) return true
      this.cleanups.delete(hour)
    }
    this.cleanedHour = nowHour
    return false
  }

  private cleanOne(entry: StoredUser | Withdrawal, hour: number): void {
    if (entry instanceof Withdrawal) {
      if (this.withdrawals.get(entry.userId) !== entry) return
      this.withdrawals.delete(entry.userId)
      this.stores.withdrawals.remove(entry)
      return
    }
    if (entry.gone) return
    const { state } = entry
    if (state.cleanupHour !== hour) return
    state.cleanupHour = 0
    if (entry.stored) this.cleanUser(state)
    else if (this.watermark.at > state.lastSeenAt + this.settings.gapMs) this.remove(entry)
    else this.cleanAfter(state, state.lastSeenAt + this.settings.gapMs)
  }

  private cleanUser(user: UserState): void {
    const horizon = this.watermark.at - this.settings.graceMs
    const { plays } = user
    for (let at = plays.length - STRIDE; at >= 0; at -= STRIDE)
      if (at < plays.length && this.playExpired(plays, at)) {
        const hash = playHash(plays, at)
        removePlay(plays, hash)
        this.touchPlay(user, hash)
      }
    if (user.plays.length === 0) user.plays = []
    const { older } = user
    if (older !== null) {
      while (older.length > 0 && older[0].lastEventAt + this.settings.gapMs < horizon)
        this.stores.sessions.remove(older.shift() as SessionState)
      if (older.length === 0) user.older = null
    }
    if (user.lastSeenAt < horizon && user.seen !== null) {
      this.removeChunks(this.stores.doubles, user, user.seen, DOUBLES)
      user.seenBefore = user.seen.dropped + user.seen.values.length
      user.seen = null
      this.stores.users.touch(user)
    }
    if (user.plays.length > 0 || user.older !== null || user.seen !== null)
      this.cleanAfter(user, Math.max(this.watermark.at, user.lastSeenAt + this.settings.graceMs))
  }

  /** Has the play had no heartbeat for the grace? All entries of a play expire with its newest. */
  playExpired(plays: readonly number[], at: number): boolean {
    const horizon = this.watermark.at - this.settings.graceMs
    if (playLast(plays, at) >= horizon) return false
    const hash = playHash(plays, at)
    for (let other = 0; other < plays.length; other += STRIDE)
      if (plays[other] === hash && playLast(plays, other) >= horizon) return false
    return true
  }

  /** Ends the restore of one user: asks for its cleaning and packs it. */
  restoredUser(user: UserState): void {
    if (user.seen !== null || user.older !== null || user.plays.length > 0)
      this.cleanAfter(user, user.lastSeenAt + this.settings.graceMs)
    this.pack(user)
  }

  /** Ends a restore. */
  restored(): void {
    this.unpacked.length = 0
    for (const { unpacked } of this.byId.values()) if (unpacked) this.unpacked.push(unpacked)
    for (const withdrawal of this.withdrawals.values()) this.enqueueWithdrawal(withdrawal)
  }
}

/**
 * The users of one task, their stores, and when what they no longer need is cleared.
 *
 *  - U1 Clearing decides nothing: whether something has expired is asked of the watermark where it is used, so results do
 *       not depend on when `tick` runs.
 *  - U2 Users with consent `contextual` live in `passing` and touch no store.
 *  - U3 Who was erased or withdrew consent is remembered for the grace: older events that arrive later are not used.
 *  - U4 Users are packed but for those touched last, as many as the process' budget allows (user-memory.ts). A state with
 *       changes that are not committed is never packed: rows are views into it.
 *  - U5 Of a packed user whom nobody may hold on to only the bytes stay; a restore leaves all users so.
 */
import { ByteWriter } from '../../streams/serde/bytes.ts'
import type { Store } from '../../streams/topology/store.ts'
import type { ItemTable } from '../items/table.ts'
import type { SessionState } from '../sessions/session.ts'
import {
  APPROVALS,
  type ChunkedList,
  ChunkRow,
  type ChunkShape,
  DOUBLES,
  EXCLUSIONS,
  POSITIVES,
  SHOWN,
} from './chunks.ts'
import type { CreatorWeights } from './creator-weights.ts'
import { UserDirectory } from './directory.ts'
import { activeSince, entriesWhere, pack, sortOut, timesOf, unpack } from './packed-users.ts'
import {
  endedBefore,
  findPlay,
  findTooMany,
  isApart,
  markApart,
  playHash,
  removePlay,
  STRIDE,
} from './plays.ts'
import { MovedSession, PlayRow, Withdrawal } from './row-types.ts'
import { createUserStores, type UserStores } from './rows.ts'
import { StoredUser, type Surroundings } from './stored-user.ts'
import type { Users } from './user.ts'
import { UserMemory } from './user-memory.ts'
import { ITEMS_IN_ROW } from './user-row.ts'
import { UserState } from './user-state.ts'

const HOUR = 3_600_000

export interface UsersSettings {
  readonly items: ItemTable
  readonly gapMs: number
  readonly graceMs: number
  readonly repeatAfterMs: number
  readonly creatorWeights: CreatorWeights
  /** What the tasks of the process share; without it a task has a budget of its own. */
  readonly memory?: UserMemory
}

export class UserTable implements Users {
  readonly settings: UsersSettings
  readonly stores: UserStores
  readonly directory = new UserDirectory()
  readonly passing = new Map<string, StoredUser>()
  readonly withdrawals = new Map<string, Withdrawal>()
  /** Newest event time of the partition, ms. */
  readonly watermark = { dirty: false, removed: false, at: 0 }
  private readonly around: Surroundings
  private readonly inPassing: Surroundings
  /** Later stages remove what they keep of a stored user here. */
  readonly onRemove: ((user: StoredUser) => void)[] = []
  /** By hour: entries of stored users, users in passing, withdrawals. */
  private readonly cleanups = new Map<number, (number | StoredUser | Withdrawal)[]>()
  private cleanedHour = 0
  private readonly writer = new ByteWriter(4096)
  /** Every unpacked stored user, and those removed of late; `hand` goes round. */
  private readonly unpacked: UserState[] = []
  private hand = 0
  private readonly shared: UserMemory

  constructor(settings: UsersSettings) {
    this.settings = settings
    this.shared = settings.memory ?? new UserMemory()
    this.shared.add(this)
    this.around = {
      stored: true,
      settings,
      watermark: () => this.watermark.at,
      creatorOf: item => settings.items.catalog(item)?.creator ?? -1,
      unpack: user => this.unpack(user),
      packedTimes: user => timesOf(this.directory, user.entry),
    }
    this.inPassing = { ...this.around, stored: false }
    this.stores = createUserStores(this)
  }

  get size(): number {
    return this.directory.size
  }

  get(userId: string): StoredUser | undefined {
    const entry = this.directory.find(userId)
    return entry < 0 ? undefined : this.at(entry)
  }

  private at(entry: number): StoredUser {
    const { directory } = this
    const known = directory.objectOf(entry)
    if (known) return known
    const user = new StoredUser(directory.idOf(entry), this.around, entry)
    directory.setObject(entry, user)
    return user
  }

  /** Each stored user once, whatever happens meanwhile; who is removed or new since may be left out. */
  *values(): IterableIterator<StoredUser> {
    const { directory } = this
    for (let entry = 0; entry < directory.entries; entry++) {
      if (!directory.has(entry)) continue
      const user = this.at(entry)
      yield user
      if (directory.objectOf(entry) === user && user.idle) directory.setObject(entry, undefined)
    }
  }

  /**
   * Users whose newest event is at or after `ts` (event time, ms): by id, nobody is unpacked for it. An undefined now and
   * then, so that whoever works in slices may stop although nobody was found.
   */
  activeSince(ts: number): IterableIterator<string | undefined> {
    return activeSince(this.directory, ts)
  }

  /** Users whose newest event has this offset or a later one. */
  *withOffsetFrom(offset: number): IterableIterator<StoredUser> {
    for (const entry of entriesWhere(this.directory, times => times.lastOffset >= offset))
      yield this.at(entry)
  }

  /** Moves the watermark; it never goes back. */
  see(ts: number): void {
    if (ts <= this.watermark.at) return
    this.watermark.at = ts
    this.stores.watermark.touch(this.watermark)
  }

  add(userId: string, startedAt: number, stored: boolean): StoredUser {
    const { directory } = this
    const entry = stored ? directory.add(userId) : -1
    const user = new StoredUser(userId, stored ? this.around : this.inPassing, entry)
    user.unpacked = new UserState(user, startedAt)
    if (stored) {
      directory.setObject(entry, user)
      this.unpacked.push(user.unpacked)
    } else this.passing.set(userId, user)
    return user
  }

  private unpack(user: StoredUser): UserState {
    const { items, graceMs } = this.settings
    const state = unpack(this.directory, user, items, graceMs)
    this.unpacked.push(state)
    return state
  }

  /** Packs users that were not touched of late, where more than its share are unpacked: U4. */
  packIdle(): void {
    const { unpacked } = this
    const limit = this.shared.limitOf(unpacked.length)
    let looks = 4 * (unpacked.length - limit)
    while (looks-- > 0 && unpacked.length > limit) {
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
    pack(this.directory, state, this.writer)
    return true
  }

  /** Bytes of all users of the process. */
  get stateBytes(): number {
    return this.shared.bytes
  }

  /** Bytes of packed users, and how many users are unpacked. */
  get memory(): { packedBytes: number; unpackedUsers: number } {
    return { packedBytes: this.directory.arena.bytes, unpackedUsers: this.unpacked.length }
  }

  touchUser(user: UserState): void {
    if (user.stored) this.stores.users.touch(user)
  }

  /** The newest session stands in the user's row, but for many items. */
  touchSession(user: UserState, session: SessionState): void {
    if (!user.stored || (session === user.session && session.items.length <= ITEMS_IN_ROW)) return
    this.stores.sessions.touch(session)
  }

  /** Writes a play that has a row of its own; others stand in the user's row. */
  touchPlay(user: UserState, hash: number): void {
    if (!user.stored) return
    const at = findPlay(user.plays, hash)
    if (at >= 0 && isApart(user.plays, at)) this.stores.plays.touch(new PlayRow(user.user, hash))
  }

  /** Takes a play out of the user, and its row away. */
  forgetPlay(user: UserState, hash: number): void {
    this.touchPlay(user, hash)
    removePlay(user.plays, hash)
  }

  /** After a play was added: the oldest in the user's row gets a row of its own where there are too many. */
  sparePlays(user: UserState): void {
    const at = findTooMany(user.plays)
    if (at < 0) return
    const hash = playHash(user.plays, at)
    markApart(user.plays, hash)
    this.touchPlay(user, hash)
  }

  /** Marks a chunk whose list stands in the user's row up to what does not fill one: only full chunks have a row. */
  touchFull(
    store: Store<ChunkRow>,
    shape: ChunkShape,
    user: UserState,
    list: ChunkedList,
    chunk: number,
  ): void {
    if (chunk < list.chunkOf(shape, list.length(shape))) this.touchChunk(store, user, list, chunk)
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
    user.cleanupHour = this.enqueue(hour, user.stored ? user.user.entry : user.user)
  }

  /** Gives the hour in which the entry's turn comes. */
  private enqueue(hour: number, entry: number | StoredUser | Withdrawal): number {
    const due = Math.max(hour, this.cleanedHour + 1)
    const waiting = this.cleanups.get(due)
    if (waiting) waiting.push(entry)
    else this.cleanups.set(due, [entry])
    return due
  }

  /** Removes all that is stored of a user: every row becomes a tombstone. */
  remove(user: StoredUser): void {
    if (!user.stored) {
      this.passing.delete(user.id)
      return
    }
    const { stores } = this
    const { state } = user
    for (const remove of this.onRemove) remove(user)
    user.gone = true
    this.directory.remove(user.entry)
    stores.users.touch(state)
    stores.sessions.touch(state.session)
    for (const session of state.older ?? []) stores.sessions.touch(session)
    for (let at = 0; at < state.plays.length; at += STRIDE)
      if (isApart(state.plays, at)) stores.plays.touch(new PlayRow(user, playHash(state.plays, at)))
    this.removeChunks(stores.positives, state, state.liked, POSITIVES)
    this.removeChunks(stores.exclusions, state, state.excluded, EXCLUSIONS)
    this.removeChunks(stores.doubles, state, state.seen, DOUBLES)
    this.removeChunks(stores.shown, state, state.recentlyShown, SHOWN)
    this.removeChunks(stores.approvals, state, state.approved, APPROVALS)
  }

  private removeChunks(
    store: Store<ChunkRow>,
    user: UserState,
    list: ChunkedList | null,
    shape: ChunkShape,
  ): void {
    if (list === null || list.values.length === 0 || !user.stored) return
    const last = list.chunkOf(shape, list.length(shape)) - (shape.openHasRow ? 0 : 1)
    for (let chunk = list.chunkOf(shape, 0); chunk <= last; chunk++) {
      const row = new ChunkRow(user.user, chunk)
      row.removed = true
      store.touch(row)
    }
  }

  /** Remembers that the user's older events are not to be used: U3. */
  withdraw(userId: string, at: number): void {
    if ((this.withdrawals.get(userId)?.at ?? 0) >= at) return
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
      while (waiting.length > 0 && left-- > 0) this.cleanOne(waiting.pop() as number, hour)
      if (waiting.length > 0) return true
      this.cleanups.delete(hour)
    }
    this.cleanedHour = nowHour
    return false
  }

  private cleanOne(entry: number | StoredUser | Withdrawal, hour: number): void {
    if (entry instanceof Withdrawal) {
      if (this.withdrawals.get(entry.userId) !== entry) return
      this.withdrawals.delete(entry.userId)
      this.stores.withdrawals.remove(entry)
      return
    }
    // an entry may have been given again: whoever has it now is not due
    if (typeof entry === 'number' && !this.directory.has(entry)) return
    const user = typeof entry === 'number' ? this.at(entry) : entry
    if (user.gone) return
    const { state } = user
    if (state.cleanupHour !== hour) return
    state.cleanupHour = 0
    if (user.stored) this.cleanUser(state)
    else if (this.watermark.at > state.lastSeenAt + this.settings.gapMs) this.remove(user)
    else this.cleanAfter(state, state.lastSeenAt + this.settings.gapMs)
  }

  private cleanUser(user: UserState): void {
    const horizon = this.watermark.at - this.settings.graceMs
    const { plays } = user
    for (let at = plays.length - STRIDE; at >= 0; at -= STRIDE)
      if (at < plays.length && this.playExpired(plays, at)) {
        this.forgetPlay(user, playHash(plays, at))
        this.touchUser(user)
      }
    if (user.plays.length === 0) user.plays = []
    const { older } = user
    if (older !== null) {
      while (older.length > 0 && older[0].lastEventAt + this.settings.gapMs < horizon)
        this.stores.sessions.remove(older.shift() as SessionState)
      if (older.length === 0) user.older = null
    }
    this.forgetDoubles(user)
    if (user.plays.length > 0 || user.older !== null || user.seen !== null)
      this.cleanAfter(user, Math.max(this.watermark.at, user.lastSeenAt + this.settings.graceMs))
  }

  /** Forgets what a user without an event for the grace has sent. Asked before the hashes are used, too: U1. */
  forgetDoubles(user: UserState): void {
    const { seen } = user
    if (seen === null || user.lastSeenAt >= this.watermark.at - this.settings.graceMs) return
    this.removeChunks(this.stores.doubles, user, seen, DOUBLES)
    user.seenBefore = seen.dropped + seen.values.length
    user.seen = null
    this.touchUser(user)
  }

  /** Has the play had no heartbeat for the grace? All entries of a play expire with its newest. */
  playExpired(plays: readonly number[], at: number): boolean {
    return endedBefore(plays, at, this.watermark.at - this.settings.graceMs)
  }

  /** Ends a restore: users stay as they came off the log, and are looked at when something of them expires. */
  restored(): void {
    sortOut(this.directory, this.settings.graceMs, (entry, hour) => this.enqueue(hour, entry))
    for (const withdrawal of this.withdrawals.values()) this.enqueueWithdrawal(withdrawal)
  }
}

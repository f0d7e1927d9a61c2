/**
 * How users stand on the changelog. Keys are the userId with its length, then the part; item ids are text on the log and indices
 * in memory. Exact stores but for what was shown, which only steers fatigue.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { type Row, Store, type StoreSpec } from '../../streams/topology/store.ts'
import { SessionState } from '../sessions/session.ts'
import {
  type ChunkedList,
  type ChunkRow,
  type ChunkShape,
  DOUBLES,
  EXCLUSIONS,
  joinChunks,
  POSITIVES,
  SHOWN,
} from './chunks.ts'
import { intern, readCounts, readHash, readList, writeCounts, writeHash } from './codec.ts'
import { COLUMNS, entriesOf, findPlay, removePlay } from './plays.ts'
import { MovedSession, type PlayRow, Withdrawal } from './row-types.ts'
import { USER_STORES } from './store-ids.ts'
import {
  exclusionOf,
  itemOfExclusion,
  itemShown,
  minuteShown,
  shownOf,
  timeOfExclusion,
  type UserState,
} from './user-state.ts'
import type { UserTable } from './users.ts'

export interface UserStores {
  readonly users: Store<UserState>
  readonly sessions: Store<SessionState | MovedSession>
  readonly plays: Store<PlayRow>
  readonly positives: Store<ChunkRow>
  readonly exclusions: Store<ChunkRow>
  readonly doubles: Store<ChunkRow>
  readonly shown: Store<ChunkRow>
  readonly withdrawals: Store<Withdrawal>
  readonly watermark: Store<Row & { at: number }>
  /** Puts together what the restore met in any order. */
  restored(): void
}

/** How often the soft rows of what was shown are written. */
const SHOWN_EVERY_MS = 10_000

type Chunks = Map<number, { chunk: number; values: number[] }>

/** Layout of the hot row. */
const LAYOUT = 1

export function createUserStores(table: UserTable): UserStores {
  const { items } = table.settings
  /** Chunks by user and slot, until the restore has ended. */
  const pending = {
    positives: new Map<string, Chunks>(),
    exclusions: new Map<string, Chunks>(),
    doubles: new Map<string, Chunks>(),
    shown: new Map<string, Chunks>(),
  }
  /** The hot rows' starts of the newest session, open chunk of doubles and sessions by start, until the restore has ended. */
  const sessions = new Map<string, Map<number, SessionState>>()
  const tails = new Map<string, { total: number; values: number[] }>()

  function userOf(userId: string, startedAt: number): UserState {
    return (table.byId.get(userId) ?? table.add(userId, startedAt, true)).state
  }

  function sessionOf(user: UserState, startedAt: number): SessionState {
    let own = sessions.get(user.id)
    if (!own) {
      own = new Map()
      sessions.set(user.id, own)
    }
    let session = own.get(startedAt)
    if (!session) {
      session = new SessionState(user, startedAt)
      own.set(startedAt, session)
    }
    return session
  }

  const users = new Store<UserState>({
    id: USER_STORES.users,
    name: 'users',
    write: 'exact',
    writeKey: (user, w) => void writePart(w, user.id),
    writeValue(user, w) {
      const { session } = user
      w.u8(LAYOUT).uint(user.lastSeenAt).uint(user.lastOffset)
      w.string(user.cohort).string(user.surface).uint(session.startedAt)
      writeCounts(session, w)
      const total =
        user.seen === null ? user.seenBefore : user.seen.dropped + user.seen.values.length
      const tail = user.seen === null ? 0 : Math.min(user.seen.values.length, total % DOUBLES.size)
      w.uint(total).uint(tail)
      if (user.seen !== null)
        for (let k = user.seen.values.length - tail; k < user.seen.values.length; k++)
          writeHash(w, user.seen.values[k])
    },
    restore(key, value) {
      const userId = key.string()
      if (value === null) {
        table.byId.delete(userId)
        sessions.delete(userId)
        tails.delete(userId)
        for (const lists of Object.values(pending)) lists.delete(userId)
        return
      }
      value.u8()
      const lastSeenAt = value.uint()
      const lastOffset = value.uint()
      const cohort = value.string()
      const surface = value.string()
      const startedAt = value.uint()
      const user = userOf(userId, startedAt)
      user.lastSeenAt = lastSeenAt
      user.lastOffset = lastOffset
      user.cohort = intern(cohort)
      user.surface = intern(surface)
      const session = sessionOf(user, startedAt)
      readCounts(session, value)
      user.session = session
      const total = value.uint()
      const values: number[] = []
      for (let n = value.uint(); n > 0; n--) values.push(readHash(value))
      tails.set(userId, { total, values })
    },
  })

  const sessionStore = new Store<SessionState | MovedSession>({
    id: USER_STORES.sessions,
    name: 'sessions',
    write: 'exact',
    writeKey: (session, w) => writePart(w, session.user.id).uint(session.startedAt),
    writeValue(session, w) {
      if (session instanceof MovedSession) return
      // the newest session's counts stand in the user's row, which changes with every event
      const newest = session.user.session === session
      w.u8(newest ? 1 : 0)
      if (!newest) writeCounts(session, w)
      w.uint(session.items.length)
      for (const item of session.items) w.string(items.idOf(item))
    },
    restore(key, value) {
      const userId = key.string()
      const startedAt = key.uint()
      if (value === null) {
        sessions.get(userId)?.delete(startedAt)
        return
      }
      const user = userOf(userId, startedAt)
      const session = sessionOf(user, startedAt)
      const newest = value.u8() === 1
      if (!newest) readCounts(session, value)
      session.items = readList(value, () => items.index(value.string()))
    },
  })

  const plays = new Store<PlayRow>({
    id: USER_STORES.plays,
    name: 'plays',
    write: 'exact',
    writeKey: (row, w) => writeHash(writePart(w, row.user.id), row.hash),
    writeValue(row, w) {
      const { plays } = row.user.state
      const entries = entriesOf(plays, row.hash)
      const first = entries[0]
      w.string(items.idOf(Math.floor(plays[first + COLUMNS.ITEM] / COLUMNS.FLAGS)))
      w.uint(entries.length)
      for (const at of entries) {
        w.u8(plays[at + COLUMNS.ITEM] % COLUMNS.FLAGS)
        w.uint(plays[at + COLUMNS.FIRST])
        w.uint(plays[at + COLUMNS.LAST] - plays[at + COLUMNS.FIRST])
        w.uint(plays[at + COLUMNS.WATCHED])
        w.uint(plays[at + COLUMNS.SEQ])
      }
    },
    restore(key, value) {
      const userId = key.string()
      const hash = readHash(key)
      const known = table.byId.get(userId)?.state
      if (value === null) {
        if (known) removePlay(known.plays, hash)
        return
      }
      const user = known ?? userOf(userId, 0)
      if (findPlay(user.plays, hash) >= 0) removePlay(user.plays, hash)
      const item = items.index(value.string())
      for (let n = value.uint(); n > 0; n--) {
        const flags = value.u8()
        const first = value.uint()
        const last = first + value.uint()
        user.plays.push(hash, first, last, value.uint(), item * COLUMNS.FLAGS + flags, value.uint())
      }
    },
  })

  const positives = chunkStore({
    id: USER_STORES.positives,
    name: 'positives',
    write: 'exact',
    shape: POSITIVES,
    pending: pending.positives,
    listOf: user => user.liked,
    write1(values, at, w) {
      w.string(items.idOf(values[at])).uint(values[at + 1])
    },
    read1(value, values) {
      values.push(items.index(value.string()), value.uint())
    },
  })

  const exclusions = chunkStore({
    id: USER_STORES.exclusions,
    name: 'exclusions',
    write: 'exact',
    shape: EXCLUSIONS,
    pending: pending.exclusions,
    listOf: user => user.excluded,
    write1(values, at, w) {
      w.string(items.idOf(itemOfExclusion(values[at]))).uint(timeOfExclusion(values[at]))
    },
    read1(value, values) {
      values.push(exclusionOf(items.index(value.string()), value.uint()))
    },
  })

  const doubles = chunkStore({
    id: USER_STORES.doubles,
    name: 'doubles',
    write: 'exact',
    shape: DOUBLES,
    pending: pending.doubles,
    listOf: user => user.seen,
    write1: (values, at, w) => writeHash(w, values[at]),
    read1: (value, values) => values.push(readHash(value)),
  })

  const shown = chunkStore({
    id: USER_STORES.shown,
    name: 'shown',
    write: { everyMs: SHOWN_EVERY_MS },
    shape: SHOWN,
    pending: pending.shown,
    listOf: user => user.recentlyShown,
    write1(values, at, w) {
      if (values[at] < 0) w.string('').uint(0)
      else w.string(items.idOf(itemShown(values[at]))).uint(minuteShown(values[at]))
    },
    read1(value, values) {
      const itemId = value.string()
      const minute = value.uint()
      values.push(itemId === '' ? -1 : shownOf(items.index(itemId), minute))
    },
  })

  const withdrawals = new Store<Withdrawal>({
    id: USER_STORES.withdrawals,
    name: 'withdrawals',
    write: 'exact',
    writeKey: (row, w) => void writePart(w, row.userId),
    writeValue: (row, w) => void w.uint(row.at),
    restore(key, value) {
      const userId = key.string()
      if (value === null) table.withdrawals.delete(userId)
      else table.withdrawals.set(userId, new Withdrawal(userId, value.uint()))
    },
  })

  const watermark = new Store<Row & { at: number }>({
    id: USER_STORES.watermark,
    name: 'watermark',
    write: 'exact',
    writeKey: (_row, w) => void w.u8(0),
    writeValue: (row, w) => void w.uint(row.at),
    restore(_key, value) {
      if (value !== null) table.watermark.at = value.uint()
    },
  })

  return {
    users,
    sessions: sessionStore,
    plays,
    positives,
    exclusions,
    doubles,
    shown,
    withdrawals,
    watermark,
    restored() {
      for (const { state: user } of table.byId.values()) {
        const own = [...(sessions.get(user.id)?.values() ?? [])]
        const older = own
          .filter(session => session !== user.session && session.startedAt < user.session.startedAt)
          .sort((a, b) => a.startedAt - b.startedAt)
        user.older = older.length > 0 ? older : null
        user.liked.values = []
        Object.assign(user.liked, joined(POSITIVES, pending.positives, user))
        user.excluded = orNull(joined(EXCLUSIONS, pending.exclusions, user))
        user.recentlyShown = orNull(joined(SHOWN, pending.shown, user))
        restoreDoubles(user, pending.doubles.get(user.id), tails.get(user.id))
        sessions.delete(user.id)
        tails.delete(user.id)
        for (const lists of Object.values(pending)) lists.delete(user.id)
        table.restoredUser(user)
      }
      sessions.clear()
      tails.clear()
      for (const lists of Object.values(pending)) lists.clear()
    },
  }
}

function joined(shape: ChunkShape, lists: Map<string, Chunks>, user: UserState): ChunkedList {
  return joinChunks(shape, [...(lists.get(user.id)?.values() ?? [])])
}

function orNull(list: ChunkedList): ChunkedList | null {
  return list.values.length > 0 ? list : null
}

function restoreDoubles(
  user: UserState,
  chunks: Chunks | undefined,
  tail: { total: number; values: number[] } | undefined,
): void {
  const total = tail?.total ?? 0
  const open = Math.floor(total / DOUBLES.size)
  const full = [...(chunks?.values() ?? [])].filter(
    ({ chunk }) => chunk < open && chunk > open - DOUBLES.slots,
  )
  const list = joinChunks(DOUBLES, full)
  list.values = list.values.concat(tail?.values ?? [])
  list.dropped = total - list.values.length
  user.seenBefore = total
  user.seen = list.values.length > 0 ? list : null
}

function chunkStore(spec: {
  id: number
  name: string
  write: StoreSpec<ChunkRow>['write']
  shape: ChunkShape
  pending: Map<string, Chunks>
  listOf(user: UserState): ChunkedList | null
  write1(values: readonly number[], at: number, w: ByteWriter): void
  read1(value: ByteReader, values: number[]): void
}): Store<ChunkRow> {
  const { shape, pending } = spec
  return new Store<ChunkRow>({
    id: spec.id,
    name: spec.name,
    write: spec.write,
    writeKey: (row, w) => writePart(w, row.user.id).uint(row.chunk % shape.slots),
    writeValue(row, w) {
      const list = spec.listOf(row.user.state)
      w.uint(row.chunk)
      if (list === null) return
      if (list.open === row) list.open = null
      const { from, to } = list.bounds(shape, row.chunk)
      for (let at = from; at < to; at += shape.stride) spec.write1(list.values, at, w)
    },
    restore(key, value) {
      const userId = key.string()
      const slot = key.uint()
      let own = pending.get(userId)
      if (value === null) {
        own?.delete(slot)
        return
      }
      if (!own) {
        own = new Map()
        pending.set(userId, own)
      }
      const chunk = value.uint()
      const values: number[] = []
      while (value.left > 0) spec.read1(value, values)
      own.set(slot, { chunk, values })
    },
  })
}

function writePart(w: ByteWriter, userId: string): ByteWriter {
  return w.string(userId)
}

/**
 * How users stand on the changelog. Keys are the userId with its length, then the part; item ids are text on the log and indices
 * in memory. Exact stores but for what was shown, which only steers fatigue.
 *
 *  - W1 A user's own row changes with every event and holds all of most users (user-row.ts); other rows hold what is full
 *       or past: chunks of lists, sessions before the newest, plays before the newest.
 *  - W2 Rows of users are not read at a restore but kept as they are (raw-users.ts).
 */
import type { ByteWriter } from '../../streams/serde/bytes.ts'
import { type Row, Store, type StoreSpec } from '../../streams/topology/store.ts'
import type { SessionState } from '../sessions/session.ts'
import {
  APPROVALS,
  type ChunkedList,
  type ChunkRow,
  type ChunkShape,
  DOUBLES,
  EXCLUSIONS,
  POSITIVES,
  SHOWN,
} from './chunks.ts'
import { writeCounts, writeHash } from './codec.ts'
import { COLUMNS, entriesOf } from './plays.ts'
import { takeRow, writeEnd } from './raw-users.ts'
import { MovedSession, type PlayRow, Withdrawal } from './row-types.ts'
import { USER_STORES } from './store-ids.ts'
import { writeUserRow } from './user-row.ts'
import {
  itemOfExclusion,
  itemShown,
  minuteShown,
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
  readonly approvals: Store<ChunkRow>
  readonly withdrawals: Store<Withdrawal>
  readonly watermark: Store<Row & { at: number }>
}

/** How often the soft rows of what was shown are written. */
const SHOWN_EVERY_MS = 10_000

export function createUserStores(table: UserTable): UserStores {
  const { items } = table.settings

  /** A store whose rows belong to users. */
  const ofUsers = <R extends Row>(spec: Omit<StoreSpec<R>, 'restore'>): Store<R> =>
    new Store<R>({
      ...spec,
      writeValue(row, w) {
        const start = w.length
        spec.writeValue(row, w)
        writeEnd(w, w.length - start)
      },
      restore: (key, value) => takeRow(table.directory, items, spec.id, key, value),
    })

  const chunkStore = (spec: {
    id: number
    name: string
    write: StoreSpec<ChunkRow>['write']
    shape: ChunkShape
    listOf(user: UserState): ChunkedList | null
    write1(values: readonly number[], at: number, w: ByteWriter): void
  }): Store<ChunkRow> =>
    ofUsers<ChunkRow>({
      id: spec.id,
      name: spec.name,
      write: spec.write,
      writeKey: (row, w) => void w.string(row.user.id).uint(row.chunk % spec.shape.slots),
      writeValue(row, w) {
        const list = spec.listOf(row.user.state)
        w.uint(row.chunk)
        if (list === null) return
        if (list.open === row) list.open = null
        const { from, to } = list.bounds(spec.shape, row.chunk)
        for (let at = from; at < to; at += spec.shape.stride) spec.write1(list.values, at, w)
      },
    })

  const users = ofUsers<UserState>({
    id: USER_STORES.users,
    name: 'users',
    write: 'exact',
    writeKey: (user, w) => void w.string(user.id),
    writeValue: (user, w) => writeUserRow(user, items, w),
  })

  const sessions = ofUsers<SessionState | MovedSession>({
    id: USER_STORES.sessions,
    name: 'sessions',
    write: 'exact',
    writeKey: (session, w) => void w.string(session.user.id).uint(session.startedAt),
    writeValue(session, w) {
      if (session instanceof MovedSession) return
      // the newest session's counts stand in the user's row, which changes with every event
      const newest = session.user.session === session
      w.u8(newest ? 1 : 0)
      if (!newest) writeCounts(session, w)
      w.uint(session.items.length)
      for (const item of session.items) w.string(items.idOf(item))
    },
  })

  const plays = ofUsers<PlayRow>({
    id: USER_STORES.plays,
    name: 'plays',
    write: 'exact',
    writeKey: (row, w) => writeHash(w.string(row.user.id), row.hash),
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
  })

  const positives = chunkStore({
    id: USER_STORES.positives,
    name: 'positives',
    write: 'exact',
    shape: POSITIVES,
    listOf: user => user.liked,
    write1(values, at, w) {
      w.string(items.idOf(values[at])).uint(values[at + 1])
    },
  })

  const exclusions = chunkStore({
    id: USER_STORES.exclusions,
    name: 'exclusions',
    write: 'exact',
    shape: EXCLUSIONS,
    listOf: user => user.excluded,
    write1(values, at, w) {
      w.string(items.idOf(itemOfExclusion(values[at]))).uint(timeOfExclusion(values[at]))
    },
  })

  const approvals = chunkStore({
    id: USER_STORES.approvals,
    name: 'approvals',
    write: 'exact',
    shape: APPROVALS,
    listOf: user => user.approved,
    write1(values, at, w) {
      w.string(items.idOf(itemOfExclusion(values[at]))).uint(timeOfExclusion(values[at]))
    },
  })

  const doubles = chunkStore({
    id: USER_STORES.doubles,
    name: 'doubles',
    write: 'exact',
    shape: DOUBLES,
    listOf: user => user.seen,
    write1: (values, at, w) => writeHash(w, values[at]),
  })

  const shown = chunkStore({
    id: USER_STORES.shown,
    name: 'shown',
    write: { everyMs: SHOWN_EVERY_MS },
    shape: SHOWN,
    listOf: user => user.recentlyShown,
    write1(values, at, w) {
      if (values[at] < 0) w.string('').uint(0)
      else w.string(items.idOf(itemShown(values[at]))).uint(minuteShown(values[at]))
    },
  })

  const withdrawals = new Store<Withdrawal>({
    id: USER_STORES.withdrawals,
    name: 'withdrawals',
    write: 'exact',
    writeKey: (row, w) => void w.string(row.userId),
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
    sessions,
    plays,
    positives,
    exclusions,
    doubles,
    shown,
    approvals,
    withdrawals,
    watermark,
  }
}

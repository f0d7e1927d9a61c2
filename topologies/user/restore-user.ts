/** Puts a user together from the rows that a restore left (raw-users.ts). */
import type { ByteReader } from '../../streams/serde/bytes.ts'
import type { ItemTable } from '../items/table.ts'
import { SessionState } from '../sessions/session.ts'
import {
  APPROVALS,
  type Chunk,
  ChunkedList,
  type ChunkShape,
  DOUBLES,
  EXCLUSIONS,
  joinChunks,
  POSITIVES,
  SHOWN,
} from './chunks.ts'
import { readCounts, readHash, readList } from './codec.ts'
import { APART, COLUMNS } from './plays.ts'
import type { RawRow } from './raw-users.ts'
import { USER_STORES } from './store-ids.ts'
import type { StoredUser } from './stored-user.ts'
import { readUserRow } from './user-row.ts'
import { exclusionOf, shownOf, UserState } from './user-state.ts'

const HOUR = 3_600_000

interface Found {
  readonly sessions: { startedAt: number; value: ByteReader }[]
  readonly plays: number[][]
  readonly positives: Chunk[]
  readonly exclusions: Chunk[]
  readonly doubles: Chunk[]
  readonly shown: Chunk[]
  readonly approvals: Chunk[]
}

/** `own` stands at the value of the user's own row. */
export function restoreUser(
  stored: StoredUser,
  own: ByteReader,
  further: Iterable<RawRow>,
  items: ItemTable,
  graceMs: number,
): UserState {
  const user = new UserState(stored, 0)
  const found: Found = {
    sessions: [],
    plays: [],
    positives: [],
    exclusions: [],
    doubles: [],
    shown: [],
    approvals: [],
  }
  for (const row of further) take(row, found, items)
  const tails = readUserRow(own, user)
  user.cleanupHour = tails.expires ? cleanupHourOf(user.lastSeenAt, graceMs) : 0
  takeSessions(user, found, items, tails.itemsApart)
  if (found.plays.length > 0) {
    // rows of their own have the older plays
    found.plays.sort((a, b) => a[COLUMNS.FIRST] - b[COLUMNS.FIRST])
    user.plays = [...found.plays.flat(), ...user.plays]
  }
  joinChunks(user.liked, POSITIVES, found.positives, tails.positivesTail, tails.positives)
  const excluded = new ChunkedList()
  joinChunks(excluded, EXCLUSIONS, found.exclusions, tails.exclusionsTail, tails.exclusions)
  user.excluded = orNull(excluded)
  const seen = new ChunkedList()
  joinChunks(seen, DOUBLES, found.doubles, tails.doublesTail, tails.doubles)
  user.seen = orNull(seen)
  user.seenBefore = tails.doubles
  user.recentlyShown = joinWithOpen(SHOWN, found.shown)
  user.approved = joinWithOpen(APPROVALS, found.approvals)
  return user
}

/** The hour of event time in which a user is looked at for what has expired. */
export const cleanupHourOf = (lastSeenAt: number, graceMs: number): number =>
  Math.floor((lastSeenAt + graceMs) / HOUR) + 1

function take(row: RawRow, found: Found, items: ItemTable): void {
  const { key, value } = row
  if (row.store === USER_STORES.sessions) found.sessions.push({ startedAt: key.uint(), value })
  else if (row.store === USER_STORES.plays)
    found.plays.push(readPlayRow(readHash(key), value, items))
  else if (row.store === USER_STORES.positives)
    found.positives.push(
      readChunk(value, values => values.push(items.index(value.string()), value.uint())),
    )
  else if (row.store === USER_STORES.exclusions || row.store === USER_STORES.approvals) {
    const chunks = row.store === USER_STORES.approvals ? found.approvals : found.exclusions
    chunks.push(
      readChunk(value, values =>
        values.push(exclusionOf(items.index(value.string()), value.uint())),
      ),
    )
  } else if (row.store === USER_STORES.doubles)
    found.doubles.push(readChunk(value, values => values.push(readHash(value))))
  else if (row.store === USER_STORES.shown)
    found.shown.push(readChunk(value, values => values.push(readShown(value, items))))
}

function readChunk(value: ByteReader, read1: (values: number[]) => void): Chunk {
  const chunk = value.uint()
  const values: number[] = []
  while (value.left > 0) read1(values)
  return { chunk, values }
}

function readShown(value: ByteReader, items: ItemTable): number {
  const itemId = value.string()
  const minute = value.uint()
  return itemId === '' ? -1 : shownOf(items.index(itemId), minute)
}

function readPlayRow(hash: number, value: ByteReader, items: ItemTable): number[] {
  const plays: number[] = []
  const item = items.index(value.string())
  for (let n = value.uint(); n > 0; n--) {
    const flags = value.u8()
    const first = value.uint()
    const last = first + value.uint()
    const watched = value.uint()
    plays.push(hash, first, last, watched, item * COLUMNS.FLAGS + (flags | APART), value.uint())
  }
  return plays
}

function takeSessions(user: UserState, found: Found, items: ItemTable, itemsApart: boolean): void {
  const older: SessionState[] = []
  for (const { startedAt, value } of found.sessions) {
    // what a session of the same start left behind when it became the newest counts no more
    if (startedAt > user.session.startedAt) continue
    if (startedAt === user.session.startedAt && !itemsApart) continue
    const session = new SessionState(user, startedAt)
    if (value.u8() === 0) readCounts(session, value)
    session.items = readList(value, () => items.index(value.string()))
    if (startedAt === user.session.startedAt) user.session.items = session.items
    else older.push(session)
  }
  older.sort((a, b) => a.startedAt - b.startedAt)
  user.older = older.length > 0 ? older : null
}

/** Of these every chunk has a row, the open one too. */
function joinWithOpen(shape: ChunkShape, chunks: Chunk[]): ChunkedList | null {
  let total = 0
  for (const { chunk, values } of chunks)
    total = Math.max(total, chunk * shape.size + values.length)
  const open = Math.floor(total / shape.size)
  const list = new ChunkedList()
  const tail = chunks.find(({ chunk }) => chunk === open)?.values ?? []
  joinChunks(list, shape, chunks, tail, total)
  return orNull(list)
}

const orNull = (list: ChunkedList): ChunkedList | null => (list.values.length > 0 ? list : null)

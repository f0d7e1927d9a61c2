/**
 * Users in passing (consent `contextual`) as a replay's checkpoint carries them: they have no rows. Numbers of items are this
 * process' own, so items go by name.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { ItemTable } from '../items/table.ts'
import { SessionState } from '../sessions/session.ts'
import { ChunkedList } from './chunks.ts'
import { intern, readCounts, readHash, readList, writeCounts, writeHash } from './codec.ts'
import { COLUMNS, STRIDE } from './plays.ts'
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

export function writePassing({ passing, settings }: UserTable, w: ByteWriter): void {
  w.uint(passing.size)
  for (const { id, state } of passing.values()) {
    w.string(id)
    writeState(state, settings.items, w)
  }
}

export function readPassing(users: UserTable, r: ByteReader): void {
  for (let left = r.uint(); left > 0; left--) {
    const { state } = users.add(r.string(), 0, false)
    readState(state, users.settings.items, r)
    users.cleanAfter(state, state.lastSeenAt + users.settings.gapMs)
  }
}

function writeState(user: UserState, items: ItemTable, w: ByteWriter): void {
  const name = (item: number): ByteWriter => w.string(items.idOf(item))
  w.uint(user.lastSeenAt).uint(user.lastOffset).string(user.cohort).string(user.surface)
  const sessions = [...(user.older ?? []), user.session]
  w.uint(sessions.length)
  for (const session of sessions) {
    w.uint(session.startedAt)
    writeCounts(session, w)
    w.uint(session.items.length)
    for (const item of session.items) name(item)
  }
  const { plays } = user
  w.uint(plays.length / STRIDE)
  for (let at = 0; at < plays.length; at += STRIDE) {
    writeHash(w, plays[at + COLUMNS.HASH])
    w.uint(plays[at + COLUMNS.FIRST]).uint(plays[at + COLUMNS.LAST] - plays[at + COLUMNS.FIRST])
    w.uint(plays[at + COLUMNS.WATCHED]).uint(plays[at + COLUMNS.SEQ])
    name(Math.floor(plays[at + COLUMNS.ITEM] / COLUMNS.FLAGS))
    w.u8(plays[at + COLUMNS.ITEM] % COLUMNS.FLAGS)
  }
  const { liked } = user
  w.uint(liked.dropped).uint(liked.values.length / 2)
  for (let k = 0; k < liked.values.length; k += 2) name(liked.values[k]).uint(liked.values[k + 1])
  for (const list of [user.excluded, user.approved])
    writeList(list, w, value => name(itemOfExclusion(value)).uint(timeOfExclusion(value)))
  writeList(user.seen, w, value => writeHash(w, value))
  w.uint(user.seenBefore)
  writeList(user.recentlyShown, w, value => {
    if (value < 0) w.string('').uint(0)
    else name(itemShown(value)).uint(minuteShown(value))
  })
}

function readState(user: UserState, items: ItemTable, r: ByteReader): void {
  const item = (): number => items.index(r.string())
  user.lastSeenAt = r.uint()
  user.lastOffset = r.uint()
  user.cohort = intern(r.string())
  user.surface = intern(r.string())
  const sessions = Array.from({ length: r.uint() }, () => {
    const session = new SessionState(user, r.uint())
    readCounts(session, r)
    session.items = readList(r, item)
    return session
  })
  user.session = sessions.pop() as SessionState
  user.older = sessions.length > 0 ? sessions : null
  for (let left = r.uint(); left > 0; left--) {
    const hash = readHash(r)
    const first = r.uint()
    const [last, watched, seqs] = [first + r.uint(), r.uint(), r.uint()]
    user.plays.push(hash, first, last, watched, item() * COLUMNS.FLAGS + r.u8(), seqs)
  }
  user.liked.dropped = r.uint()
  for (let left = r.uint(); left > 0; left--) user.liked.values.push(item(), r.uint())
  user.excluded = readChunked(r, () => exclusionOf(item(), r.uint()))
  user.approved = readChunked(r, () => exclusionOf(item(), r.uint()))
  user.seen = readChunked(r, () => readHash(r))
  user.seenBefore = r.uint()
  user.recentlyShown = readChunked(r, () => {
    const name = r.string()
    const minute = r.uint()
    return name === '' ? -1 : shownOf(items.index(name), minute)
  })
}

function writeList(list: ChunkedList | null, w: ByteWriter, write: (value: number) => void): void {
  w.u8(list === null ? 0 : 1)
  if (list === null) return
  w.uint(list.dropped).uint(list.values.length)
  for (const value of list.values) write(value)
}

function readChunked(r: ByteReader, read: () => number): ChunkedList | null {
  if (r.u8() === 0) return null
  const list = new ChunkedList()
  list.dropped = r.uint()
  list.values = readList(r, read)
  return list
}

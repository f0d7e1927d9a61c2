/**
 * A user's state as one byte string, for the many users that are not active: with 20 plays .7 KB instead of some 4 KB
 * (memory.bench.ts). In memory only, so the layout may change at will; items stand as numbers of the process' item table.
 *
 * Every item is written once; lists refer to it by its place among the user's items. Times are differences.
 * A user with 20 plays that comes back costs 8 us to unpack and 11 us to pack again, measured on a busy machine: several
 * events' worth, so users that are active stay unpacked.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { SessionState } from '../sessions/session.ts'
import { ChunkedList } from './chunks.ts'
import {
  formOfSeqs,
  fromZigzag,
  nameAt,
  numberOfName,
  readCounts,
  readHash,
  readSeqs,
  writeCounts,
  writeHash,
  writeSeqs,
  zigzag,
} from './codec.ts'
import { COLUMNS, STRIDE } from './plays.ts'
import type { StoredUser } from './stored-user.ts'
import {
  exclusionOf,
  itemOfExclusion,
  itemShown,
  minuteShown,
  shownOf,
  timeOfExclusion,
  UserState,
} from './user-state.ts'

/** Place of an item among those of the user that is being packed, plus 1; 0: not among them. */
let places = new Int32Array(4096)
const own: number[] = []
/** Items and last plays of each, by place. */
const read: number[] = []
const playOf: number[] = []

function collect(item: number): void {
  if (item >= places.length) {
    const larger = new Int32Array(Math.max(item + 1, places.length * 2))
    larger.set(places)
    places = larger
  }
  if (places[item] === 0) places[item] = own.push(item)
}

function collectAll(state: UserState): void {
  const { plays, liked, excluded, approved, recentlyShown, older } = state
  for (let at = 0; at < plays.length; at += STRIDE)
    collect(Math.floor(plays[at + COLUMNS.ITEM] / COLUMNS.FLAGS))
  for (let at = 0; at < liked.values.length; at += 2) collect(liked.values[at])
  if (excluded !== null) for (const value of excluded.values) collect(itemOfExclusion(value))
  if (approved !== null) for (const value of approved.values) collect(itemOfExclusion(value))
  if (recentlyShown !== null)
    for (const value of recentlyShown.values) if (value >= 0) collect(itemShown(value))
  for (const item of state.session.items) collect(item)
  if (older !== null) for (const session of older) for (const item of session.items) collect(item)
}

export function packUser(state: UserState, w: ByteWriter): void {
  collectAll(state)
  w.uint(state.lastOffset).uint(state.lastSeenAt)
  writeName(state.cohort, w)
  writeName(state.surface, w)
  w.uint(state.viewedAt + 1)
    .uint(state.cleanupHour)
    .uint(state.seenBefore)
  w.uint(own.length)
  for (const item of own) w.uint(item)
  w.uint(state.older === null ? 0 : state.older.length)
  if (state.older !== null) for (const session of state.older) writeSession(session, state, w)
  writeSession(state.session, state, w)
  writePlays(state.plays, w)
  writeLiked(state.liked, state.plays, w)
  writeExcluded(state.excluded, w)
  writeExcluded(state.approved, w)
  writeShown(state.recentlyShown, w)
  writeSeen(state.seen, w)
  for (const item of own) places[item] = 0
  own.length = 0
}

export function unpackUser(user: StoredUser, r: ByteReader): UserState {
  const lastOffset = r.uint()
  const state = new UserState(user, 0)
  state.lastOffset = lastOffset
  state.lastSeenAt = r.uint()
  state.cohort = readName(r)
  state.surface = readName(r)
  state.viewedAt = r.uint() - 1
  state.cleanupHour = r.uint()
  state.seenBefore = r.uint()
  read.length = 0
  for (let n = r.uint(); n > 0; n--) read.push(r.uint())
  const older = r.uint()
  if (older > 0) {
    state.older = []
    for (let n = older; n > 0; n--) state.older.push(readSession(new SessionState(state, 0), r))
  }
  readSession(state.session, r)
  state.plays = readPlays(r)
  readLiked(state.liked, state.plays, r)
  state.excluded = readExcluded(r)
  state.approved = readExcluded(r)
  state.recentlyShown = readShown(r)
  state.seen = readSeen(r)
  return state
}

/** What is known of a user without unpacking the rest. */
export function packedTimes(r: ByteReader): { lastOffset: number; lastSeenAt: number } {
  return { lastOffset: r.uint(), lastSeenAt: r.uint() }
}

function writeName(name: string, w: ByteWriter): void {
  const number = numberOfName(name)
  w.uint(number + 1)
  if (number < 0) w.string(name)
}

function readName(r: ByteReader): string {
  const number = r.uint()
  return number === 0 ? r.string() : nameAt(number - 1)
}

function writeSession(session: SessionState, state: UserState, w: ByteWriter): void {
  w.int(state.lastSeenAt - session.startedAt)
  writeCounts(session, w)
  w.uint(session.items.length)
  for (const item of session.items) w.uint(places[item] - 1)
}

function readSession(session: SessionState, r: ByteReader): SessionState {
  session.startedAt = session.user.lastSeenAt - r.int()
  readCounts(session, r)
  const items: number[] = []
  for (let n = r.uint(); n > 0; n--) items.push(read[r.uint()])
  session.items = items
  return session
}

function writePlays(plays: readonly number[], w: ByteWriter): void {
  w.uint(plays.length / STRIDE)
  playOf.length = 0
  let before = 0
  for (let at = 0; at < plays.length; at += STRIDE) {
    const seqs = plays[at + COLUMNS.SEQ]
    const form = formOfSeqs(seqs)
    const item = plays[at + COLUMNS.ITEM]
    const place = places[Math.floor(item / COLUMNS.FLAGS)] - 1
    playOf[place] = at
    w.u8((item % COLUMNS.FLAGS) + form * COLUMNS.FLAGS).uint(place)
    writeHash(w, plays[at + COLUMNS.HASH])
    const first = plays[at + COLUMNS.FIRST]
    w.int(first - before)
      .uint(plays[at + COLUMNS.LAST] - first)
      .uint(plays[at + COLUMNS.WATCHED])
    before = first
    writeSeqs(seqs, form, w)
  }
}

function readPlays(r: ByteReader): number[] {
  const plays: number[] = []
  playOf.length = 0
  let first = 0
  for (let n = r.uint(); n > 0; n--) {
    const head = r.u8()
    const place = r.uint()
    playOf[place] = plays.length
    const item = read[place]
    const hash = readHash(r)
    first += r.int()
    const last = first + r.uint()
    const watched = r.uint()
    const seqs = readSeqs(Math.floor(head / COLUMNS.FLAGS), r)
    plays.push(hash, first, last, watched, item * COLUMNS.FLAGS + (head % COLUMNS.FLAGS), seqs)
  }
  return plays
}

/** How the time of a positive stands: that at which its play began or ended, else (from here) a difference. */
const AT_FIRST = 0
const AT_LAST = 1
const AT_OTHER = 2

function writeLiked(list: ChunkedList, plays: readonly number[], w: ByteWriter): void {
  w.uint(list.values.length / 2).uint(list.dropped)
  let before = 0
  for (let k = 0; k < list.values.length; k += 2) {
    const place = places[list.values[k]] - 1
    const time = list.values[k + 1]
    const play = place < playOf.length ? playOf[place] : -1
    w.uint(place)
    if (play >= 0 && plays[play + COLUMNS.FIRST] === time) w.uint(AT_FIRST)
    else if (play >= 0 && plays[play + COLUMNS.LAST] === time) w.uint(AT_LAST)
    else w.uint(AT_OTHER + zigzag(time - before))
    before = time
  }
}

function readLiked(list: ChunkedList, plays: readonly number[], r: ByteReader): void {
  const n = r.uint()
  list.dropped = r.uint()
  let time = 0
  for (let k = 0; k < n; k++) {
    const place = r.uint()
    const form = r.uint()
    if (form === AT_FIRST) time = plays[playOf[place] + COLUMNS.FIRST]
    else if (form === AT_LAST) time = plays[playOf[place] + COLUMNS.LAST]
    else time += fromZigzag(form - AT_OTHER)
    list.values.push(read[place], time)
  }
}

/** Number of elements plus 1, then how many were dropped; 0: there is no list. */
function writeLength(list: ChunkedList | null, w: ByteWriter): list is ChunkedList {
  w.uint(list === null ? 0 : list.values.length + 1)
  if (list !== null) w.uint(list.dropped)
  return list !== null
}

function readLength(r: ByteReader): { list: ChunkedList | null; length: number } {
  const n = r.uint()
  if (n === 0) return { list: null, length: 0 }
  const list = new ChunkedList()
  list.dropped = r.uint()
  return { list, length: n - 1 }
}

function writeExcluded(list: ChunkedList | null, w: ByteWriter): void {
  if (!writeLength(list, w)) return
  let before = 0
  for (const value of list.values) {
    const time = timeOfExclusion(value)
    const hour = Math.floor(time / 4)
    w.uint(places[itemOfExclusion(value)] - 1)
    w.uint(zigzag(hour - before) * 4 + (time % 4))
    before = hour
  }
}

function readExcluded(r: ByteReader): ChunkedList | null {
  const { list, length } = readLength(r)
  let hour = 0
  for (let k = 0; k < length; k++) {
    const item = read[r.uint()]
    const value = r.uint()
    hour += fromZigzag(Math.floor(value / 4))
    list?.values.push(exclusionOf(item, hour * 4 + (value % 4)))
  }
  return list
}

function writeShown(list: ChunkedList | null, w: ByteWriter): void {
  if (!writeLength(list, w)) return
  let before = 0
  for (const value of list.values) {
    if (value < 0) {
      w.uint(0)
      continue
    }
    w.uint(places[itemShown(value)]).int(minuteShown(value) - before)
    before = minuteShown(value)
  }
}

function readShown(r: ByteReader): ChunkedList | null {
  const { list, length } = readLength(r)
  let minute = 0
  for (let k = 0; k < length; k++) {
    const place = r.uint()
    if (place > 0) minute += r.int()
    list?.values.push(place === 0 ? -1 : shownOf(read[place - 1], minute))
  }
  return list
}

function writeSeen(list: ChunkedList | null, w: ByteWriter): void {
  if (!writeLength(list, w)) return
  for (const hash of list.values) writeHash(w, hash)
}

function readSeen(r: ByteReader): ChunkedList | null {
  const { list, length } = readLength(r)
  for (let k = 0; k < length; k++) list?.values.push(readHash(r))
  return list
}

/**
 * The user's own row: the newest session, the plays of late, and of each list what does not fill a chunk yet. Most users
 * have no other row, so that a commit writes one row for a user and a restore reads one.
 *
 * What follows from the plays is not written again: a list whose elements are those of the newest plays is a bit.
 * An item is text once, with its play; elsewhere it is the play's number. Hot: written for every user of a commit.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { ItemTable } from '../items/table.ts'
import { SessionState } from '../sessions/session.ts'
import { DOUBLES, EXCLUSIONS, POSITIVES, tailOf } from './chunks.ts'
import {
  formOfSeqs,
  fromZigzag,
  intern,
  readCounts,
  readHash,
  readSeqs,
  writeCounts,
  writeHash,
  writeSeqs,
  zigzag,
} from './codec.ts'
import {
  COLUMNS,
  COMPLETED,
  isApart,
  isSplit,
  POSITIVE,
  playFlags,
  playItem,
  STRIDE,
} from './plays.ts'
import {
  exclusionOf,
  FINISHED,
  itemOfExclusion,
  timeOfExclusion,
  type UserState,
} from './user-state.ts'

/** Raised with every change: a row of another layout is refused. */
const LAYOUT = 2

/** Something of the user expires with the grace. */
const EXPIRES = 1
const ITEMS_FROM_PLAYS = 2
/** The newest session's items stand in its row of the store `sessions`. */
export const ITEMS_APART = 4
const POSITIVES_FROM_PLAYS = 8
const EXCLUSIONS_FROM_PLAYS = 16

/** A play with one heartbeat: its end is its start. */
const AT_ONCE = 128
const FORM_SHIFT = 32

/** A session with more items has them in a row of their own. */
export const ITEMS_IN_ROW = 16

const HOUR = 3_600_000

/** Tails of the lists, as far as they are stored here. */
export interface Tails {
  flags: number
  expires: boolean
  /** Elements of each list there ever were; the last `total % size` of them stand in the row. */
  positives: number
  positivesTail: number[]
  exclusions: number
  exclusionsTail: number[]
  doubles: number
  doublesTail: number[]
}

/** Where each play that stands in the row begins. */
const inRow: number[] = []
let rowPlays = 0

function gather(plays: readonly number[]): void {
  rowPlays = 0
  for (let at = 0; at < plays.length; at += STRIDE) if (!isApart(plays, at)) inRow[rowPlays++] = at
}

/** The number, from 1, of the newest play of an item in the row; 0: there is none. */
function numberOf(plays: readonly number[], item: number): number {
  for (let n = rowPlays - 1; n >= 0; n--) if (playItem(plays, inRow[n]) === item) return n + 1
  return 0
}

export function writeUserRow(user: UserState, items: ItemTable, w: ByteWriter): void {
  const { session, plays, liked, excluded, seen } = user
  gather(plays)
  const positives = tailOf(POSITIVES, liked)
  const exclusions = excluded === null ? 0 : tailOf(EXCLUSIONS, excluded)
  const doubles = seen === null ? 0 : tailOf(DOUBLES, seen)
  let flags = 0
  if (seen !== null || user.older !== null || plays.length > 0) flags |= EXPIRES
  if (session.items.length > ITEMS_IN_ROW) flags |= ITEMS_APART
  else if (itemsFollow(session.items, plays)) flags |= ITEMS_FROM_PLAYS
  if (positivesFollow(liked.values, positives, plays)) flags |= POSITIVES_FROM_PLAYS
  if (excluded !== null && exclusionsFollow(excluded.values, exclusions, plays))
    flags |= EXCLUSIONS_FROM_PLAYS
  w.u8(LAYOUT).uint(user.lastSeenAt).uint(user.lastOffset).u8(flags)
  w.string(user.cohort)
    .string(user.surface)
    .int(user.lastSeenAt - session.startedAt)
  writeCounts(session, w)
  writePlays(plays, session.startedAt, items, w)
  if ((flags & ITEMS_APART) === 0) {
    w.uint(session.items.length)
    if ((flags & ITEMS_FROM_PLAYS) === 0)
      for (const item of session.items) writeItem(item, plays, items, w)
  }
  w.uint(liked.dropped + liked.length(POSITIVES))
  if ((flags & POSITIVES_FROM_PLAYS) === 0)
    for (let at = liked.values.length - 2 * positives; at < liked.values.length; at += 2) {
      writeItem(liked.values[at], plays, items, w)
      w.int(liked.values[at + 1] - session.startedAt)
    }
  w.uint(excluded === null ? 0 : excluded.dropped + excluded.values.length)
  if (excluded !== null && (flags & EXCLUSIONS_FROM_PLAYS) === 0) {
    const hour = Math.floor(session.startedAt / HOUR)
    for (let at = excluded.values.length - exclusions; at < excluded.values.length; at++) {
      const time = timeOfExclusion(excluded.values[at])
      writeItem(itemOfExclusion(excluded.values[at]), plays, items, w)
      w.uint(zigzag(Math.floor(time / 4) - hour) * 4 + (time % 4))
    }
  }
  w.uint(seen === null ? user.seenBefore : seen.dropped + seen.values.length).uint(doubles)
  if (seen !== null)
    for (let at = seen.values.length - doubles; at < seen.values.length; at++)
      writeHash(w, seen.values[at])
}

function writePlays(
  plays: readonly number[],
  startedAt: number,
  items: ItemTable,
  w: ByteWriter,
): void {
  w.uint(rowPlays)
  let before = startedAt
  for (let n = 0; n < rowPlays; n++) {
    const at = inRow[n]
    const first = plays[at + COLUMNS.FIRST]
    const last = plays[at + COLUMNS.LAST]
    const seqs = plays[at + COLUMNS.SEQ]
    const form = formOfSeqs(seqs)
    w.u8((playFlags(plays, at) & 15) + form * FORM_SHIFT + (last === first ? AT_ONCE : 0))
    w.string(items.idOf(playItem(plays, at)))
    writeHash(w, plays[at + COLUMNS.HASH])
    w.int(first - before)
    if (last !== first) w.uint(last - first)
    w.uint(plays[at + COLUMNS.WATCHED])
    writeSeqs(seqs, form, w)
    before = first
  }
}

function writeItem(item: number, plays: readonly number[], items: ItemTable, w: ByteWriter): void {
  const number = numberOf(plays, item)
  w.uint(number)
  if (number === 0) w.string(items.idOf(item))
}

/** Are the session's items those of the newest plays, each once? */
function itemsFollow(list: readonly number[], plays: readonly number[]): boolean {
  let k = 0
  for (let n = rowPlays - 1; n >= 0 && k < list.length; n--) {
    const item = playItem(plays, inRow[n])
    if (item === list[k]) k++
    else if (list.indexOf(item) < 0 || list.indexOf(item) > k) return false
  }
  return k === list.length
}

function itemsFrom(count: number, plays: readonly number[]): number[] {
  const list: number[] = []
  for (let n = rowPlays - 1; n >= 0 && list.length < count; n--) {
    const item = playItem(plays, inRow[n])
    if (!list.includes(item)) list.push(item)
  }
  return list
}

/** Has the play the flag? Not asked of plays in several parts: which part stands for the play is not theirs to say. */
const says = (plays: readonly number[], at: number, flag: number): boolean =>
  (playFlags(plays, at) & flag) !== 0 && !isSplit(plays, at)

/** Are the last `count` positives those of the newest plays that are positive, at the plays' starts? */
function positivesFollow(
  values: readonly number[],
  count: number,
  plays: readonly number[],
): boolean {
  let n = rowPlays - 1
  for (let k = 0; k < count; k++) {
    while (n >= 0 && !says(plays, inRow[n], POSITIVE)) n--
    if (n < 0) return false
    const at = inRow[n--]
    const value = values.length - 2 * k - 2
    if (values[value] !== playItem(plays, at)) return false
    if (values[value + 1] !== plays[at + COLUMNS.FIRST]) return false
  }
  return true
}

function positivesFrom(count: number, plays: readonly number[]): number[] {
  const found: number[] = []
  for (let n = rowPlays - 1; n >= 0 && found.length < count; n--)
    if (says(plays, inRow[n], POSITIVE)) found.push(inRow[n])
  return found.reverse().flatMap(at => [playItem(plays, at), plays[at + COLUMNS.FIRST]])
}

/** Are the last `count` exclusions those of the newest plays that were finished, in the hours of the plays' ends? */
function exclusionsFollow(
  values: readonly number[],
  count: number,
  plays: readonly number[],
): boolean {
  let n = rowPlays - 1
  for (let k = 0; k < count; k++) {
    while (n >= 0 && !says(plays, inRow[n], COMPLETED)) n--
    if (n < 0) return false
    if (values[values.length - 1 - k] !== finished(plays, inRow[n--])) return false
  }
  return true
}

function exclusionsFrom(count: number, plays: readonly number[]): number[] {
  const found: number[] = []
  for (let n = rowPlays - 1; n >= 0 && found.length < count; n--)
    if (says(plays, inRow[n], COMPLETED)) found.push(finished(plays, inRow[n]))
  return found.reverse()
}

const finished = (plays: readonly number[], at: number): number =>
  exclusionOf(playItem(plays, at), Math.floor(plays[at + COLUMNS.LAST] / HOUR) * 4 + FINISHED)

/** Reads the head of a row without the rest. Errors: RangeError for another layout. */
export function readHead(r: ByteReader): {
  lastSeenAt: number
  lastOffset: number
  expires: boolean
} {
  const layout = r.u8()
  if (layout !== LAYOUT)
    throw new RangeError(
      `a user of layout ${layout}, this program reads layout ${LAYOUT}: run the program that wrote it`,
    )
  return { lastSeenAt: r.uint(), lastOffset: r.uint(), expires: (r.u8() & EXPIRES) !== 0 }
}

/** Fills a user in from its row; `user.plays` must be empty. Chunks and rows of their own are added by the caller. */
export function readUserRow(r: ByteReader, user: UserState, items: ItemTable): Tails {
  const start = r.position
  const { lastSeenAt, lastOffset, expires } = readHead(r)
  r.position = start
  r.u8()
  r.uint()
  r.uint()
  const flags = r.u8()
  user.lastSeenAt = lastSeenAt
  user.lastOffset = lastOffset
  user.cohort = intern(r.string())
  user.surface = intern(r.string())
  const startedAt = lastSeenAt - r.int()
  const session = new SessionState(user, startedAt)
  user.session = session
  readCounts(session, r)
  const { plays } = user
  readPlays(plays, startedAt, items, r)
  gather(plays)
  const item = (): number => {
    const number = r.uint()
    return number === 0 ? items.index(r.string()) : playItem(plays, inRow[number - 1])
  }
  if ((flags & ITEMS_APART) === 0) {
    const count = r.uint()
    session.items =
      flags & ITEMS_FROM_PLAYS ? itemsFrom(count, plays) : Array.from({ length: count }, item)
  }
  const positives = r.uint()
  const positivesTail: number[] = []
  const positivesHere = positives % POSITIVES.size
  if (flags & POSITIVES_FROM_PLAYS) positivesTail.push(...positivesFrom(positivesHere, plays))
  else for (let k = 0; k < positivesHere; k++) positivesTail.push(item(), startedAt + r.int())
  const exclusions = r.uint()
  const exclusionsTail: number[] = []
  const exclusionsHere = exclusions % EXCLUSIONS.size
  if (flags & EXCLUSIONS_FROM_PLAYS) exclusionsTail.push(...exclusionsFrom(exclusionsHere, plays))
  else {
    const hour = Math.floor(startedAt / HOUR)
    for (let k = 0; k < exclusionsHere; k++) {
      const of = item()
      const value = r.uint()
      const at = hour + fromZigzag(Math.floor(value / 4))
      exclusionsTail.push(exclusionOf(of, at * 4 + (value % 4)))
    }
  }
  const doubles = r.uint()
  const doublesTail = Array.from({ length: r.uint() }, () => readHash(r))
  return {
    flags,
    expires,
    positives,
    positivesTail,
    exclusions,
    exclusionsTail,
    doubles,
    doublesTail,
  }
}

function readPlays(plays: number[], startedAt: number, items: ItemTable, r: ByteReader): void {
  let first = startedAt
  for (let n = r.uint(); n > 0; n--) {
    const head = r.u8()
    const item = items.index(r.string())
    const hash = readHash(r)
    first += r.int()
    const last = head & AT_ONCE ? first : first + r.uint()
    const watched = r.uint()
    const seqs = readSeqs((head >>> 5) & 3, r)
    plays.push(hash, first, last, watched, item * COLUMNS.FLAGS + (head & 15), seqs)
  }
}

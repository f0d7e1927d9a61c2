/**
 * The user's own row: the newest session, the plays of late, and of each list what does not fill a chunk yet. Most users
 * have no other row, so that a commit writes one row for a user and a restore reads one.
 *
 * What follows from the plays is not written again: a list whose elements are those of the newest plays is a bit.
 * Items are named in one place, those of the plays first; elsewhere they are places in that list. On the log they are text;
 * a restore puts the process' numbers in their stead (`withNumbers`), which is all it does to a row. Hot: written for every
 * user of a commit.
 */
import { FreshetError } from '../../streams/errors.ts'
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
const LAYOUT = 3

/** Something of the user expires with the grace. */
const EXPIRES = 1
const ITEMS_FROM_PLAYS = 2
/** The newest session's items stand in its row of the store `sessions`. */
const ITEMS_APART = 4
const POSITIVES_FROM_PLAYS = 8
const EXCLUSIONS_FROM_PLAYS = 16

/** In a play's first byte, above its flags: the form of its heartbeat numbers, and whether its end is its start. */
const FORM = 32
const AT_ONCE = 128
const FLAGS_HERE = 15

/** A session with more items has them in a row of their own. */
export const ITEMS_IN_ROW = 16

const HOUR = 3_600_000

/** Tails of the lists, as far as they are stored here. */
export interface Tails {
  readonly itemsApart: boolean
  readonly expires: boolean
  /** Elements of each list there ever were; the last `total % size` of them stand in the row. */
  readonly positives: number
  readonly positivesTail: number[]
  readonly exclusions: number
  readonly exclusionsTail: number[]
  readonly doubles: number
  readonly doublesTail: number[]
}

/** Where each play that stands in the row begins. */
const inRow: number[] = []
let rowPlays = 0
/** Items that the row names: those of its plays, then others. */
const named: number[] = []
let rowItems = 0

function gather(plays: readonly number[]): void {
  rowPlays = 0
  for (let at = 0; at < plays.length; at += STRIDE) {
    if (isApart(plays, at)) continue
    named[rowPlays] = playItem(plays, at)
    inRow[rowPlays++] = at
  }
  rowItems = rowPlays
}

/** The place of an item among those that the row names; -1: it does not. */
function placeOf(item: number): number {
  for (let n = 0; n < rowItems; n++) if (named[n] === item) return n
  return -1
}

function nameToo(item: number): void {
  if (placeOf(item) < 0) named[rowItems++] = item
}

export function writeUserRow(user: UserState, items: ItemTable, w: ByteWriter): void {
  const { session, plays, liked, seen } = user
  const excluded = user.excluded === null ? noValues : user.excluded.values
  gather(plays)
  const likedFrom = liked.values.length - 2 * tailOf(POSITIVES, liked)
  const excludedFrom =
    user.excluded === null ? 0 : excluded.length - tailOf(EXCLUSIONS, user.excluded)
  let flags = 0
  if (seen !== null || user.older !== null || plays.length > 0) flags |= EXPIRES
  if (session.items.length > ITEMS_IN_ROW) flags |= ITEMS_APART
  else if (itemsFollow(session.items, plays)) flags |= ITEMS_FROM_PLAYS
  else for (const item of session.items) nameToo(item)
  if (positivesFollow(liked.values, likedFrom, plays)) flags |= POSITIVES_FROM_PLAYS
  else for (let at = likedFrom; at < liked.values.length; at += 2) nameToo(liked.values[at])
  if (exclusionsFollow(excluded, excludedFrom, plays)) flags |= EXCLUSIONS_FROM_PLAYS
  else
    for (let at = excludedFrom; at < excluded.length; at++) nameToo(itemOfExclusion(excluded[at]))

  w.u8(LAYOUT).uint(user.lastSeenAt).uint(user.lastOffset).u8(flags).uint(rowItems)
  for (let n = 0; n < rowItems; n++) w.string(items.idOf(named[n]))
  w.string(user.cohort)
    .string(user.surface)
    .int(user.lastSeenAt - session.startedAt)
  writeCounts(session, w)
  writePlays(plays, session.startedAt, w)
  if ((flags & ITEMS_APART) === 0) {
    w.uint(session.items.length)
    if ((flags & ITEMS_FROM_PLAYS) === 0) for (const item of session.items) w.uint(placeOf(item))
  }
  w.uint(liked.dropped + liked.length(POSITIVES))
  if ((flags & POSITIVES_FROM_PLAYS) === 0)
    for (let at = likedFrom; at < liked.values.length; at += 2)
      w.uint(placeOf(liked.values[at])).int(liked.values[at + 1] - session.startedAt)
  w.uint(user.excluded === null ? 0 : user.excluded.dropped + excluded.length)
  if ((flags & EXCLUSIONS_FROM_PLAYS) === 0) {
    const hour = Math.floor(session.startedAt / HOUR)
    for (let at = excludedFrom; at < excluded.length; at++) {
      const time = timeOfExclusion(excluded[at])
      w.uint(placeOf(itemOfExclusion(excluded[at])))
      w.uint(zigzag(Math.floor(time / 4) - hour) * 4 + (time % 4))
    }
  }
  if (seen === null) w.uint(user.seenBefore).uint(0)
  else {
    const tail = tailOf(DOUBLES, seen)
    w.uint(seen.dropped + seen.values.length).uint(tail)
    for (let at = seen.values.length - tail; at < seen.values.length; at++)
      writeHash(w, seen.values[at])
  }
}

const noValues: readonly number[] = []

function writePlays(plays: readonly number[], startedAt: number, w: ByteWriter): void {
  w.uint(rowPlays)
  let before = startedAt
  for (let n = 0; n < rowPlays; n++) {
    const at = inRow[n]
    const first = plays[at + COLUMNS.FIRST]
    const last = plays[at + COLUMNS.LAST]
    const seqs = plays[at + COLUMNS.SEQ]
    const form = formOfSeqs(seqs)
    w.u8((playFlags(plays, at) & FLAGS_HERE) + form * FORM + (last === first ? AT_ONCE : 0))
    writeHash(w, plays[at + COLUMNS.HASH])
    w.int(first - before)
    if (last !== first) w.uint(last - first)
    w.uint(plays[at + COLUMNS.WATCHED])
    writeSeqs(seqs, form, w)
    before = first
  }
}

/** Are the session's items those of the newest plays, each once? */
function itemsFollow(list: readonly number[], plays: readonly number[]): boolean {
  let k = 0
  for (let n = rowPlays - 1; n >= 0 && k < list.length; n--) {
    const at = list.indexOf(playItem(plays, inRow[n]))
    if (at === k) k++
    else if (at < 0 || at > k) return false
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

/** Are the positives from `from` on those of the newest plays that are positive, at the plays' starts? */
function positivesFollow(
  values: readonly number[],
  from: number,
  plays: readonly number[],
): boolean {
  let n = rowPlays - 1
  for (let value = values.length - 2; value >= from; value -= 2) {
    while (n >= 0 && !says(plays, inRow[n], POSITIVE)) n--
    if (n < 0) return false
    const at = inRow[n--]
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

/** Are the exclusions from `from` on those of the newest plays that were finished, in the hours of the plays' ends? */
function exclusionsFollow(
  values: readonly number[],
  from: number,
  plays: readonly number[],
): boolean {
  let n = rowPlays - 1
  for (let value = values.length - 1; value >= from; value--) {
    while (n >= 0 && !says(plays, inRow[n], COMPLETED)) n--
    if (n < 0 || values[value] !== finished(plays, inRow[n--])) return false
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

/** The reader stays where it is. Errors: CHANGELOG_NEWER, CHANGELOG_OLDER for another layout. */
export function checkLayout(r: ByteReader): void {
  const layout = r.buffer[r.position]
  if (layout !== LAYOUT)
    throw new FreshetError(
      layout > LAYOUT ? 'CHANGELOG_NEWER' : 'CHANGELOG_OLDER',
      `a user of layout ${layout}, this program reads layout ${LAYOUT}`,
    )
}

export interface RowHead {
  readonly lastSeenAt: number
  readonly lastOffset: number
  /** Something of the user expires with the grace. */
  readonly expires: boolean
}

/** Reads the head of a row without the rest. */
export function readHead(r: ByteReader): RowHead {
  r.u8()
  return { lastSeenAt: r.uint(), lastOffset: r.uint(), expires: (r.u8() & EXPIRES) !== 0 }
}

/** A user has 16 plays and as many elements of each list in its row. */
const MOST_NAMED = 256
/** What `withNumbers` writes at most. */
export const NAMED_BYTES = 64 + MOST_NAMED * 5

/**
 * Writes the front of a row as it came off the log, up to and with the names, to `to` from `at` on, with this process'
 * numbers of the items in place of their names, and gives its end; the reader then stands at what stays as it is.
 */
export function withNumbers(r: ByteReader, items: ItemTable, to: Buffer, at: number): number {
  const { buffer } = r
  let from = r.position
  r.u8()
  r.uint()
  r.uint()
  r.u8()
  const count = r.uint()
  if (count > MOST_NAMED) throw new RangeError(`a user's row names ${count} items`)
  let end = at
  while (from < r.position) to[end++] = buffer[from++]
  for (let n = 0; n < count; n++) {
    const size = r.uint()
    let number = items.indexFrom ? items.indexFrom(r, size) : items.index(r.rawString(size))
    while (number > 127) {
      to[end++] = (number & 127) | 128
      number >>>= 7
    }
    to[end++] = number
  }
  return end
}

/**
 * Fills a user in from its row with numbers; `user.plays` must be empty. Chunks and rows of their own are added by the
 * caller. Errors: RangeError for a row that does not end where it should.
 */
export function readUserRow(r: ByteReader, user: UserState): Tails {
  r.u8()
  user.lastSeenAt = r.uint()
  user.lastOffset = r.uint()
  const flags = r.u8()
  const names = Array.from({ length: r.uint() }, () => r.uint())
  user.cohort = intern(r.string())
  user.surface = intern(r.string())
  const startedAt = user.lastSeenAt - r.int()
  const session = new SessionState(user, startedAt)
  user.session = session
  readCounts(session, r)
  const { plays } = user
  readPlays(plays, startedAt, names, r)
  gather(plays)
  const itemsApart = (flags & ITEMS_APART) !== 0
  if (!itemsApart) {
    const count = r.uint()
    session.items =
      flags & ITEMS_FROM_PLAYS
        ? itemsFrom(count, plays)
        : Array.from({ length: count }, () => names[r.uint()])
  }
  const positives = r.uint()
  const positivesHere = positives % POSITIVES.size
  const positivesTail: number[] =
    flags & POSITIVES_FROM_PLAYS ? positivesFrom(positivesHere, plays) : []
  if ((flags & POSITIVES_FROM_PLAYS) === 0)
    for (let k = 0; k < positivesHere; k++) positivesTail.push(names[r.uint()], startedAt + r.int())
  const exclusions = r.uint()
  const exclusionsHere = exclusions % EXCLUSIONS.size
  const exclusionsTail: number[] =
    flags & EXCLUSIONS_FROM_PLAYS ? exclusionsFrom(exclusionsHere, plays) : []
  if ((flags & EXCLUSIONS_FROM_PLAYS) === 0) {
    const hour = Math.floor(startedAt / HOUR)
    for (let k = 0; k < exclusionsHere; k++) {
      const item = names[r.uint()]
      const value = r.uint()
      const at = hour + fromZigzag(Math.floor(value / 4))
      exclusionsTail.push(exclusionOf(item, at * 4 + (value % 4)))
    }
  }
  const doubles = r.uint()
  const doublesTail = Array.from({ length: r.uint() }, () => readHash(r))
  if (r.left !== 0) throw new RangeError(`${r.left} bytes are left over in a user's row`)
  const expires = (flags & EXPIRES) !== 0
  return {
    itemsApart,
    expires,
    positives,
    positivesTail,
    exclusions,
    exclusionsTail,
    doubles,
    doublesTail,
  }
}

function readPlays(
  plays: number[],
  startedAt: number,
  names: readonly number[],
  r: ByteReader,
): void {
  let first = startedAt
  const count = r.uint()
  for (let n = 0; n < count; n++) {
    const head = r.u8()
    const hash = readHash(r)
    first += r.int()
    const last = head & AT_ONCE ? first : first + r.uint()
    const watched = r.uint()
    const seqs = readSeqs((head >>> 5) & 3, r)
    plays.push(hash, first, last, watched, names[n] * COLUMNS.FLAGS + (head & FLAGS_HERE), seqs)
  }
}

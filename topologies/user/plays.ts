/**
 * The plays of one user within 24 h, packed six numbers an entry into one array (48 B instead of 160 B as an object).
 *
 * An entry is the part of a play that lies in one session; nearly every play has one. Sessions that are joined may leave
 * two entries of a play in one session: the rules give the same sums. Counts come from entries by rules
 * that do not ask in which order heartbeats arrived:
 *  - P1 a play counts as a watch in the session of its earliest heartbeat;
 *  - P2 an entry adds to its session what its highest watchedMs exceeds the highest of all earlier entries;
 *  - P3 positive, completed and skipped count once a play, in the earliest entry that has them.
 */
import { hash53 } from '../../streams/serde/hash.ts'

export const STRIDE = 6
const HASH = 0
const FIRST = 1
const LAST = 2
const WATCHED = 3
const ITEM = 4
const SEQ = 5

export const POSITIVE = 1
export const COMPLETED = 2
export const SKIPPED = 4
/** Further entries of the same play follow or precede this one. */
const SPLIT = 8
/** The play has a row of its own: it no longer stands in the user's row. All entries of a play have the mark, or none. */
export const APART = 16
const FLAGS = 32

const WORD = 4294967296
const SEQ_LIMIT = 2 ** 21

/** What a session holds of plays; `plays.ts` changes only these. */
export interface PlayCounts {
  watches: number
  watchedMs: number
  positives: number
  completes: number
  skips: number
}

export const playItem = (plays: readonly number[], at: number): number =>
  Math.floor(plays[at + ITEM] / FLAGS)
export const playFlags = (plays: readonly number[], at: number): number => plays[at + ITEM] % FLAGS
export const playHash = (plays: readonly number[], at: number): number => plays[at + HASH]
export const playFirst = (plays: readonly number[], at: number): number => plays[at + FIRST]
const playLast = (plays: readonly number[], at: number): number => plays[at + LAST]
export const playWatched = (plays: readonly number[], at: number): number => plays[at + WATCHED]
export const isSplit = (plays: readonly number[], at: number): boolean =>
  (plays[at + ITEM] & SPLIT) !== 0
export const isApart = (plays: readonly number[], at: number): boolean =>
  (plays[at + ITEM] & APART) !== 0

/** Keeps plays apart from events in what is hashed. */
const PLAY_SEED = 2
const SIX_BYTES = 281_474_976_710_656

/** Of a hash what is kept: 48 bits. Two of a user's 512 newest events meet by chance once in 10^12 events. */
export const kept = (hash: number): number => hash - Math.floor(hash / SIX_BYTES) * SIX_BYTES

export const hashOfPlay = (playId: string): number => kept(hash53(playId, PLAY_SEED))

/** Where the newest entry of a play begins; -1: unknown. Hot: the play looked for is nearly always the newest. */
export function findPlay(plays: readonly number[], hash: number): number {
  for (let at = plays.length - STRIDE; at >= 0; at -= STRIDE) if (plays[at] === hash) return at
  return -1
}

/** All entries of a play, earliest first. */
export function entriesOf(plays: readonly number[], hash: number): number[] {
  const entries: number[] = []
  for (let at = 0; at < plays.length; at += STRIDE) if (plays[at] === hash) entries.push(at)
  return entries.sort((a, b) => plays[a + FIRST] - plays[b + FIRST])
}

export function appendEntry(
  plays: number[],
  hash: number,
  item: number,
  ts: number,
  watchedMs: number,
  flags: number,
  seqs: number,
): void {
  plays.push(hash, ts, ts, watchedMs, item * FLAGS + flags, seqs)
}

/** Takes a heartbeat into an entry. */
export function widen(
  plays: number[],
  at: number,
  ts: number,
  watchedMs: number,
  flags: number,
): void {
  if (ts < plays[at + FIRST]) plays[at + FIRST] = ts
  if (ts > plays[at + LAST]) plays[at + LAST] = ts
  if (watchedMs > plays[at + WATCHED]) plays[at + WATCHED] = watchedMs
  const old = plays[at + ITEM]
  plays[at + ITEM] = old - (old % FLAGS) + ((old % FLAGS) | flags)
}

export function markSplit(plays: number[], at: number): void {
  const old = plays[at + ITEM]
  plays[at + ITEM] = old - (old % FLAGS) + ((old % FLAGS) | SPLIT)
}

/** The plays that stand in the user's row; an older one gets a row of its own. */
const PLAYS_IN_ROW = 16

/** Where the oldest play in the user's row begins, if there are more than may stand there; -1: there are not. */
export function findTooMany(plays: readonly number[]): number {
  let count = 0
  let oldest = -1
  for (let at = plays.length - STRIDE; at >= 0; at -= STRIDE)
    if (!isApart(plays, at)) {
      count++
      oldest = at
    }
  return count > PLAYS_IN_ROW ? oldest : -1
}

/** Marks all entries of a play as standing in a row of their own. */
export function markApart(plays: number[], hash: number): void {
  for (let at = 0; at < plays.length; at += STRIDE)
    if (plays[at] === hash && !isApart(plays, at)) plays[at + ITEM] += APART
}

/** Removes every entry of a play. */
export function removePlay(plays: number[], hash: number): void {
  for (let at = plays.length - STRIDE; at >= 0; at -= STRIDE)
    if (plays[at] === hash) plays.splice(at, STRIDE)
}

/**
 * Adds (sign 1) or takes back (sign -1) what the entries of a play count in their sessions: rules P1 to P3.
 * `countsAt` gives the session at a time; undefined where it was forgotten.
 */
export function contribute(
  plays: readonly number[],
  entries: readonly number[],
  sign: 1 | -1,
  countsAt: (ts: number) => PlayCounts | undefined,
): void {
  let watched = 0
  let flags = 0
  for (let k = 0; k < entries.length; k++) {
    const at = entries[k]
    const counts = countsAt(plays[at + FIRST])
    const own = playFlags(plays, at) & ~flags
    if (counts) {
      if (k === 0) counts.watches += sign
      counts.watchedMs += sign * Math.max(0, plays[at + WATCHED] - watched)
      if (own & POSITIVE) counts.positives += sign
      if (own & COMPLETED) counts.completes += sign
      if (own & SKIPPED) counts.skips += sign
    }
    watched = Math.max(watched, plays[at + WATCHED])
    flags |= own
  }
}

/** The highest heartbeat number and which of the 32 before it were seen, as one number. 0: none numbered yet. */
export function seqSeen(seqs: number, seq: number): boolean {
  if (seq <= 0 || seqs === 0) return false
  const highest = Math.floor(seqs / WORD)
  if (seq === highest) return true
  const back = highest - seq
  return back > 0 && back <= 32 && ((seqs % WORD) & (1 << (back - 1))) !== 0
}

export function withSeq(seqs: number, seq: number): number {
  if (seq <= 0 || seq >= SEQ_LIMIT) return seqs
  const highest = Math.floor(seqs / WORD)
  const mask = (seqs % WORD) | 0
  if (seq > highest) {
    const step = seq - highest
    const moved =
      step > 32 || highest === 0 ? 0 : step === 32 ? 1 << 31 : (mask << step) | (1 << (step - 1))
    return seq * WORD + (moved >>> 0)
  }
  const back = highest - seq
  if (back === 0 || back > 32) return seqs
  return highest * WORD + ((mask | (1 << (back - 1))) >>> 0)
}

export const playSeqs = (plays: readonly number[], at: number): number => plays[at + SEQ]
export function setSeqs(plays: number[], at: number, seqs: number): void {
  plays[at + SEQ] = seqs
}

/** For the row's codec: raw columns of an entry. */
export const COLUMNS = { HASH, FIRST, LAST, WATCHED, ITEM, SEQ, FLAGS } as const

/** Had every entry of the play that stands at `at` its last heartbeat before `horizon`? */
export function endedBefore(plays: readonly number[], at: number, horizon: number): boolean {
  if (playLast(plays, at) >= horizon) return false
  const hash = playHash(plays, at)
  for (let other = 0; other < plays.length; other += STRIDE)
    if (plays[other] === hash && playLast(plays, other) >= horizon) return false
  return true
}

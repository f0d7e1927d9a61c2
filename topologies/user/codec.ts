/** Small pieces of rows that several stores of the user task share. */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { SessionState } from '../sessions/session.ts'

/** A 48-bit hash in 6 bytes. */
export function writeHash(w: ByteWriter, hash: number): void {
  const low = hash % 4294967296
  const high = Math.floor(hash / 4294967296)
  w.u8(low & 255)
    .u8((low >>> 8) & 255)
    .u8((low >>> 16) & 255)
    .u8(low >>> 24)
  w.u8(high & 255).u8((high >>> 8) & 255)
}

export function readHash(reader: ByteReader): number {
  const low = reader.u8() + reader.u8() * 256 + reader.u8() * 65536 + reader.u8() * 16777216
  return low + (reader.u8() + reader.u8() * 256) * 4294967296
}

const numbers = new Map<string, number>()
const names: string[] = []
const NAMES_KEPT = 10_000

/** Heartbeat numbers of a play (`seqs`, plays.ts): none, only the first, all up to the highest, or the highest and the mask. */
const NO_SEQ = 0
const FIRST_ONLY = 1
const CONTIGUOUS = 2
const MASKED = 3
const WORD = 4294967296

/** Which of the four forms `seqs` has: two bits. */
export function formOfSeqs(seqs: number): number {
  if (seqs === 0) return NO_SEQ
  if (seqs === WORD) return FIRST_ONLY
  return seqs === contiguous(Math.floor(seqs / WORD)) ? CONTIGUOUS : MASKED
}

export function writeSeqs(seqs: number, form: number, w: ByteWriter): void {
  if (form >= CONTIGUOUS) w.uint(Math.floor(seqs / WORD))
  if (form === MASKED) w.uint(seqs % WORD)
}

export function readSeqs(form: number, r: ByteReader): number {
  if (form < CONTIGUOUS) return form === FIRST_ONLY ? WORD : 0
  const highest = r.uint()
  return form === MASKED ? highest * WORD + r.uint() : contiguous(highest)
}

/** Heartbeat numbers 1 to `highest`, of those before it the last 32. */
function contiguous(highest: number): number {
  return highest * WORD + (highest > 32 ? WORD - 1 : 2 ** (highest - 1) - 1)
}

export const zigzag = (v: number): number => (v >= 0 ? v * 2 : -v * 2 - 1)
export const fromZigzag = (v: number): number => (v % 2 === 0 ? v / 2 : -(v + 1) / 2)

/** One copy of each cohort and surface name; bounded, since a producer may put anything there. */
export function intern(name: string): string {
  const number = numberOfName(name)
  return number < 0 ? name : names[number]
}

/** A number for the name within this process; -1 where there are too many. */
export function numberOfName(name: string): number {
  const known = numbers.get(name)
  if (known !== undefined) return known
  if (names.length >= NAMES_KEPT) return -1
  numbers.set(name, names.length)
  return names.push(name) - 1
}

export const nameAt = (number: number): string => names[number]

export function writeCounts(session: SessionState, w: ByteWriter): void {
  w.uint(session.lastEventAt - session.startedAt)
  w.uint(session.impressions).uint(session.watches).uint(session.positives)
  w.uint(session.watchedMs).uint(session.completes).uint(session.skips)
}

export function readCounts(session: SessionState, value: ByteReader): void {
  session.lastEventAt = session.startedAt + value.uint()
  session.impressions = value.uint()
  session.watches = value.uint()
  session.positives = value.uint()
  session.watchedMs = value.uint()
  session.completes = value.uint()
  session.skips = value.uint()
}

export function readList(value: ByteReader, read: () => number): number[] {
  const list: number[] = []
  for (let n = value.uint(); n > 0; n--) list.push(read())
  return list
}

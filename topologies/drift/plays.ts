/**
 * The last heartbeat of each play in each window, so that a play counts once a window with its last value: a newer
 * heartbeat takes the older one's place in the minute, the hour and the day.
 *
 * A play keeps its last few minutes, and the last of each hour before; watchedMs is cumulative, so within a window the
 * last heartbeat is the one with the most. A play without a heartbeat for `lifeMs` of event time is forgotten (labels
 * end one after 5 min; the rest is for disorder): one that goes on later counts as another.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Row } from '../../streams/topology/store.ts'
import type { Place } from './segments.ts'
import { sizes } from './subjects.ts'

export const lifeMs = 600_000
const keptMinutes = 8
const minuteMs = sizes[0].ms

export interface Beat {
  minute: number
  watchedMs: number
  durationMs: number
  positive: boolean
}

export interface PlayRow extends Row {
  readonly userId: string
  readonly playId: string
  readonly place: Place
  /** Whether it stands in the store; a play without full consent does not. */
  stored: boolean
  /** By minute, oldest first. */
  readonly beats: Beat[]
}

/** A play as its row has it. */
export interface StoredPlay {
  readonly surface: string
  readonly cohort: string
  readonly beats: Beat[]
}

export function writePlay({ surface, cohort, beats }: StoredPlay, w: ByteWriter): void {
  w.string(surface).uint(beats.length)
  for (const beat of beats)
    w.uint(beat.minute)
      .uint(beat.watchedMs)
      .uint(beat.durationMs)
      .u8(beat.positive ? 1 : 0)
  w.string(cohort)
}

export function readPlay(r: ByteReader): StoredPlay {
  const surface = r.string()
  const beats = Array.from({ length: r.uint() }, () => ({
    minute: r.uint(),
    watchedMs: r.uint(),
    durationMs: r.uint(),
    positive: r.u8() === 1,
  }))
  // rows written before there were segments by cohort end here
  return { surface, cohort: r.left > 0 ? r.string() : '', beats }
}

/** Event time of the newest heartbeat, to the minute, ms. */
export const newestOf = ({ beats }: Pick<PlayRow, 'beats'>): number =>
  (beats.at(-1)?.minute ?? 0) * minuteMs

/** The value that a play has in the window of `sizeMs` around `minute`; undefined: it is not in it. */
function lastIn(beats: readonly Beat[], minute: number, sizeMs: number): Beat | undefined {
  const perWindow = sizeMs / minuteMs
  const window = Math.floor(minute / perWindow)
  for (let i = beats.length - 1; i >= 0; i--)
    if (Math.floor(beats[i].minute / perWindow) === window) return beats[i]
  return undefined
}

/**
 * Takes in a heartbeat and tells what it changes: by window size, the value that the minute, hour and day around it had
 * (`before`) and have now (`after`). False where it changes nothing (it is older than what its minute has).
 * Hot: one call a heartbeat, nearly always in or after the newest minute.
 */
export function takeBeat(
  beats: Beat[],
  beat: Beat,
  before: (Beat | undefined)[],
  after: (Beat | undefined)[],
): boolean {
  let at = beats.length
  while (at > 0 && beats[at - 1].minute > beat.minute) at--
  const same = at > 0 && beats[at - 1].minute === beat.minute
  if (same && !isNewer(beat, beats[at - 1])) return false
  for (let size = 0; size < sizes.length; size++)
    before[size] = lastIn(beats, beat.minute, sizes[size].ms)
  const isNewest = at === beats.length
  if (same) beats[at - 1] = beat
  else if (isNewest) beats.push(beat)
  else beats.splice(at, 0, beat)
  for (let size = 0; size < sizes.length; size++)
    after[size] = isNewest ? beat : lastIn(beats, beat.minute, sizes[size].ms)
  if (beats.length > keptMinutes) forgetOne(beats)
  return true
}

function isNewer(beat: Beat, old: Beat): boolean {
  return beat.watchedMs > old.watchedMs || (beat.positive && !old.positive)
}

/** Drops the oldest minute that is not the last of its hour; of a play over many hours, the oldest hour. */
function forgetOne(beats: Beat[]): void {
  const hourOf = (beat: Beat): number => Math.floor((beat.minute * minuteMs) / sizes[1].ms)
  const at = beats.findIndex(
    (beat, i) => i + 1 < beats.length && hourOf(beats[i + 1]) === hourOf(beat),
  )
  beats.splice(Math.max(0, at), 1)
}

/**
 * When plays are to be looked at again, by minute: a play stands in one bucket, and moves to a later one only when its
 * bucket comes due, so a heartbeat costs nothing here.
 */
export class DueMinutes {
  private readonly buckets = new Map<number, PlayRow[]>()
  private doneTo = 0

  add(play: PlayRow, minute: number): void {
    const at = Math.max(minute, this.doneTo)
    const bucket = this.buckets.get(at)
    if (bucket) bucket.push(play)
    else this.buckets.set(at, [play])
  }

  /** Hands out all plays due before `minute`. */
  takeBefore(minute: number): PlayRow[] {
    if (minute <= this.doneTo) return []
    this.doneTo = minute
    const taken: PlayRow[] = []
    for (const [at, plays] of this.buckets) {
      if (at >= minute) continue
      this.buckets.delete(at)
      for (const play of plays) taken.push(play)
    }
    return taken
  }
}

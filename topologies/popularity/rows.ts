/**
 * Rows of counts in the item changelog.
 * `counts`: key = itemId; value = layout u8, newestAt, impressions, watches, positives, watchedMs, decayedMinute, firstMinute
 * (varints; layout 1 has no firstMinute), one float32 a half-life. ~45 bytes, at most one a commit. The whole numbers do not depend on the order that packets came in;
 * the decayed sums do, in their last digits.
 * `hours`: key = hour (varint), cohort (string), itemId; value = layout u8, then {minute u8, positives} of the minutes that
 * have any.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { halfLivesMs } from './decay.ts'

const layout = 1
const countsLayout = 2

export interface ItemCounts {
  /** Newest event time counted for the item, ms. */
  newestAt: number
  impressions: number
  /** Plays. */
  watches: number
  positives: number
  watchedMs: number
  /** Minute (since 1970) of the newest positive: `decayed` is as of its start. */
  decayedMinute: number
  /** Minute of the oldest positive; 0: unknown. */
  firstMinute: number
  /** Decayed positives, one a half-life. float32, as on the log, so that a restored task goes on with the same values. */
  readonly decayed: Float32Array
}

export function emptyItemCounts(): ItemCounts {
  return {
    newestAt: 0,
    impressions: 0,
    watches: 0,
    positives: 0,
    watchedMs: 0,
    decayedMinute: 0,
    firstMinute: 0,
    decayed: new Float32Array(halfLivesMs.length),
  }
}

export function writeCounts(counts: ItemCounts, w: ByteWriter): void {
  w.u8(countsLayout).uint(counts.newestAt).uint(counts.impressions).uint(counts.watches)
  w.uint(counts.positives)
    .uint(counts.watchedMs)
    .uint(counts.decayedMinute)
    .uint(counts.firstMinute)
  for (let h = 0; h < counts.decayed.length; h++) w.f32(counts.decayed[h])
}

/** Reads into `counts`. Errors: CHANGELOG_NEWER for another layout; RangeError for a row that is cut. */
export function readCounts(r: ByteReader, counts: ItemCounts): void {
  const found = r.u8()
  if (found !== 1) checkLayout(found, 'counts', countsLayout)
  counts.newestAt = r.uint()
  counts.impressions = r.uint()
  counts.watches = r.uint()
  counts.positives = r.uint()
  counts.watchedMs = r.uint()
  counts.decayedMinute = r.uint()
  counts.firstMinute = found === 1 ? 0 : r.uint()
  for (let h = 0; h < counts.decayed.length; h++) counts.decayed[h] = r.f32()
}

/** The newest event time alone, for those who need no more of the row. */
export function readNewestAt(r: ByteReader): number {
  const found = r.u8()
  if (found !== 1) checkLayout(found, 'counts', countsLayout)
  return r.uint()
}

interface HourKey {
  /** Hours since 1970. */
  readonly hour: number
  /** The positives of one cohort: '' is a cohort like others, all together are summed by the reader. */
  readonly cohort: string
  readonly itemId: string
}

export function writeHourKey(hour: number, cohort: string, itemId: string, w: ByteWriter): void {
  w.uint(hour).string(cohort).rawString(itemId)
}

export function readHourKey(r: ByteReader): HourKey {
  return { hour: r.uint(), cohort: r.string(), itemId: r.rawString() }
}

/** Positives by minute of the hour: `count * 64 + minute`, each minute once, in order: the row does not tell who came first. */
export type HourMinutes = number[]

export function writeHour(minutes: HourMinutes, w: ByteWriter): void {
  w.u8(layout)
  for (let i = 0; i < minutes.length; i++) w.u8(minutes[i] & 63).uint(Math.floor(minutes[i] / 64))
}

/** Errors: CHANGELOG_NEWER for another layout; RangeError for a row that is cut. */
export function readHour(r: ByteReader): HourMinutes {
  checkLayout(r.u8(), 'hours')
  const minutes: HourMinutes = []
  while (r.left > 0) {
    const minute = r.u8()
    minutes.push(r.uint() * 64 + minute)
  }
  return minutes
}

function checkLayout(found: number, store: string, known = layout): void {
  if (found !== known)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a row of ${store} has layout ${found}, this version reads ${known}: run the version that wrote it or newer`,
    )
}

/**
 * The compact positive that a user task sends to the learner for a user's first positive on an item.
 *
 * Layout: layout (1 byte), hash of the user (varint, 53 bits), event time (varint ms), bucket (1 byte), number of item
 * ids (1 byte), the ids: the positive's own first, then the user's positives before it, newest first, at most 24.
 * Ids, not indices: an index means something in one process only.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { DeltaChannel } from '../../streams/topology/outbox.ts'

export const positivesChannel: DeltaChannel = { id: 20, name: 'positives', to: 'learner' }

export const historyLength = 24

/** One positive as read: a reused object, valid until the next read. */
export interface Positive {
  user: number
  ts: number
  bucket: number
  /** The item, then the items before it, newest first; `count` are valid. */
  readonly ids: string[]
  count: number
}

const layout = 1

export function emptyPositive(): Positive {
  return { user: 0, ts: 0, bucket: 0, ids: new Array<string>(historyLength + 1).fill(''), count: 0 }
}

export function writePositive(positive: Positive, w: ByteWriter): void {
  w.u8(layout).uint(positive.user).uint(positive.ts).u8(positive.bucket).u8(positive.count)
  for (let k = 0; k < positive.count; k++) w.string(positive.ids[k])
}

/** Errors: DELTA_GENERATION for a layout that this version does not know; RangeError for a payload that is cut. */
export function readPositive(payload: ByteReader, into: Positive): void {
  const found = payload.u8()
  if (found !== layout)
    throw new FreshetError(
      'DELTA_GENERATION',
      `a positive for the learner has layout ${found}; this version reads ${layout}: run one version of freshet in all workers`,
    )
  into.user = payload.uint()
  into.ts = payload.uint()
  into.bucket = payload.u8()
  into.count = payload.u8()
  for (let k = 0; k < into.count; k++) into.ids[k] = payload.string()
}

const returnGapMs = 30 * 60_000

/**
 * Which of the blend's 7 weight buckets a user stands in: 0 without history; else 1 to 3 within 30 min of the last
 * positive and 4 to 6 after, for fewer than 4, fewer than 20, and more positives.
 */
export function bucketOf(positives: number, gapMs: number): number {
  if (positives === 0) return 0
  const depth = positives < 4 ? 0 : positives < 20 ? 1 : 2
  return (gapMs < returnGapMs ? 1 : 4) + depth
}

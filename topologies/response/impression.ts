/**
 * The compact impression that a user task sends to the learner once its label is final. It names no user.
 *
 * Layout: layout (1 byte), whether the propensity is known (1 byte), item (text), time shown (varint ms), source (1 byte), times
 * shown before (1 byte), surface's bucket (1 byte), position (varint), answers (3 bytes: answers.ts), target (float32), then
 * the propensity (float32) where it is known. About 25 bytes.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { DeltaChannel } from '../../streams/topology/outbox.ts'
import type { LabelFact } from '../user/labels-port.ts'
import { sourceNumber, surfaceBucket } from './features.ts'

export const responsesChannel: DeltaChannel = { id: 21, name: 'responses', to: 'learner' }

/** One labelled impression as read: a reused object, valid until the next read. */
export interface LabelledImpression {
  itemId: string
  shownAt: number
  source: number
  timesShown: number
  surface: number
  position: number
  target: number
  /** Packed (answers.ts). */
  answers: number
  propensity: number | null
}

const layout = 2

export function emptyImpression(): LabelledImpression {
  return {
    itemId: '',
    shownAt: 0,
    source: 0,
    timesShown: 0,
    surface: 0,
    position: 0,
    target: 0,
    answers: 0,
    propensity: null,
  }
}

/** `target`: that of the fact, known. */
export function writeImpression(
  itemId: string,
  fact: LabelFact,
  target: number,
  w: ByteWriter,
): void {
  const { propensity, answers } = fact
  w.u8(layout).u8(propensity === null ? 0 : 1)
  w.string(itemId).uint(fact.shownAt).u8(sourceNumber(fact.source)).u8(fact.timesShown)
  w.u8(surfaceBucket(fact.surface)).uint(fact.position)
  w.u8((answers >> 16) & 255)
    .u8((answers >> 8) & 255)
    .u8(answers & 255)
    .f32(target)
  if (propensity !== null) w.f32(propensity)
}

/** Errors: DELTA_GENERATION for a layout that this version does not know; RangeError for a payload that is cut. */
export function readImpression(payload: ByteReader, into: LabelledImpression): void {
  const found = payload.u8()
  if (found !== layout)
    throw new FreshetError(
      'DELTA_GENERATION',
      `an impression for the learner has layout ${found}; this version reads ${layout}: run one version of freshet in all workers`,
    )
  const known = payload.u8()
  into.itemId = payload.string()
  into.shownAt = payload.uint()
  into.source = payload.u8()
  into.timesShown = payload.u8()
  into.surface = payload.u8()
  into.position = payload.uint()
  into.answers = (payload.u8() << 16) | (payload.u8() << 8) | payload.u8()
  into.target = payload.f32()
  into.propensity = known === 1 ? payload.f32() : null
}

/**
 * Rows of the response model on the learner's changelog, which every process follows.
 *
 * Key: part (1 byte: 0 dense, 1 creators, 2 items, 3 topics), but for the first the number of the chunk (varint).
 * Dense value: layout (1 byte), impressions learnt (varint), strength (float32), mean importance (float64), number of
 * coordinates d (varint), d weights and d (d + 1) / 2 covariances (float64; the upper triangle by rows). ~8 KB.
 * Chunk value: layout (1 byte), then weight and variance (float32 each) of 64 buckets. 513 bytes.
 *
 * Rows of layout 1 were learnt beside another ranking's score: they are passed over, and learning begins anew.
 *
 * What a follower needs of a row is its beginning; variances are the learner's own.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { denseCount } from './features.ts'
import type { Group, ResponseModel } from './model.ts'

export const parts = { dense: 0, creators: 1, items: 2, topics: 3 } as const

/** The group that a part's chunks belong to. Errors: CHANGELOG_NEWER for a part that is not known here. */
export function groupOf<T>(
  part: number,
  groups: { readonly topics: T; readonly creators: T; readonly items: T },
): T {
  if (part === parts.items) return groups.items
  if (part === parts.creators) return groups.creators
  if (part === parts.topics) return groups.topics
  throw new FreshetError(
    'CHANGELOG_NEWER',
    `a row of response weights is of part ${part}, which this version does not know: run the version that wrote it or newer`,
  )
}

/** Buckets of a row. */
export const chunkSize = 64

const layout = 2

export function writeDense(model: ResponseModel, strength: number, w: ByteWriter): void {
  w.u8(layout).uint(model.learnt).f32(strength).f64(model.meanImportance).uint(denseCount)
  for (const weight of model.weight) w.f64(weight)
  for (let i = 0; i < denseCount; i++)
    for (let j = i; j < denseCount; j++) w.f64(model.covariance[i * denseCount + j])
}

export interface DenseHead {
  readonly learnt: number
  readonly strength: number
  readonly meanImportance: number
}

/**
 * Reads the head and the weights; the reader then stands at the covariances. Undefined for a row of before. Errors:
 * CHANGELOG_NEWER.
 */
export function readDense(value: ByteReader, weight: Float64Array): DenseHead | undefined {
  if (!isOfThisLayout(value)) return undefined
  const head = { learnt: value.uint(), strength: value.f32(), meanImportance: value.f64() }
  const found = value.uint()
  if (found !== denseCount)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a row of response weights has ${found} coordinates; this version has ${denseCount}: run the version that wrote it, or reset the learner`,
    )
  for (let i = 0; i < denseCount; i++) weight[i] = value.f64()
  return head
}

export function readCovariance(value: ByteReader, covariance: Float64Array): void {
  for (let i = 0; i < denseCount; i++)
    for (let j = i; j < denseCount; j++) {
      const x = value.f64()
      covariance[i * denseCount + j] = x
      covariance[j * denseCount + i] = x
    }
}

export function writeChunk(group: Group, chunk: number, w: ByteWriter): void {
  w.u8(layout)
  for (let k = chunk * chunkSize; k < (chunk + 1) * chunkSize; k++)
    w.f32(group.weight[k]).f32(group.variance[k])
}

/** Without `variance` variances are passed over, and so is a row of before. Errors: CHANGELOG_NEWER. */
export function readChunk(
  value: ByteReader,
  chunk: number,
  weight: Float32Array,
  variance?: Float32Array,
): void {
  if (!isOfThisLayout(value)) return
  for (let k = chunk * chunkSize; k < (chunk + 1) * chunkSize; k++) {
    weight[k] = value.f32()
    const v = value.f32()
    if (variance) variance[k] = v
  }
}

function isOfThisLayout(value: ByteReader): boolean {
  const found = value.u8()
  if (found > layout)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a row of response weights has layout ${found}; this version reads ${layout}: run the version that wrote it or newer`,
    )
  return found === layout
}

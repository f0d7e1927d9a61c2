/**
 * Rows of the learner's changelog, which every process follows for its item table.
 *
 * Store `vectors`: key = the item's id (UTF-8, to the end of the key), value = layout (1 byte), dimension (varint),
 * context vector C and output vector Q (each `dimension` float16, little-endian), bias (float32). 134 bytes. A tombstone
 * forgets the item's vectors.
 * Store `progress` is the learner's own: followers pass over it, and over any store they do not know.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { fromFloat16, toFloat16 } from './float16.ts'

/** Numbers on the log for ever: never reuse one. */
export const learnerStores = {
  vectors: 1,
  progress: 2,
  blend: 3,
  blendState: 4,
  response: 10,
} as const

/** Length of C and of Q. */
export const vectorDimension = 32

const layout = 1
const halves = Buffer.alloc(vectorDimension * 2)

export function writeVectorKey(itemId: string, w: ByteWriter): void {
  w.rawString(itemId)
}

export function readVectorKey(key: ByteReader): string {
  return key.rawString()
}

/** Writes the vectors that stand at `at` (= index * dimension) of `context` and `output`. */
export function writeVectorRow(
  context: Float32Array,
  output: Float32Array,
  at: number,
  bias: number,
  w: ByteWriter,
): void {
  w.u8(layout).uint(vectorDimension)
  writeHalves(context, at, w)
  writeHalves(output, at, w)
  w.f32(bias)
}

/**
 * Reads a row into `context` and `output` at `at` (= index * dimension), and returns the bias.
 * Errors: CHANGELOG_NEWER for a layout or dimension that this version does not know; RangeError for a row that is cut.
 */
export function readVectorRow(
  value: ByteReader,
  context: Float32Array,
  output: Float32Array,
  at: number,
): number {
  const found = value.u8()
  const dimension = value.uint()
  if (found !== layout || dimension !== vectorDimension)
    throw new FreshetError(
      'CHANGELOG_NEWER',
      `a learner row has layout ${found} and dimension ${dimension}; this version reads layout ${layout} and dimension ${vectorDimension}: run the version that wrote it, or reset the learner`,
    )
  readHalves(value, context, at)
  readHalves(value, output, at)
  return value.f32()
}

function writeHalves(vectors: Float32Array, at: number, w: ByteWriter): void {
  for (let i = 0; i < vectorDimension; i++) {
    const half = toFloat16(vectors[at + i])
    halves[2 * i] = half & 255
    halves[2 * i + 1] = half >>> 8
  }
  w.raw(halves)
}

function readHalves(value: ByteReader, vectors: Float32Array, at: number): void {
  const bytes = value.raw(vectorDimension * 2)
  for (let i = 0; i < vectorDimension; i++)
    vectors[at + i] = fromFloat16(bytes[2 * i] | (bytes[2 * i + 1] << 8))
}

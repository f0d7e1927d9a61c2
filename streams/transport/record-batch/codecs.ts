/** The compressions that a batch may come in, by the number in its attributes. */
import { gunzipSync } from 'node:zlib'
import { decompressFrameSync } from 'lz4-napi'
import { uncompressSync } from 'snappy'
import { FreshetError } from '../../errors.ts'

/** What xerial's SnappyOutputStream (Java's and kafkajs' producers) opens with; then length-prefixed snappy blocks. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
const XERIAL_HEADER_BYTES = 16

/**
 * The records of a compressed batch. `where` names the batch for the error.
 * Errors: DEPENDENCY_UNSUITABLE for a codec that is not read here.
 */
export function decompress(codec: number, bytes: Buffer, where: string): Buffer {
  switch (codec) {
    case 1:
      return gunzipSync(bytes)
    case 2:
      return unsnappy(bytes)
    case 3:
      return decompressFrameSync(bytes)
    default:
      throw new FreshetError(
        'DEPENDENCY_UNSUITABLE',
        `${where} is compressed with ${codec === 4 ? 'zstd' : `codec ${codec}`}; freshet reads none, gzip, snappy and lz4. Set compression.type of its producer (or of the topic) to lz4`,
      )
  }
}

function unsnappy(bytes: Buffer): Buffer {
  if (!bytes.subarray(0, XERIAL.length).equals(XERIAL)) return snappyBlock(bytes)
  const blocks: Buffer[] = []
  let at = XERIAL_HEADER_BYTES
  while (at + 4 <= bytes.length) {
    const size = bytes.readInt32BE(at)
    blocks.push(snappyBlock(bytes.subarray(at + 4, at + 4 + size)))
    at += 4 + size
  }
  return Buffer.concat(blocks)
}

function snappyBlock(bytes: Buffer): Buffer {
  const plain = uncompressSync(bytes, { asBuffer: true })
  return typeof plain === 'string' ? Buffer.from(plain) : plain
}

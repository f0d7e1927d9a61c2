/**
 * Rows of the feature matrix, packed: more than a third of a candidate's features are 0. A list is one array of 32-bit words,
 * an item after the other: its index, a mask with a bit a feature, then the float32 of each that is not 0. What is unpacked
 * is bit by bit what was packed, but that -0 comes back as 0.
 *
 * One row may stand alone as a text of one byte a byte: a short string costs 16 B beside its bytes, a typed array 200.
 */
import { featureCount } from '../blend/features.ts'

/** Words of a mask. */
const maskWords = Math.ceil(featureCount / 32)
/** The most words of a row, with its item. */
const rowWords = 1 + maskWords + featureCount

/** What is packed: `count` items, and where each stands in the matrix. */
export interface RankedItems {
  readonly count: number
  item(place: number): number
  /** Row of the matrix. */
  row(place: number): number
}

let scratch = new Uint32Array(0)
let scratchFloats = new Float32Array(0)

/** `matrix`: rows of `featureCount`. Hot: once a list. */
export function packRows(ranked: RankedItems, matrix: Float32Array): Uint32Array {
  const { count } = ranked
  // one more: a 0 is written and not counted
  if (scratch.length <= count * rowWords) {
    scratch = new Uint32Array(count * rowWords + 1)
    scratchFloats = new Float32Array(scratch.buffer)
  }
  let to = 0
  for (let k = 0; k < count; k++) {
    scratch[to++] = ranked.item(k)
    const maskAt = to
    to += maskWords
    const from = ranked.row(k) * featureCount
    for (let word = 0; word < maskWords; word++) {
      const first = word * 32
      const end = Math.min(featureCount, first + 32)
      let mask = 0
      for (let f = first; f < end; f++) {
        const value = matrix[from + f]
        // without a branch, which would be guessed wrong every other time
        const isThere = Number(value !== 0)
        scratchFloats[to] = value
        mask |= isThere << (f - first)
        to += isThere
      }
      scratch[maskAt + word] = mask
    }
  }
  return scratch.slice(0, to)
}

/** Where the item's mask begins; -1: it is not among the rows. */
export function findRow(rows: Uint32Array, item: number): number {
  for (let at = 0; at < rows.length; ) {
    if (rows[at] === item) return at + 1
    at += 1 + rowLength(rows, at + 1)
  }
  return -1
}

/** The item of the k-th row; -1: there are fewer. */
export function itemAt(rows: Uint32Array, k: number): number {
  let at = 0
  for (let n = 0; n < k && at < rows.length; n++) at += 1 + rowLength(rows, at + 1)
  return at < rows.length ? rows[at] : -1
}

/** Words of the row whose mask begins at `at`, without its item. */
function rowLength(rows: Uint32Array, at: number): number {
  let length = maskWords
  for (let word = 0; word < maskWords; word++) length += ones(rows[at + word])
  return length
}

/** The bits that are set (Warren, Hacker's Delight, 5-1). */
function ones(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555)
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333)
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/** Writes the row whose mask begins at `at`. */
export function unpackRow(rows: Uint32Array, at: number, into: Float32Array): void {
  const floats = new Float32Array(rows.buffer, rows.byteOffset, rows.length)
  let from = at + maskWords
  for (let f = 0; f < featureCount; f++)
    into[f] = (rows[at + (f >> 5)] >>> (f & 31)) & 1 ? floats[from++] : 0
}

/** The row whose mask begins at `at`, as a text. */
export function textOfRow(rows: Uint32Array, at: number): string {
  const bytes = Buffer.from(rows.buffer, rows.byteOffset + at * 4, rowLength(rows, at) * 4)
  return bytes.toString('latin1')
}

const alone = new Uint32Array(rowWords)
const aloneBytes = Buffer.from(alone.buffer)

export function unpackText(text: string, into: Float32Array): void {
  aloneBytes.write(text, 'latin1')
  unpackRow(alone, 0, into)
}

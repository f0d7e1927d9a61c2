/**
 * State of the item vectors' drift: of each window size how far it has come and, once frozen, the reference's vectors.
 * All exact, all restored from the changelog.
 */
import type { ByteReader, ByteWriter } from '../../../streams/serde/bytes.ts'
import { type Row, Store } from '../../../streams/topology/store.ts'
import { fromFloat16, toFloat16 } from '../../learner/float16.ts'
import { sizes } from '../subjects.ts'

/** Store number in the task kind `statistics`. On the log for ever. */
const storeId = 47

const progressKey = 0
const referenceKey = 1

export interface SizeProgress extends Row {
  readonly size: number
  /** When the watermark was first seen, event time, ms; 0: never. */
  seenAt: number
  /** Start of the window that closes next, ms. */
  next: number
  /** Windows since the warm-up that had enough vectors: the reference is frozen with the last of those that it wants. */
  windows: number
}

export interface FrozenVectors extends Row {
  readonly size: number
  /** End of the window with which they were frozen, ms; 0: not yet. */
  at: number
  vectors: readonly Float32Array[]
}

export class EmbeddingState {
  readonly progress: readonly SizeProgress[] = sizes.map((_, size) => ({
    size,
    seenAt: 0,
    next: 0,
    windows: 0,
    dirty: false,
    removed: false,
  }))
  readonly references: readonly FrozenVectors[] = sizes.map((_, size) => ({
    size,
    at: 0,
    vectors: [],
    dirty: false,
    removed: false,
  }))
  /** Two kinds of rows in one store: of those, the one with vectors is 128 KB and written once. */
  readonly store = new Store<SizeProgress | FrozenVectors>({
    id: storeId,
    name: 'drift-item-vectors',
    write: 'exact',
    writeKey: (row, w) => w.u8('vectors' in row ? referenceKey : progressKey).u8(row.size),
    writeValue(row, w) {
      if ('vectors' in row) writeVectors(row, w)
      else w.uint(row.seenAt).uint(row.next).uint(row.windows)
    },
    restore: (key, value) => {
      const kind = key.u8()
      const size = key.u8()
      if (value === null) return
      if (kind === referenceKey) readVectors(this.references[size], value)
      else {
        const row = this.progress[size]
        row.seenAt = value.uint()
        row.next = value.uint()
        row.windows = value.uint()
      }
    },
  })
}

/** at, vectors, their length, then float16 each: as they came from the learner. */
function writeVectors({ at, vectors }: FrozenVectors, w: ByteWriter): void {
  const length = vectors[0]?.length ?? 0
  w.uint(at).uint(vectors.length).uint(length)
  const halves = Buffer.alloc(2 * length)
  for (const vector of vectors) {
    for (let i = 0; i < length; i++) halves.writeUInt16LE(toFloat16(vector[i]), 2 * i)
    w.raw(halves)
  }
}

function readVectors(row: FrozenVectors, r: ByteReader): void {
  row.at = r.uint()
  const count = r.uint()
  const length = r.uint()
  row.vectors = Array.from({ length: count }, () =>
    Float32Array.from({ length }, () => {
      const low = r.u8()
      return fromFloat16(low | (r.u8() << 8))
    }),
  )
}

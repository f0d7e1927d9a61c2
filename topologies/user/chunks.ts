/**
 * Lists of numbers of a user that only grow at the end and lose their oldest part. On the log they stand in rows of one
 * chunk each, so that an append writes one small row; the row's slot is the chunk's number modulo the number of slots,
 * so that a chunk that is dropped needs no tombstone.
 *
 * A plain array of numbers costs 8 B an element and 48 B as a whole; a typed array costs 200 B and more as a whole, which
 * is why none stands here (a user has 20 elements, not 2,000).
 */
import type { Row } from '../../streams/topology/store.ts'
import type { StoredUser } from './stored-user.ts'

export interface ChunkShape {
  /** Numbers an element takes. */
  readonly stride: number
  /** Elements a chunk. */
  readonly size: number
  /** Chunks kept, the open one included. */
  readonly slots: number
}

export const POSITIVES: ChunkShape = { stride: 2, size: 20, slots: 11 }
export const EXCLUSIONS: ChunkShape = { stride: 1, size: 20, slots: 101 }
export const DOUBLES: ChunkShape = { stride: 1, size: 8, slots: 65 }
export const SHOWN: ChunkShape = { stride: 1, size: 32, slots: 5 }

/** A list and how many elements were dropped from its front since the user is known. */
export class ChunkedList {
  values: number[] = []
  dropped = 0
  /** The row of the chunk that changed last and is not written yet. */
  open: ChunkRow | null = null

  /** Number of the chunk that element k (0 = oldest kept) stands in. */
  chunkOf(shape: ChunkShape, k: number): number {
    return Math.floor((this.dropped + k) / shape.size)
  }

  length(shape: ChunkShape): number {
    return this.values.length / shape.stride
  }

  /** Makes room for one more element: drops the oldest whole chunk once all slots are taken. */
  trim(shape: ChunkShape): void {
    const first = this.chunkOf(shape, 0)
    const next = this.chunkOf(shape, this.length(shape))
    if (next - first < shape.slots) return
    const gone = (first + 1) * shape.size - this.dropped
    this.values = this.values.slice(gone * shape.stride)
    this.dropped += gone
  }

  /** Elements of one chunk as bounds into `values`. */
  bounds(shape: ChunkShape, chunk: number): { from: number; to: number } {
    const from = Math.max(0, chunk * shape.size - this.dropped) * shape.stride
    const to = Math.max(0, (chunk + 1) * shape.size - this.dropped) * shape.stride
    return { from, to: Math.min(to, this.values.length) }
  }
}

export class ChunkRow implements Row {
  dirty = false
  readonly user: StoredUser
  readonly chunk: number
  private cleared = false

  constructor(user: StoredUser, chunk: number) {
    this.user = user
    this.chunk = chunk
  }

  get removed(): boolean {
    return this.cleared || this.user.gone
  }

  set removed(value: boolean) {
    this.cleared = value
  }
}

/** Puts chunks, in whatever order a restore met them, together again. */
export function joinChunks(
  shape: ChunkShape,
  chunks: { chunk: number; values: number[] }[],
): ChunkedList {
  const list = new ChunkedList()
  chunks.sort((a, b) => a.chunk - b.chunk)
  const newest = chunks.at(-1)
  if (!newest) return list
  const kept = chunks.filter(({ chunk }) => chunk > newest.chunk - shape.slots)
  list.values = kept.flatMap(({ values }) => values)
  const total = newest.chunk * shape.size + newest.values.length / shape.stride
  list.dropped = total - list.values.length / shape.stride
  return list
}

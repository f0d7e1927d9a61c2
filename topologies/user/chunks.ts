/**
 * Lists of numbers of a user that only grow at the end and lose their oldest part. On the log a full chunk stands in a row
 * of its own, written once; what does not fill a chunk yet stands in the user's row (of what was shown or approved, in its chunk's). The
 * row's slot is the chunk's number modulo the number of slots, so that a chunk that is dropped needs no tombstone.
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
  /** The open chunk has a row of its own too, and stands not in the user's. */
  readonly openHasRow?: true
}

export const POSITIVES: ChunkShape = { stride: 2, size: 16, slots: 14 }
export const EXCLUSIONS: ChunkShape = { stride: 1, size: 16, slots: 126 }
export const DOUBLES: ChunkShape = { stride: 1, size: 16, slots: 33 }
export const SHOWN: ChunkShape = { stride: 1, size: 32, slots: 5, openHasRow: true }
export const APPROVALS: ChunkShape = { stride: 1, size: 16, slots: 5, openHasRow: true }

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

/** Elements at a list's end that do not fill a chunk. */
export function tailOf(shape: ChunkShape, list: ChunkedList): number {
  const length = list.length(shape)
  return Math.min(length, (list.dropped + length) % shape.size)
}

/** A row of a user's that holds on to it until it is written. */
export class UserPart {
  readonly user: StoredUser
  private waits = false

  constructor(user: StoredUser) {
    this.user = user
  }

  get dirty(): boolean {
    return this.waits
  }

  set dirty(waits: boolean) {
    if (waits !== this.waits) this.user.rowsWaiting += waits ? 1 : -1
    this.waits = waits
  }
}

export class ChunkRow extends UserPart implements Row {
  readonly chunk: number
  private cleared = false

  constructor(user: StoredUser, chunk: number) {
    super(user)
    this.chunk = chunk
  }

  get removed(): boolean {
    return this.cleared || this.user.gone
  }

  set removed(value: boolean) {
    this.cleared = value
  }
}

export interface Chunk {
  readonly chunk: number
  readonly values: number[]
}

/**
 * Fills a list in from its chunks, in whatever order a restore met them, and what stood in the user's row behind them.
 * `total`: how many elements there ever were. Chunks whose slot was not taken again yet may be older than what is kept.
 */
export function joinChunks(
  list: ChunkedList,
  shape: ChunkShape,
  chunks: readonly Chunk[],
  tail: readonly number[],
  total: number,
): void {
  const open = Math.floor(total / shape.size)
  const kept = chunks.filter(({ chunk }) => chunk < open && chunk > open - shape.slots)
  kept.sort((a, b) => a.chunk - b.chunk)
  for (const { values } of kept) for (const value of values) list.values.push(value)
  for (const value of tail) list.values.push(value)
  list.dropped = total - list.values.length / shape.stride
}

/**
 * The learner's items: ids, their embeddings, and the soft store that publishes those which moved.
 *
 * Items are numbered here in order of their first positive, not by the item table, so that the vectors are a function of
 * the positives' order alone.
 */
import { hash53 } from '../../streams/serde/hash.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { type EmbeddingOptions, SessionEmbeddings } from './embeddings.ts'
import {
  learnerStores,
  readVectorKey,
  readVectorRow,
  vectorDimension,
  writeVectorKey,
  writeVectorRow,
} from './rows.ts'

interface VectorRow extends Row {
  readonly index: number
}

export interface VectorOptions extends EmbeddingOptions {
  readonly seed: number
  readonly publishIntervalMs: number
  /** Share of its length that an item must have moved to be published again. */
  readonly publishThreshold: number
}

const d = vectorDimension

export class LearntVectors {
  readonly embeddings: SessionEmbeddings
  readonly store: Store<VectorRow>
  private readonly options: VectorOptions
  private readonly indices = new Map<string, number>()
  private readonly ids: string[] = []
  private readonly rows: VectorRow[] = []
  /** C, Q and bias of each item as they were published last; NaN before the first time. */
  private published = new Float32Array(1024 * (2 * d + 1))
  private moved: number[] = []
  private isMoved = new Uint8Array(1024)

  constructor(options: VectorOptions) {
    this.options = options
    this.embeddings = new SessionEmbeddings(options)
    this.store = new Store<VectorRow>({
      id: learnerStores.vectors,
      name: 'vectors',
      write: { everyMs: options.publishIntervalMs },
      writeKey: (row, w) => writeVectorKey(this.ids[row.index], w),
      writeValue: (row, w) => {
        const { context, output, bias } = this.embeddings
        writeVectorRow(context, output, row.index * d, bias[row.index], w)
        this.remember(row.index)
      },
      restore: (key, value) => {
        const index = this.index(readVectorKey(key))
        const { context, output, bias } = this.embeddings
        if (value === null) return
        bias[index] = readVectorRow(value, context, output, index * d)
        this.remember(index)
      },
    })
  }

  /** The item's number here, given at first sight. */
  index(itemId: string): number {
    const known = this.indices.get(itemId)
    if (known !== undefined) return known
    const index = this.embeddings.add(hash53(itemId, this.options.seed))
    this.indices.set(itemId, index)
    this.ids.push(itemId)
    this.rows.push({ dirty: false, removed: false, index })
    if (index >= this.isMoved.length) this.grow()
    this.published.fill(Number.NaN, index * (2 * d + 1), (index + 1) * (2 * d + 1))
    return index
  }

  knows(itemId: string): boolean {
    return this.indices.has(itemId)
  }

  idOf(index: number): string {
    return this.ids[index]
  }

  /** Notes that an item's vectors changed; cheap. */
  move(index: number): void {
    if (this.isMoved[index] === 1) return
    this.isMoved[index] = 1
    this.moved.push(index)
  }

  /** Once per commit: hands those that moved far enough to the store. */
  markMoved(): void {
    for (const index of this.moved) {
      this.isMoved[index] = 0
      if (this.movedFar(index)) this.store.touch(this.rows[index])
    }
    this.moved = []
  }

  private movedFar(index: number): boolean {
    const { context, output, bias } = this.embeddings
    const { published } = this
    const from = index * (2 * d + 1)
    if (Number.isNaN(published[from])) return true
    const threshold = this.options.publishThreshold
    if (Math.abs(bias[index] - published[from + 2 * d]) > threshold) return true
    let way = 0
    let length = 0
    for (let i = 0; i < d; i++) {
      const c = published[from + i]
      const q = published[from + d + i]
      way += (context[index * d + i] - c) ** 2 + (output[index * d + i] - q) ** 2
      length += c * c + q * q
    }
    return way > threshold * threshold * length
  }

  private remember(index: number): void {
    const { context, output, bias } = this.embeddings
    const to = index * (2 * d + 1)
    this.published.set(context.subarray(index * d, (index + 1) * d), to)
    this.published.set(output.subarray(index * d, (index + 1) * d), to + d)
    this.published[to + 2 * d] = bias[index]
  }

  private grow(): void {
    const published = new Float32Array(this.published.length * 2)
    published.set(this.published)
    this.published = published
    const isMoved = new Uint8Array(this.isMoved.length * 2)
    isMoved.set(this.isMoved)
    this.isMoved = isMoved
  }
}

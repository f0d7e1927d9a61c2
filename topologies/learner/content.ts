/**
 * Where a new item starts: without behaviour, but with a content embedding in the catalog, its vectors are the mean of
 * those of its nearest learnt items by content (cosine), and its bias is the mean of all learnt ones (neither a hit nor a
 * flop). From then on it is learnt like any other.
 *
 * Waits until `enough` learnt items have content, since the nearest of a handful are not near.
 */
import { vectorDimension } from './rows.ts'
import type { LearntVectors } from './vectors.ts'

export interface ContentTable {
  index(itemId: string): number
  idOf(index: number): string
  /** Unit content vector, if the catalog gave one. */
  content(index: number): Float32Array | undefined
  newest(n: number): readonly number[]
}

const d = vectorDimension
const nearestCount = 10
const enough = 200
/** Of the catalog's newest items, how many are looked through in a sweep. */
const sweepSize = 1_000

export class ContentStart {
  private readonly table: ContentTable
  private readonly vectors: LearntVectors
  private waiting: number[] = []
  /** Content vectors of learnt items with their number in `vectors`, as of the sweep. */
  private learnt: { readonly index: number; readonly content: Float32Array }[] = []
  private meanBias = 0

  constructor(table: ContentTable, vectors: LearntVectors) {
    this.table = table
    this.vectors = vectors
  }

  /** Looks which new items wait for a start: ~1 us a learnt item, so call it every few seconds. */
  sweep(): void {
    this.waiting = []
    this.learnt = []
    for (const item of this.table.newest(sweepSize))
      if (this.table.content(item) !== undefined && !this.vectors.knows(this.table.idOf(item)))
        this.waiting.push(item)
    if (this.waiting.length === 0) return
    const { embeddings } = this.vectors
    let sum = 0
    for (let index = 0; index < embeddings.size; index++) {
      sum += embeddings.bias[index]
      const content = this.table.content(this.table.index(this.vectors.idOf(index)))
      if (content !== undefined) this.learnt.push({ index, content })
    }
    this.meanBias = embeddings.size > 0 ? sum / embeddings.size : 0
    if (this.learnt.length < enough) this.waiting = []
  }

  /** Gives at most `limit` waiting items their start; true where some still wait. */
  start(limit: number): boolean {
    for (let n = 0; n < limit && this.waiting.length > 0; n++) {
      const item = this.waiting.pop()!
      const id = this.table.idOf(item)
      const content = this.table.content(item)
      if (content !== undefined && !this.vectors.knows(id)) this.startItem(id, content)
    }
    return this.waiting.length > 0
  }

  private startItem(id: string, content: Float32Array): void {
    const nearest = this.nearest(content)
    const index = this.vectors.index(id)
    const { context, output, bias } = this.vectors.embeddings
    for (let i = 0; i < d; i++) {
      let c = 0
      let q = 0
      for (const other of nearest) {
        c += context[other * d + i]
        q += output[other * d + i]
      }
      context[index * d + i] = c / nearest.length
      output[index * d + i] = q / nearest.length
    }
    bias[index] = this.meanBias
    this.vectors.move(index)
  }

  private nearest(content: Float32Array): number[] {
    const best: { index: number; cosine: number }[] = []
    for (const other of this.learnt) {
      if (other.content.length !== content.length) continue
      let cosine = 0
      for (let i = 0; i < content.length; i++) cosine += content[i] * other.content[i]
      if (best.length === nearestCount && cosine <= best[nearestCount - 1].cosine) continue
      if (best.length === nearestCount) best.pop()
      best.push({ index: other.index, cosine })
      best.sort((a, b) => b.cosine - a.cosine)
    }
    return best.length > 0 ? best.map(entry => entry.index) : this.learnt.map(entry => entry.index)
  }
}

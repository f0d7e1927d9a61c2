/** New items that are like what the user watched: cosine of the newest items' content to the mean of the last positives'. */
import type { Ask } from './ask.ts'
import { best } from './best.ts'
import type { Candidates } from './candidates.ts'

export const newestLooked = 200
const window = 10
const decay = 0.8

type Viewer = Pick<Ask, 'items' | 'history' | 'length'>

export class Content {
  private taste = new Float64Array(0)
  private readonly cosines = new Float64Array(newestLooked)
  private readonly places = Int32Array.from({ length: newestLooked }, (_, place) => place)
  private readonly picked: number[] = []
  present = false

  /** Computes the unit taste vector from those of the last positives that have content. */
  prepare(ask: Viewer): void {
    this.present = false
    const { contents, contentLength } = ask.items
    let weight = 1
    for (let k = 0; k < ask.length && k < window; k++, weight *= decay) {
      const at = ask.items.contentAt(ask.history[k])
      if (at < 0) continue
      if (!this.present) {
        if (this.taste.length !== contentLength) this.taste = new Float64Array(contentLength)
        this.taste.fill(0)
        this.present = true
      }
      for (let i = 0; i < contentLength; i++) this.taste[i] += weight * contents[at + i]
    }
    if (!this.present) return
    const norm = Math.sqrt(this.taste.reduce((sum, x) => sum + x * x, 0))
    if (norm > 0) for (let i = 0; i < this.taste.length; i++) this.taste[i] /= norm
  }

  retrieve(ask: Ask, into: Candidates): void {
    if (!this.present) return
    const newest = ask.items.newest(newestLooked)
    const { cosines } = this
    for (let place = 0; place < newest.length; place++)
      cosines[place] = this.similarity(ask, newest[place])
    best(this.places, newest.length, cosines, 2 * ask.perSource, this.picked)
    let wanted = ask.perSource
    for (const place of this.picked) {
      if (cosines[place] <= 0) return
      if (into.add(newest[place], 'content')) wanted--
      if (wanted === 0) return
    }
  }

  /** Cosine of the item's content to the taste; 0 where either is missing. */
  similarity(ask: Viewer, item: number): number {
    const at = this.present ? ask.items.contentAt(item) : -1
    if (at < 0) return 0
    const { taste } = this
    const { contents } = ask.items
    // as items/dot.ts: one sum alone waits for itself at every addition
    let even = 0
    let odd = 0
    let i = 0
    for (; i + 1 < taste.length; i += 2) {
      even += taste[i] * contents[at + i]
      odd += taste[i + 1] * contents[at + i + 1]
    }
    if (i < taste.length) even += taste[i] * contents[at + i]
    return even + odd
  }
}

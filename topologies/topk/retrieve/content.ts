/**
 * Items that are like what the user watched: nearest content vectors to the mean of the last positives'. Of the whole catalog:
 * what nobody watched yet has no other way to who would like it.
 */
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

const window = 10
const decay = 0.8

type Viewer = Pick<Ask, 'items' | 'history' | 'length'>

export class Content {
  private taste = new Float64Array(0)
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
    let wanted = ask.perSource
    // finished items, and those that other sources named, take places: look a little deeper than wanted
    for (const item of ask.items.nearestContent(this.taste, 2 * ask.perSource)) {
      if (this.similarity(ask, item) <= 0) return
      if (into.add(item, 'content')) wanted--
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

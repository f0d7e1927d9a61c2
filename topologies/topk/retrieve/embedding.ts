/** What follows the user's last items by the learner: nearest output vectors to the context u (learner/embeddings.ts). */

import { dot } from '../../items/dot.ts'
import { contextMean } from '../../learner/embeddings.ts'
import { vectorDimension } from '../../learner/rows.ts'
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

const d = vectorDimension
/** Number of the half-life of 96 h. */
const longHalfLife = 3
const popularLooked = 30
/** At least so many, however few candidates are wanted: the learner and every list see the same largest logit. */
const nearestLooked = 60

type Viewer = Pick<Ask, 'items' | 'history' | 'length' | 'perSource'>

export class Embedding {
  private readonly user = new Float32Array(d)
  private readonly known = new Int32Array(d)
  /** Whether the user has a context at all. */
  present = false
  /** The largest logit found: that of the nearest vectors and of the most watched items. */
  largest = 0
  private near: readonly number[] = []

  /** Computes u from those of the user's last items that are learnt, and finds what is nearest to it. */
  prepare(ask: Viewer): void {
    const { items } = ask
    let n = 0
    for (let k = 0; k < ask.length && n < this.known.length; k++)
      if (items.hasVector(ask.history[k])) this.known[n++] = ask.history[k]
    this.present = n > 0
    if (!this.present) return
    contextMean(items.context, this.known, n, this.user)
    this.near = items.nearest(this.user, Math.max(nearestLooked, 2 * ask.perSource))
    this.largest = Number.NEGATIVE_INFINITY
    for (const item of this.near) this.largest = Math.max(this.largest, this.logit(ask, item) ?? 0)
    for (const item of items.popular(longHalfLife, popularLooked))
      this.largest = Math.max(this.largest, this.logit(ask, item) ?? 0)
  }

  retrieve(ask: Ask, into: Candidates): void {
    if (!this.present) return
    let wanted = ask.perSource
    for (const item of this.near) {
      if (into.add(item, 'embedding')) wanted--
      if (wanted === 0) return
    }
  }

  /** bias_j + u . Q_j; undefined where the user or the item has no vector. */
  logit(ask: Viewer, item: number): number | undefined {
    const { items } = ask
    if (!this.present || !items.hasVector(item)) return undefined
    return items.bias[item] + dot(this.user, 0, items.output, item * d, d)
  }
}

/** What follows the user's last items by the learner: nearest output vectors to the context u (learner/embeddings.ts). */

import { dot } from '../../items/dot.ts'
import { contextMean } from '../../learner/embeddings.ts'
import { vectorDimension } from '../../learner/rows.ts'
import type { Ask } from './ask.ts'
import type { Candidates } from './candidates.ts'

const d = vectorDimension

export class Embedding {
  private readonly user = new Float32Array(d)
  private readonly known = new Int32Array(d)
  /** Whether the user has a context at all. */
  present = false

  /** Computes u from those of the user's last items that are learnt. */
  prepare(ask: Ask): void {
    const { items } = ask
    let n = 0
    for (let k = 0; k < ask.length && n < this.known.length; k++)
      if (items.hasVector(ask.history[k])) this.known[n++] = ask.history[k]
    this.present = n > 0
    if (this.present) contextMean(items.context, this.known, n, this.user)
  }

  retrieve(ask: Ask, into: Candidates): void {
    if (!this.present) return
    let wanted = ask.perSource
    for (const item of ask.items.nearest(this.user, 2 * ask.perSource)) {
      if (into.add(item, 'embedding')) wanted--
      if (wanted === 0) return
    }
  }

  /** bias_j + u . Q_j; undefined where the user or the item has no vector. */
  logit(ask: Ask, item: number): number | undefined {
    const { items } = ask
    if (!this.present || !items.hasVector(item)) return undefined
    return items.bias[item] + dot(this.user, 0, items.output, item * d, d)
  }
}

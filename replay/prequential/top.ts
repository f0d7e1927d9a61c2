/**
 * The ten best of many candidates, best first: no figure here looks further. Equal scores are told apart by item id, as in
 * lists; a score that is no number stands behind all others.
 */
export const depth = 10

export class TopTen {
  readonly items = new Int32Array(depth)
  size = 0
  private readonly scores = new Float64Array(depth)

  clear(): void {
    this.size = 0
  }

  /** 1 for the best; 0: the item is not among the ten. */
  placeOf(item: number): number {
    for (let k = 0; k < this.size; k++) if (this.items[k] === item) return k + 1
    return 0
  }

  /** Puts an item behind those that are there. */
  append(item: number): void {
    this.items[this.size++] = item
  }

  /** `scores` by place in `candidates`, of which `count` are valid; `order` by item, the smaller first among equals. */
  choose(
    candidates: Int32Array,
    count: number,
    scores: Float64Array,
    order: ArrayLike<number>,
  ): void {
    const { items, scores: best } = this
    let size = 0
    let worst = Number.NEGATIVE_INFINITY
    for (let i = 0; i < count; i++) {
      const score = Number.isNaN(scores[i]) ? Number.NEGATIVE_INFINITY : scores[i]
      if (size === depth && score < worst) continue
      const item = candidates[i]
      let at = size
      while (
        at > 0 &&
        (best[at - 1] < score || (best[at - 1] === score && order[items[at - 1]] > order[item]))
      )
        at--
      if (at === depth) continue
      if (size < depth) size++
      items.copyWithin(at + 1, at, size - 1)
      best.copyWithin(at + 1, at, size - 1)
      items[at] = item
      best[at] = score
      worst = best[size - 1]
    }
    this.size = size
  }
}

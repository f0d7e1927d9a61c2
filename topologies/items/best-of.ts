/**
 * The best n of a stream of (index, score): a bounded heap with the weakest on top, in arrays that are used again.
 * Equal scores: the smaller index is better.
 */
export class BestOf {
  private n = 0
  private size = 0
  private indices = new Int32Array(64)
  private scores = new Float64Array(64)

  reset(n: number): void {
    this.n = n
    this.size = 0
    if (n > this.indices.length) {
      this.indices = new Int32Array(n)
      this.scores = new Float64Array(n)
    }
  }

  /** No smaller score can get in; -Infinity while there is room. */
  get least(): number {
    if (this.n === 0) return Number.POSITIVE_INFINITY
    return this.size < this.n ? Number.NEGATIVE_INFINITY : this.scores[0]
  }

  offer(index: number, score: number): void {
    if (this.size < this.n) {
      this.rise(this.size++, index, score)
      return
    }
    if (this.n === 0 || score < this.scores[0]) return
    if (score === this.scores[0] && index > this.indices[0]) return
    this.sink(index, score)
  }

  /** Indices best first; empties the heap. */
  take(): number[] {
    const taken = new Array<number>(this.size)
    while (this.size > 0) {
      taken[this.size - 1] = this.indices[0]
      this.size--
      this.sink(this.indices[this.size], this.scores[this.size])
    }
    return taken
  }

  private weaker(a: number, index: number, score: number): boolean {
    return this.scores[a] < score || (this.scores[a] === score && this.indices[a] > index)
  }

  private rise(from: number, index: number, score: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.weaker(parent, index, score)) break
      this.indices[at] = this.indices[parent]
      this.scores[at] = this.scores[parent]
      at = parent
    }
    this.indices[at] = index
    this.scores[at] = score
  }

  private sink(index: number, score: number): void {
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= this.size) break
      const right = child + 1
      if (right < this.size && this.weaker(right, this.indices[child], this.scores[child]))
        child = right
      if (!this.weaker(child, index, score)) break
      this.indices[at] = this.indices[child]
      this.scores[at] = this.scores[child]
      at = child
    }
    this.indices[at] = index
    this.scores[at] = score
  }
}

/**
 * The best `capacity` of many scored indices, kept in order while scores change. Exact at any time: a score that grows moves
 * its index up or lets it in at the bottom; only when scores fell so far that indices outside could belong inside are all
 * scores looked at again.
 *
 * Hot: `update` is a binary search and one memory move (no allocation).
 */
export class Ranking {
  private capacity: number
  private readonly before: (a: number, b: number) => boolean
  /** By index; NaN: not ranked. */
  private scores = new Float64Array(1024).fill(Number.NaN)
  private order: Int32Array
  private count = 0
  /** Number of ranked indices, inside and outside. */
  private ranked = 0
  private readonly cache = new Map<number, number[]>()
  private highest = -1

  /** `before` breaks ties: true where index a comes before b. */
  constructor(capacity: number, before: (a: number, b: number) => boolean) {
    this.capacity = capacity
    this.before = before
    this.order = new Int32Array(capacity + 1)
  }

  /** The score given last; NaN where there is none. */
  score(index: number): number {
    return index < this.scores.length ? this.scores[index] : Number.NaN
  }

  /** Sets an index' score; NaN takes it out. */
  update(index: number, score: number): void {
    if (index >= this.scores.length) this.grow(index + 1)
    const old = this.scores[index]
    if (old === score || (Number.isNaN(old) && Number.isNaN(score))) return
    if (index > this.highest) this.highest = index
    this.cache.clear()
    const from = Number.isNaN(old) ? -1 : this.find(index, old)
    const inside = from >= 0 && from < this.count && this.order[from] === index
    if (Number.isNaN(old)) this.ranked++
    if (inside) {
      this.order.copyWithin(from, from + 1, this.count)
      this.count--
    }
    this.scores[index] = score
    if (Number.isNaN(score)) {
      this.ranked--
      return
    }
    const to = this.find(index, score)
    // below all that are inside: it may stand there only if nothing outside could be better
    if (to === this.count && this.count + 1 < this.ranked) return
    this.order.copyWithin(to + 1, to, this.count)
    this.order[to] = index
    this.count = Math.min(this.count + 1, this.capacity)
  }

  /** The best `n`, best first. The array is shared until the next update: do not change it. */
  best(n: number): readonly number[] {
    const cached = this.cache.get(n)
    if (cached) return cached
    if (n > this.capacity) {
      this.capacity = n * 2
      this.order = new Int32Array(this.capacity + 1)
      this.rebuild()
    } else if (this.count < Math.min(n, this.ranked)) this.rebuild()
    const best = Array.from(this.order.subarray(0, Math.min(n, this.count)))
    this.cache.set(n, best)
    return best
  }

  /** Where `index` with `score` stands or would stand among those inside. */
  private find(index: number, score: number): number {
    const { order, scores } = this
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = order[middle]
      const s = scores[other]
      if (s > score || (s === score && other !== index && this.before(other, index)))
        low = middle + 1
      else high = middle
    }
    return low
  }

  private rebuild(): void {
    const { scores } = this
    const all: number[] = []
    for (let i = 0; i <= this.highest; i++) if (!Number.isNaN(scores[i])) all.push(i)
    all.sort((a, b) => scores[b] - scores[a] || (this.before(a, b) ? -1 : 1))
    this.count = Math.min(all.length, this.capacity)
    for (let i = 0; i < this.count; i++) this.order[i] = all[i]
  }

  private grow(size: number): void {
    const larger = new Float64Array(Math.max(size, this.scores.length * 2)).fill(Number.NaN)
    larger.set(this.scores)
    this.scores = larger
  }
}

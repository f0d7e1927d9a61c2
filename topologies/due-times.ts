/** What is due when, soonest first: a binary heap. An entry may be stale; whoever takes it looks at what it names. */
export class DueTimes<T> {
  private readonly heap: { readonly at: number; readonly what: T }[] = []

  add(at: number, what: T): void {
    const { heap } = this
    const entry = { at, what }
    let i = heap.push(entry) - 1
    for (; i > 0; ) {
      const parent = (i - 1) >> 1
      if (heap[parent].at <= at) break
      heap[i] = heap[parent]
      i = parent
    }
    heap[i] = entry
  }

  *values(): IterableIterator<T> {
    for (const { what } of this.heap) yield what
  }

  /** Takes out one that was due at `now` (ms), the soonest; undefined: none is. */
  take(now: number): { readonly at: number; readonly what: T } | undefined {
    const { heap } = this
    const first = heap[0]
    if (first === undefined || first.at > now) return undefined
    const last = heap.pop()!
    if (heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1].at < heap[child].at) child++
      if (heap[child].at >= last.at) break
      heap[i] = heap[child]
      i = child
    }
    heap[i] = last
    return first
  }
}

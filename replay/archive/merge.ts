/** The heads of several sequences, smallest key first; equal keys by rank. */
export interface Head {
  key: number
  /** Unlike any other's. */
  readonly rank: number
}

const isBefore = (a: Head, b: Head): boolean =>
  a.key < b.key || (a.key === b.key && a.rank < b.rank)

/** A binary heap. Whoever changes the key of the top calls `sink`. */
export class Heads<T extends Head> {
  private readonly heap: T[] = []

  get top(): T | undefined {
    return this.heap[0]
  }

  push(head: T): void {
    const { heap } = this
    let at = heap.length
    heap.push(head)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(head, heap[above])) break
      heap[at] = heap[above]
      at = above
    }
    heap[at] = head
  }

  /** Removes the top. */
  pop(): void {
    const last = this.heap.pop()
    if (last === undefined || this.heap.length === 0) return
    this.heap[0] = last
    this.sink()
  }

  /** Puts the top where its key belongs. */
  sink(): void {
    const { heap } = this
    const head = heap[0]
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1], heap[below])) below++
      if (!isBefore(heap[below], head)) break
      heap[at] = heap[below]
      at = below
    }
    heap[at] = head
  }

  /** Would the top stay there with this key? */
  stays(key: number): boolean {
    const { heap } = this
    const { rank } = heap[0]
    for (let i = 1; i <= 2 && i < heap.length; i++)
      if (heap[i].key < key || (heap[i].key === key && heap[i].rank < rank)) return false
    return true
  }
}

/**
 * The `n` of `count` items with the largest score, best first, the smaller index first among equals; into `picked`.
 * A binary heap of n with its worst on top: count log n, and no sorting of what is not wanted.
 */
export function best(
  items: ArrayLike<number>,
  count: number,
  scores: ArrayLike<number>,
  n: number,
  picked: number[],
): void {
  picked.length = 0
  for (let i = 0; i < count; i++) {
    const item = items[i]
    if (picked.length < n) {
      picked.push(item)
      up(picked, scores)
    } else if (n > 0 && before(item, picked[0], scores)) {
      picked[0] = item
      down(picked, scores)
    }
  }
  picked.sort((a, b) => scores[b] - scores[a] || a - b)
}

function before(a: number, b: number, scores: ArrayLike<number>): boolean {
  return scores[a] > scores[b] || (scores[a] === scores[b] && a < b)
}

function up(heap: number[], scores: ArrayLike<number>): void {
  let at = heap.length - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!before(heap[parent], heap[at], scores)) return
    const swap = heap[parent]
    heap[parent] = heap[at]
    heap[at] = swap
    at = parent
  }
}

function down(heap: number[], scores: ArrayLike<number>): void {
  let at = 0
  for (;;) {
    let worst = at
    for (let child = 2 * at + 1; child <= 2 * at + 2; child++)
      if (child < heap.length && before(heap[worst], heap[child], scores)) worst = child
    if (worst === at) return
    const swap = heap[worst]
    heap[worst] = heap[at]
    heap[at] = swap
    at = worst
  }
}

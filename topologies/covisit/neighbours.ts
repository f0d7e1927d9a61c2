/**
 * The strongest neighbours of one item: a board of up to twice `keep` entries. When it is full the weaker half goes, so a
 * new neighbour has `keep` places to gather weight in before it is weighed against the strong.
 * Same edges in the same order give the same board; equal weights are ordered by item id.
 */
import { smallestBy } from '../popularity/smallest.ts'

export interface Board {
  items: Int32Array
  weights: Float64Array
  size: number
}

export function emptyBoard(): Board {
  return { items: new Int32Array(8), weights: new Float64Array(8), size: 0 }
}

/** Adds to the weight of a neighbour. Hot: a linear search over at most 2 x keep integers. */
export function addEdge(
  board: Board,
  item: number,
  weight: number,
  keep: number,
  idOf: (item: number) => string,
): void {
  const { items, size } = board
  for (let i = 0; i < size; i++)
    if (items[i] === item) {
      board.weights[i] += weight
      return
    }
  if (size >= 2 * keep) {
    prune(board, keep, idOf)
  } else if (size === items.length) widen(board, Math.min(size * 2, 2 * keep))
  board.items[board.size] = item
  board.weights[board.size++] = weight
}

/** Leaves the `keep` strongest, in any order: a full sort would be half the cost of counting. */
function prune(board: Board, keep: number, idOf: (item: number) => string): void {
  const { items, weights, size } = board
  const last = weights.slice(0, size).sort()[size - keep]
  let above = 0
  const level: number[] = []
  for (let i = 0; i < size; i++)
    if (weights[i] > last) above++
    else if (weights[i] === last) level.push(i)
  const chosen = new Set(smallestBy(level, keep - above, (a, b) => idOf(items[a]) < idOf(items[b])))
  let kept = 0
  for (let i = 0; i < size; i++)
    if (weights[i] > last || (weights[i] === last && chosen.has(i))) {
      items[kept] = items[i]
      weights[kept++] = weights[i]
    }
  board.size = kept
}

/** Puts the strongest first. */
export function sortBoard(board: Board, idOf: (item: number) => string): void {
  const { items, weights, size } = board
  const order = Array.from({ length: size }, (_, i) => i).sort(
    (a, b) => weights[b] - weights[a] || (idOf(items[a]) < idOf(items[b]) ? -1 : 1),
  )
  const sortedItems = order.map(i => items[i])
  const sortedWeights = order.map(i => weights[i])
  items.set(sortedItems)
  weights.set(sortedWeights)
}

function widen(board: Board, capacity: number): void {
  const items = new Int32Array(capacity)
  const weights = new Float64Array(capacity)
  items.set(board.items)
  weights.set(board.weights)
  board.items = items
  board.weights = weights
}

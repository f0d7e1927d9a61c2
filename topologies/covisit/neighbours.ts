/**
 * The strongest neighbours of one item: a board of up to twice `keep` entries. When it is full the weaker half goes, so a
 * new neighbour has `keep` places to gather weight in before it is weighed against the strong.
 * Same edges in the same order give the same board; equal weights are ordered by item id.
 *
 * D and F decay. They stand here as of a common minute in the past, so that none has to be renewed when another grows: a
 * positive t half-lives after that minute adds 2^t times its weight.
 */
import { smallestBy } from '../popularity/smallest.ts'
import type { Edges } from './pending-edges.ts'

export interface Board {
  items: Int32Array
  /** W, which decides what stays. */
  weights: Float64Array
  /** D and F. */
  next: Float64Array
  recent: Float64Array
  size: number
}

/** Room for 16, then 64: few boards stay small, and an array costs more to make than to hold. */
export function emptyBoard(): Board {
  return {
    items: new Int32Array(16),
    weights: new Float64Array(16),
    next: new Float64Array(16),
    recent: new Float64Array(16),
    size: 0,
  }
}

/** From so many edges at once a board's entries are laid out by item first; below, searching it each time is cheaper. */
const SEARCHED = 4

/** Adds edges to boards; keeps what it needs for that, so one serves all boards of a task. */
export class BoardAdder {
  private readonly keep: number
  private readonly idOf: (item: number) => string
  /** By item: where it stands on the board at hand, + 1. All 0 between calls. */
  private place = new Int32Array(1024)
  private readonly scratch: Float64Array

  constructor(keep: number, idOf: (item: number) => string) {
    this.keep = keep
    this.idOf = idOf
    this.scratch = new Float64Array(2 * keep)
  }

  /** Adds the edges at from..to. Hot. */
  add(board: Board, edges: Edges, from: number, to: number): void {
    const { columns, weights, next, recent } = edges
    if (to - from < SEARCHED) {
      for (let at = from; at < to; at++)
        this.addOne(board, columns[at], weights[at], next[at], recent[at])
      return
    }
    for (let at = from; at < to; at++)
      if (columns[at] >= this.place.length) this.place = new Int32Array(columns[at] * 2)
    this.layOut(board)
    const { place } = this
    for (let at = from; at < to; at++) {
      const item = columns[at]
      const standing = place[item]
      if (standing !== 0) {
        board.weights[standing - 1] += weights[at]
        board.next[standing - 1] += next[at]
        board.recent[standing - 1] += recent[at]
        continue
      }
      if (board.size === 2 * this.keep) {
        this.clear(board)
        this.prune(board)
        this.layOut(board)
      }
      this.append(board, item, weights[at], next[at], recent[at])
      place[item] = board.size
    }
    this.clear(board)
  }

  addOne(board: Board, item: number, weight: number, next: number, recent: number): void {
    const { items, size } = board
    for (let i = 0; i < size; i++)
      if (items[i] === item) {
        board.weights[i] += weight
        board.next[i] += next
        board.recent[i] += recent
        return
      }
    if (size === 2 * this.keep) this.prune(board)
    this.append(board, item, weight, next, recent)
  }

  private append(board: Board, item: number, weight: number, next: number, recent: number): void {
    if (board.size === board.items.length) widen(board, Math.min(board.size * 4, 2 * this.keep))
    board.items[board.size] = item
    board.weights[board.size] = weight
    board.next[board.size] = next
    board.recent[board.size++] = recent
  }

  private layOut({ items, size }: Board): void {
    const { place } = this
    for (let i = 0; i < size; i++) {
      // an item beyond is none that is added
      if (items[i] < place.length) place[items[i]] = i + 1
    }
  }

  private clear({ items, size }: Board): void {
    const { place } = this
    for (let i = 0; i < size; i++) if (items[i] < place.length) place[items[i]] = 0
  }

  /** Leaves the `keep` strongest, in their order: a full sort would be half the cost of counting. */
  private prune(board: Board): void {
    const { keep } = this
    const { items, weights, size } = board
    for (let i = 0; i < size; i++) this.scratch[i] = weights[i]
    const last = nthLargest(this.scratch, size, keep)
    let above = 0
    let level = 0
    for (let i = 0; i < size; i++)
      if (weights[i] > last) above++
      else if (weights[i] === last) level++
    const chosen = above + level > keep ? this.firstById(board, last, keep - above) : undefined
    let kept = 0
    for (let i = 0; i < size; i++)
      if (weights[i] > last || (weights[i] === last && (!chosen || chosen.includes(i)))) {
        items[kept] = items[i]
        board.next[kept] = board.next[i]
        board.recent[kept] = board.recent[i]
        weights[kept++] = weights[i]
      }
    board.size = kept
  }

  private firstById({ items, weights, size }: Board, weight: number, n: number): number[] {
    const level: number[] = []
    for (let i = 0; i < size; i++) if (weights[i] === weight) level.push(i)
    return smallestBy(level, n, (a, b) => this.idOf(items[a]) < this.idOf(items[b]))
  }
}

/** The n-th largest (n from 1) of the first `size` numbers, which it reorders. Hoare's selection. */
export function nthLargest(numbers: Float64Array, size: number, n: number): number {
  let low = 0
  let high = size - 1
  while (low < high) {
    const pivot = numbers[(low + high) >> 1]
    let i = low
    let j = high
    while (i <= j) {
      while (numbers[i] > pivot) i++
      while (numbers[j] < pivot) j--
      if (i > j) break
      const swapped = numbers[i]
      numbers[i++] = numbers[j]
      numbers[j--] = swapped
    }
    if (n - 1 <= j) high = j
    else if (n - 1 >= i) low = i
    else break
  }
  return numbers[n - 1]
}

/** Puts the strongest first. */
export function sortBoard(board: Board, idOf: (item: number) => string): void {
  const { size } = board
  const items = board.items.slice(0, size)
  const weights = board.weights.slice(0, size)
  const next = board.next.slice(0, size)
  const recent = board.recent.slice(0, size)
  // one number holds weight and place (weights stay below 2^41, places below 2^12): numbers alone are sorted natively
  const keys = new Float64Array(size)
  for (let i = 0; i < size; i++) keys[i] = weights[i] * PLACES + (PLACES - 1 - i)
  keys.sort()
  const order = Array.from(keys.reverse(), key => PLACES - 1 - (key % PLACES))
  for (let i = 0; i < size; ) {
    let end = i + 1
    while (end < size && weights[order[end]] === weights[order[i]]) end++
    if (end - i > 1) {
      const level = order.slice(i, end).sort((a, b) => (idOf(items[a]) < idOf(items[b]) ? -1 : 1))
      for (let l = 0; l < level.length; l++) order[i + l] = level[l]
    }
    i = end
  }
  for (let i = 0; i < size; i++) {
    const from = order[i]
    board.items[i] = items[from]
    board.weights[i] = weights[from]
    board.next[i] = next[from]
    board.recent[i] = recent[from]
  }
}

const PLACES = 4096

function widen(board: Board, capacity: number): void {
  board.items = copyInto(new Int32Array(capacity), board.items)
  board.weights = copyInto(new Float64Array(capacity), board.weights)
  board.next = copyInto(new Float64Array(capacity), board.next)
  board.recent = copyInto(new Float64Array(capacity), board.recent)
}

function copyInto<T extends { set(from: T): void }>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

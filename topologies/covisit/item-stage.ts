/**
 * In the item task: the neighbours of its items, summed from the co-visits of user tasks.
 *  - A row is published (changelog row and `similar` view, in one commit) at most every `covisit.publishInterval`, and only
 *    if it grew by `covisit.publishThreshold` of its recent weight; so many rows a commit, the rest with the next. A crash forgets what was not
 *    published. A row is published again at half the life of its view.
 *  - A withdrawn item is never in a view: views that hold it are written again at once, in slices; of one that expired,
 *    within seconds.
 */
import type { OptionValues } from '../../streams/options.ts'
import type { ByteReader } from '../../streams/serde/bytes.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { expiredEveryMs, isExpired } from '../items/expiry.ts'
import type { MemoryItemTable } from '../items/memory-table.ts'
import { covisitChannel, itemStores } from '../items/stores.ts'
import type { ItemTable } from '../items/table.ts'
import { ownerOf } from '../popularity/user-stage.ts'
import { DecayClock } from './decayed.ts'
import { type Board, BoardAdder, emptyBoard, sortBoard } from './neighbours.ts'
import type { covisitOptions } from './options.ts'
import { type Edges, PendingEdges } from './pending-edges.ts'
import {
  againstOrder,
  directedWeights,
  positionWeights,
  readNeighboursHead,
  readWeights,
  weightUnit,
  writeNeighbour,
  writeNeighboursHead,
} from './rows.ts'
import { similarBody } from './similar.ts'
import { readVisits } from './visits.ts'

export type CovisitOptions = OptionValues<typeof covisitOptions>

/** ~1 KB a row and ~2 KB a view: half a megabyte of changelog a commit, and some 20 ms. */
const PUBLISHED_A_COMMIT = 500
/** Views alone, after a withdrawal. */
const REWRITTEN_A_COMMIT = 1_000
const LOOKED_AT_A_COMMIT = 1_000
/** 3 MB; edges are added to boards with the commit, or when there are so many. */
const PENDING_EDGES = 250_000

interface NeighbourRow extends Row {
  readonly item: number
  readonly board: Board
  /** W gained since it was published, and the sum of F that it had then, in the units of W. */
  grown: number
  published: number
  /** When it was published last, ms; 0 never. */
  writtenAt: number
  waiting: boolean
}

export function createCovisitItemStage(ctx: TaskContext, options: CovisitOptions): Stage {
  const items = ctx.table<ItemTable & Pick<MemoryItemTable, 'indexFrom'>>('items')
  const keep = options['covisit.neighbours']
  const interval = options['covisit.publishInterval']
  const threshold = options['covisit.publishThreshold']
  const life = options['covisit.similarLife']
  const idOf = (item: number): string => items.idOf(item)
  const owner = ownerOf(items, ctx.partitionsOf('item'))
  const adder = new BoardAdder(keep, idOf)
  const pending = new PendingEdges()
  const clock = new DecayClock()
  const head = { layout: 0, writtenAt: 0, asOf: 0 }
  const read = { weight: 0, next: 0, recent: 0 }
  const indexFrom = (r: ByteReader, size: number): number => items.indexFrom(r, size)
  /** By item index; an array, as most of the time goes into look-ups. */
  const rows: (NeighbourRow | undefined)[] = []
  /** All rows, looked through in turn for views that grow old. */
  const order: NeighbourRow[] = []
  let nextLook = 0
  /** Rows that grew beyond the threshold. */
  let waiting: NeighbourRow[] = []
  /** Rows whose view must be written with the next commit. */
  const stale = new Set<NeighbourRow>()
  const out = new Set<number>()
  /** Of them, those that views are still to be looked through for; some have not just expired. */
  const gone = new Set<number>()
  let isPressing = false
  let soughtAt = Number.NEGATIVE_INFINITY
  let seen = 0
  /** Rows whose views were written again since the view store lost them; all of them: that is over. */
  let refilled = Number.POSITIVE_INFINITY

  const store = new Store<NeighbourRow>({
    id: itemStores.neighbours,
    name: 'neighbours',
    // soft, but the stage itself says when: a view must leave with the batch of its row
    write: { everyMs: 0 },
    writeKey: (row, w) => w.rawString(idOf(row.item)),
    writeValue({ board, writtenAt }, w) {
      writeNeighboursHead(writtenAt, clock.newest, w)
      const { nextNow, recentNow } = clock
      const { items: others, weights, next, recent } = board
      for (let i = 0; i < board.size && i < keep; i++)
        writeNeighbour(idOf(others[i]), weights[i], next[i] * nextNow, recent[i] * recentNow, w)
    },
    restore(key, value) {
      const row = rowOf(items.index(key.rawString()))
      row.board.size = 0
      row.published = 0
      if (value === null) return
      readNeighboursHead(value, head)
      row.writtenAt = head.writtenAt
      if (head.asOf > 0) clock.at(head.asOf, () => order)
      while (value.left > 0) {
        const item = items.indexFrom(value, value.uint())
        readWeights(value, head, read)
        adder.addOne(
          row.board,
          item,
          read.weight,
          read.next * clock.next,
          read.recent * clock.recent,
        )
        row.published += read.recent * weightUnit
      }
    },
  })

  function rowOf(item: number): NeighbourRow {
    // without holes: a sparse array would be a slow dictionary
    while (rows.length <= item) rows.push(undefined)
    let row = rows[item]
    if (!row) {
      row = {
        dirty: false,
        removed: false,
        item,
        board: emptyBoard(),
        grown: 0,
        published: 0,
        writtenAt: 0,
        waiting: false,
      }
      rows[item] = row
      order.push(row)
    }
    return row
  }

  /** The user liked `item` after `other`, which was the k-th before it. */
  function visit(item: number, other: number, k: number, whole: boolean, minute: number): void {
    const weight = positionWeights[k]
    if (weight === undefined || item === other) return
    clock.at(minute, settled)
    const directed = directedWeights[k] ?? 0
    const next = directed * clock.next
    const recent = directed * clock.recent
    if (whole) pending.add(item, other, weight, next * againstOrder, recent * againstOrder)
    if (!whole || owner(other) === ctx.partition) pending.add(other, item, weight, next, recent)
  }

  function addTo(item: number, edges: Edges, from: number, to: number): void {
    const row = rowOf(item)
    adder.add(row.board, edges, from, to)
    for (let at = from; at < to; at++) row.grown += edges.weights[at]
    if (row.waiting || row.grown < threshold * row.published) return
    row.waiting = true
    waiting.push(row)
  }

  /** All boards, nothing waiting for one. */
  function settled(): readonly NeighbourRow[] {
    if (pending.size > 0) pending.take(addTo)
    return order
  }

  function writeView(row: NeighbourRow, to: Outbox): void {
    stale.delete(row)
    if (!options['covisit.similar']) return
    const key = `similar:${idOf(row.item)}`
    if (items.withdrawnAt(row.item) !== 0) {
      to.view({ op: 'delete', key })
      return
    }
    const size = options['covisit.similarSize']
    const body = similarBody(row.item, row.board, size, items, ctx.now())
    to.view({ op: 'json', key, body, ttlMs: life })
  }

  function publish(row: NeighbourRow, to: Outbox): void {
    sortBoard(row.board, idOf)
    row.published = sumOf(row.board) * clock.recentNow * weightUnit
    row.grown = 0
    row.writtenAt = ctx.now()
    store.touch(row)
    writeView(row, to)
  }

  function publishWaiting(now: number, to: Outbox): number {
    let left = PUBLISHED_A_COMMIT
    const later: NeighbourRow[] = []
    for (const row of waiting)
      if (left > 0 && now - row.writtenAt >= interval) {
        row.waiting = false
        publish(row, to)
        left--
      } else later.push(row)
    waiting = later
    return left
  }

  function refresh(now: number, limit: number, to: Outbox): void {
    let left = limit
    for (let n = Math.min(order.length, LOOKED_AT_A_COMMIT); n > 0 && left > 0; n--) {
      if (nextLook >= order.length) nextLook = 0
      const row = order[nextLook++]
      if (row.writtenAt === 0 || now - row.writtenAt <= life / 2) continue
      publish(row, to)
      left--
    }
  }

  /** Marks the views that hold an item withdrawn since the last look, and the views of items that came back. */
  function followNews(now: number): void {
    for (; seen < items.news.length; seen++) {
      const item = items.news[seen]
      if (items.withdrawnAt(item) === 0) {
        const row = rows[item]
        gone.delete(item)
        if (out.delete(item) && row) stale.add(row)
      } else if (!out.has(item)) {
        gone.add(item)
        out.add(item)
        isPressing ||= !isExpired(items.catalog(item), now)
      }
    }
    // each look is at all rows
    if (gone.size === 0 || (!isPressing && now - soughtAt < expiredEveryMs)) return
    for (const row of order) if (row.writtenAt !== 0 && holds(row, gone)) stale.add(row)
    gone.clear()
    isPressing = false
    soughtAt = now
  }

  return {
    name: 'covisit',
    stores: [store],
    receives: [covisitChannel],
    receive(_channel, payload) {
      readVisits(payload, indexFrom, visit)
      if (pending.size >= PENDING_EDGES) pending.take(addTo)
    },
    urgent: () => stale.size > 0 || items.news.length > seen,
    flush(to) {
      const now = ctx.now()
      if (pending.size > 0) pending.take(addTo)
      followNews(now)
      const left = publishWaiting(now, to)
      refresh(now, left, to)
      let views = REWRITTEN_A_COMMIT
      for (const row of stale) {
        if (views-- === 0) break
        writeView(row, to)
      }
      for (; views > 0 && refilled < order.length; refilled++, views--)
        if (order[refilled].writtenAt !== 0) writeView(order[refilled], to)
      if (refilled >= order.length) refilled = Number.POSITIVE_INFINITY
    },
    refill() {
      refilled = 0
    },
    refilling: () => refilled !== Number.POSITIVE_INFINITY,
    restored(last) {
      for (const { store: id, key } of last) {
        const row = id === itemStores.neighbours ? rows[items.index(key.toString())] : undefined
        if (row) stale.add(row)
      }
    },
  }
}

function sumOf({ recent, size }: Board): number {
  let sum = 0
  for (let i = 0; i < size; i++) sum += recent[i]
  return sum
}

function holds({ item, board }: NeighbourRow, withdrawn: ReadonlySet<number>): boolean {
  if (withdrawn.has(item)) return true
  for (let i = 0; i < board.size; i++) if (withdrawn.has(board.items[i])) return true
  return false
}

/** Table rows while their store is away: in memory at most so much, the rest in the log; each stored once it is back. */
import { describe, expect, it } from 'vitest'
import { systemClock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import { silentLogger } from '../log.ts'
import { noMetrics } from '../metrics.ts'
import type { TableStore } from '../sinks.ts'
import type { TableRow } from '../topology/outbox.ts'
import { RecordBatchBuilder } from '../transport/record-batch.ts'
import { TableBacklog } from './table-backlog.ts'
import { HELD_CHARS, type TableBlock, TableBlocks } from './table-blocks.ts'

/** A store that takes rows only while it is open, and a log of all batches by their offset. */
function setUp(loggedBytes?: number) {
  const stored: number[] = []
  let open: () => void = () => undefined
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  let underWay = 0
  let mostUnderWay = 0
  const tables: TableStore = {
    name: 'rows',
    insert: async (_, rows) => {
      underWay += JSON.stringify(rows).length
      mostUnderWay = Math.max(mostUnderWay, underWay)
      await gate
      underWay -= JSON.stringify(rows).length
      stored.push(...rows.map(row => Number(row.n)))
    },
    waiting: () => undefined,
    close: async () => undefined,
  }
  const log = new Map<number, [number, readonly TableRow[]][]>()
  let reads = 0
  const blocks = new TableBlocks()
  const delivered: number[] = []
  const backlog = new TableBacklog({
    tables,
    readBlocks: async at => {
      reads++
      await systemClock.turn()
      // a read gives three batches
      return new Map([0, 1, 2].flatMap(i => log.get(at + i * 10) ?? []))
    },
    blockDelivered: number => {
      delivered.push(number)
      blocks.delivered(number)
    },
    clock: systemClock,
    metrics: noMetrics,
    log: silentLogger,
    loggedBytes,
  })
  let next = 0
  let offset = 0
  const text = 'x'.repeat(1000)
  return {
    stored,
    delivered,
    blocks,
    backlog,
    log,
    reads: () => reads,
    mostUnderWay: () => mostUnderWay,
    open: () => open(),
    sent: () => next,
    commit(rows: number): TableBlock[] {
      const made = blocks.addTo(
        new RecordBatchBuilder(),
        new Map([['t', Array.from({ length: rows }, () => ({ n: next++, text }))]]),
      )
      log.set(
        offset,
        made.map(block => [block.number, block.rows as TableRow[]]),
      )
      backlog.add(made, offset)
      offset += 10
      return made
    },
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('a backlog of table rows', () => {
  it('holds a bounded part in memory while the store is away, and stores all once, in order', async () => {
    const it = setUp()
    const made: TableBlock[] = []
    for (let i = 0; i < 400; i++) made.push(...it.commit(50))
    await it.backlog.room()
    const inMemory = made.reduce((sum, block) => sum + (block.rows ? block.chars : 0), 0)
    expect(inMemory).toBe(0)
    expect(it.mostUnderWay()).toBeLessThanOrEqual(HELD_CHARS)
    expect(it.reads()).toBe(0)
    it.open()
    await it.backlog.settled()
    expect(it.stored).toEqual(numbers(it.sent()))
    expect(it.delivered).toEqual(made.map(block => block.number))
    expect(it.reads()).toBeGreaterThan(0)
    expect(it.reads()).toBeLessThan(200)
    expect(it.mostUnderWay()).toBeLessThanOrEqual(HELD_CHARS)
    expect(it.blocks.waiting).toEqual([])
  })

  it('goes on in memory where the store keeps up', async () => {
    const it = setUp()
    it.open()
    for (let i = 0; i < 50; i++) {
      it.commit(50)
      await it.backlog.room()
      await it.backlog.settled()
    }
    expect(it.reads()).toBe(0)
    expect(it.stored).toEqual(numbers(it.sent()))
  })

  it('lets the next commit wait above its bound, and only until there is room', async () => {
    const it = setUp(20_000)
    let room = false
    while (!room && it.sent() < 100_000) {
      it.commit(50)
      room = await Promise.race([
        it.backlog.room().then(() => false),
        systemClock.turn().then(() => true),
      ])
    }
    expect(it.sent()).toBeLessThan(100_000)
    it.open()
    await it.backlog.room()
    await it.backlog.settled()
    expect(it.stored).toEqual(numbers(it.sent()))
  })

  it('cuts rows of one commit into blocks that can be held', () => {
    const it = setUp()
    const made = it.commit(3_000)
    expect(made.length).toBeGreaterThan(4)
    for (const block of made) expect(block.chars).toBeLessThanOrEqual(512 * 1024)
    it.open()
  })

  it('stops with an address where a block that waits is gone from the log', async () => {
    const it = setUp()
    for (let i = 0; i < 200; i++) it.commit(50)
    it.log.clear()
    it.open()
    await it.backlog.settled()
    expect(it.backlog.failure).toBeInstanceOf(FreshetError)
    expect(String(it.backlog.failure)).toMatch(/block \d+ of rows for t was written at offset \d+/)
  })

  it('begins nothing more once its task is gone', async () => {
    const it = setUp()
    for (let i = 0; i < 200; i++) it.commit(50)
    it.backlog.end()
    it.open()
    await it.backlog.settled()
    await systemClock.turn()
    expect(it.stored.length).toBeLessThan(it.sent())
    expect(it.reads()).toBe(0)
  })
})

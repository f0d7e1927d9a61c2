/**
 * Gathers the rows of many small commits into few blocks: ClickHouse wants large inserts, tasks commit every 100 ms.
 *
 * Invariants
 *  B1 A promise resolves only once its rows are stored (C3).
 *  B2 Rows of one table keep the order in which they were given; one block a table is under way at a time.
 *  B3 An outage is waited for without limit and repeats the same block; a row that can never be stored is found by
 *     halving, left out, and fails the promise it came with. Its neighbours are stored.
 *  B4 A block of fewer than `maxRows` rows goes out only by the timer, `flushMs` after its first row came (or at the end):
 *     a quick server is not given smaller blocks.
 *  B5 What waits is bounded by the callers, who hold their next rows until the promise resolves.
 */
import type { Clock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { isRowFault } from './connection.ts'
import type { Outage } from './outage.ts'

interface Part {
  readonly lines: readonly string[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export interface BatchLimits {
  /** How long rows wait for company, ms. */
  readonly flushMs: number
  /** A block goes out at once when it has this many rows, or about this many characters. */
  readonly maxRows: number
  readonly maxChars: number
}

export class TableBatches {
  private readonly table: string
  private readonly limits: BatchLimits
  private readonly store: (table: string, lines: Buffer) => Promise<void>
  private readonly outage: Outage
  private readonly clock: Clock
  private parts: Part[] = []
  private rows = 0
  private chars = 0
  private timer: NodeJS.Timeout | undefined
  private running: Promise<void> | undefined
  /** The timer ran out while a block was under way. */
  private isDue = false
  private closed = false

  constructor(
    table: string,
    limits: BatchLimits,
    store: (table: string, lines: Buffer) => Promise<void>,
    outage: Outage,
    clock: Clock,
  ) {
    this.table = table
    this.limits = limits
    this.store = store
    this.outage = outage
    this.clock = clock
  }

  /** `lines`: one row each, JSON without a line's end. */
  add(lines: readonly string[]): Promise<void> {
    if (this.closed)
      return Promise.reject(new FreshetError('CLOSED', `rows for ${this.table} after close`))
    return new Promise((resolve, reject) => {
      this.parts.push({ lines, resolve, reject })
      this.rows += lines.length
      for (const line of lines) this.chars += line.length + 1
      if (this.isFull) this.flush()
      else this.timer ??= setTimeout(() => this.timeIsUp(), this.limits.flushMs)
    })
  }

  /** Resolves when all rows given so far are stored, or refused. Errors: CLOSED. */
  async passed(): Promise<void> {
    if (this.running || this.parts.length > 0) await this.add([])
  }

  /** Sends what waits, now. Resolves when nothing is left or under way. */
  async drain(): Promise<void> {
    while (this.running || this.parts.length > 0) {
      this.flush()
      await this.running
    }
  }

  /** Sends what waits; an outage is not waited for any more. */
  async close(): Promise<void> {
    this.closed = true
    await this.drain()
  }

  private get isFull(): boolean {
    return this.rows >= this.limits.maxRows || this.chars >= this.limits.maxChars
  }

  private timeIsUp(): void {
    this.timer = undefined
    this.isDue = true
    this.flush()
  }

  private flush(): void {
    if (this.running || this.parts.length === 0) return
    clearTimeout(this.timer)
    this.timer = undefined
    this.isDue = false
    const parts = this.parts
    this.parts = []
    this.rows = 0
    this.chars = 0
    this.running = this.send(parts).finally(() => {
      this.running = undefined
      if (this.isDue || this.isFull) this.flush()
    })
  }

  /** Stores the parts as one block. Never rejects: failures go to the parts they belong to. */
  private async send(parts: readonly Part[]): Promise<void> {
    const lines = parts.flatMap(part => part.lines)
    try {
      const refused = await this.storeAll(lines)
      let from = 0
      for (const part of parts) {
        const to = from + part.lines.length
        const bad = refused.find(each => each.row >= from && each.row < to)
        if (bad) part.reject(this.refusal(bad.row - from, lines[bad.row], bad.reason))
        else part.resolve()
        from = to
      }
    } catch (error) {
      for (const part of parts) part.reject(error)
    }
  }

  /** Stores every row that can be; returns those that can't. Throws only when closed in an outage. */
  private async storeAll(
    lines: readonly string[],
    offset = 0,
  ): Promise<{ row: number; reason: string }[]> {
    if (lines.length === 0) return []
    const body = Buffer.from(lines.join('\n'))
    for (let attempt = 0; ; attempt++) {
      try {
        await this.store(this.table, body)
        this.outage.over(this.table)
        return []
      } catch (error) {
        if (isRowFault(error)) {
          this.outage.over(this.table)
          if (lines.length === 1) return [{ row: offset, reason: messageOf(error) }]
          const half = lines.length >> 1
          return [
            ...(await this.storeAll(lines.slice(0, half), offset)),
            ...(await this.storeAll(lines.slice(half), offset + half)),
          ]
        }
        if (this.closed)
          throw new FreshetError(
            'CLOSED',
            `closed with ${lines.length} rows for ${this.table} not stored: ${messageOf(error)}`,
            error,
          )
        this.outage.failed(this.table, messageOf(error))
        await this.clock.sleep(Math.min(5_000, 100 * 2 ** Math.min(attempt, 6)))
      }
    }
  }

  private refusal(row: number, line: string, reason: string): FreshetError {
    return new FreshetError(
      'ROW_REFUSED',
      `ClickHouse refuses row ${row} for ${this.table}: ${reason.split('\n')[0].slice(0, 300)}; the row: ${line.slice(0, 300)}`,
    )
  }
}

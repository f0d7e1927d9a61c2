/**
 * Brings blocks of table rows to the table store, in order, while the task goes on (C3, C7).
 *
 *  - In memory are at most `HELD_CHARS` of rows: those under way. A block that has to wait stands in the changelog anyway and
 *    is read again when its turn comes, so a table store that is away for an hour costs the log's disk and nothing else.
 *  - Above `LOGGED_BYTES` of waiting blocks `room` waits, and with it the task's next commit.
 */
import type { Clock } from '../clock.ts'
import { FreshetError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { TableStore } from '../sinks.ts'
import type { TableRow } from '../topology/outbox.ts'
import { HELD_CHARS, type TableBlock } from './table-blocks.ts'

/** An hour of 2,000 examples a second. Below what a restore can read again within a minute or two. */
const LOGGED_BYTES = 1024 * 1024 * 1024
/** What a block is taken to cost besides: it is remembered in memory, so small ones are bounded too. */
const BLOCK_BYTES = 4096

export interface BacklogSettings {
  /** null: left out by choice; blocks from before that count as stored. */
  readonly tables: TableStore | null
  /** Rows of the blocks in the changelog from an offset on, as many as one read gives. */
  readonly readBlocks: (at: number) => Promise<ReadonlyMap<number, readonly TableRow[]>>
  readonly blockDelivered: (number: number) => void
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Logger
  readonly loggedBytes?: number
}

export class TableBacklog {
  private readonly settings: BacklogSettings
  private readonly loggedBytes: number
  /** Not yet under way, oldest first, from `first` on. */
  private queue: TableBlock[] = []
  private first = 0
  private readonly underWay = new Set<Promise<void>>()
  private heldChars = 0
  private waitingBytes = 0
  private filling: Promise<void> | undefined
  private ended = false
  private wakeAll: () => void = () => undefined
  private readonly ending = new Promise<void>(resolve => {
    this.wakeAll = resolve
  })
  private failed: unknown

  constructor(settings: BacklogSettings) {
    this.settings = settings
    this.loggedBytes = settings.loggedBytes ?? LOGGED_BYTES
  }

  /** What became of a block where that was neither an outage nor a row's fault. */
  get failure(): unknown {
    return this.failed
  }

  /** Blocks of one acknowledged batch, which begins at `baseOffset`, or of a restore, which know where they stand. */
  add(blocks: readonly TableBlock[], baseOffset?: number): void {
    for (const block of blocks) {
      block.at ??= baseOffset
      this.waitingBytes += block.bytes + BLOCK_BYTES
      this.queue.push(block)
    }
    this.startHeld()
    for (let i = this.queue.length - 1; i >= this.first && this.queue[i].rows; i--)
      if (this.queue[i].at !== undefined) this.queue[i].rows = undefined
  }

  /** Resolves when another commit may be made. */
  async room(): Promise<void> {
    while (this.waitingBytes > this.loggedBytes && this.failed === undefined && !this.ended)
      await this.progress()
  }

  /** Resolves when every block is stored, or could not be. */
  async settled(): Promise<void> {
    while ((this.waits || this.underWay.size > 0) && this.failed === undefined && !this.ended)
      await this.progress()
  }

  /** Reads and begins nothing more: what is left is the next owner's. */
  end(): void {
    this.ended = true
    this.wakeAll()
    this.queue = []
    this.first = 0
  }

  private get waits(): boolean {
    return this.first < this.queue.length
  }

  private async progress(): Promise<void> {
    const all = [...this.underWay, this.ending]
    await Promise.race(this.filling ? [...all, this.filling] : all)
  }

  /** Begins what is in memory and fits; what stands in the log alone is read first. */
  private startHeld(): void {
    while (this.waits && !this.ended && this.failed === undefined) {
      const block = this.queue[this.first]
      if (this.heldChars > 0 && this.heldChars + block.chars > HELD_CHARS) return
      if (block.rows === undefined) {
        this.filling ??= this.fill().finally(() => {
          this.filling = undefined
          this.startHeld()
        })
        return
      }
      this.first++
      if (this.first > 1024) {
        this.queue = this.queue.slice(this.first)
        this.first = 0
      }
      this.start(block, block.rows)
    }
  }

  /** Gives the next blocks their rows, as far as they fit. */
  private async fill(): Promise<void> {
    const next = this.queue[this.first]
    try {
      const found = await this.settings.readBlocks(next.at as number)
      let chars = this.heldChars
      for (let i = this.first; i < this.queue.length; i++) {
        const block = this.queue[i]
        chars += block.chars
        if (i > this.first && chars > HELD_CHARS) break
        const rows = block.rows ?? found.get(block.number)
        if (rows === undefined) break
        block.rows = rows
      }
      if (!this.ended && next.rows === undefined)
        throw new FreshetError(
          'CHANGELOG_CORRUPT',
          `block ${next.number} of rows for ${next.table} was written at offset ${next.at} of its changelog and is not there; restore the topic from its replicas, or begin anew with \`freshet reset\``,
        )
    } catch (error) {
      if (!this.ended) this.failed ??= error
    }
  }

  private start(block: TableBlock, rows: readonly TableRow[]): void {
    this.heldChars += block.chars
    const inserted = this.insert(block, rows).finally(() => {
      this.underWay.delete(inserted)
      this.heldChars -= block.chars
      this.waitingBytes -= block.bytes + BLOCK_BYTES
      this.startHeld()
    })
    this.underWay.add(inserted)
  }

  private async insert(block: TableBlock, rows: readonly TableRow[]): Promise<void> {
    const { tables, blockDelivered, metrics, log } = this.settings
    const { table, number } = block
    // from here on the store holds them
    block.rows = undefined
    try {
      await tables?.insert(table, rows)
    } catch (error) {
      const code = error instanceof FreshetError ? error.code : undefined
      // an outage is waited for inside the store; what comes out here is a row that no server will ever take
      if (code !== 'ROW_REFUSED') {
        // not stored: the block stays in the changelog for the next owner
        log.warn({ table }, `rows wait for the next start: ${messageOf(error)}`)
        if (code !== 'CLOSED') this.failed ??= error
        return
      }
      metrics.counter('freshet_rows_refused_total', { table }).add(rows.length)
      log.error({ table, rows: rows.length }, messageOf(error))
    }
    blockDelivered(number)
  }
}

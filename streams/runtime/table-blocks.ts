/**
 * Table rows that are under way: each block stands in the changelog as a row of its own, from the commit that made it until
 * the commit after the table store has acknowledged it. So a takeover inserts again what may not have arrived, and what has
 * to wait long need not be kept in memory: it is read again from where it stands.
 */
import { compressSync, uncompressSync } from 'snappy'
import { FreshetError, messageOf } from '../errors.ts'
import { ByteReader, ByteWriter } from '../serde/bytes.ts'
import type { TableRow } from '../topology/outbox.ts'
import type { LogRecord, TopicPartition, Transport } from '../transport/port.ts'
import type { RecordBatchBuilder } from '../transport/record-batch.ts'

/** Second byte of a block's key; the first is 0, as of all of the runtime's own records. */
export const TABLE_BLOCK = 3

/** A block is cut here: small enough to be held, large enough for a table store. */
const BLOCK_CHARS = 512 * 1024
/** So much of a task's rows is kept in memory, as JSON; what waits beyond stands in the log alone and is read again. */
export const HELD_CHARS = 4 * 1024 * 1024

export interface TableBlock {
  readonly number: number
  readonly table: string
  /** undefined: only in the log, at `at`. */
  rows: readonly TableRow[] | undefined
  /** Size of the rows as JSON. */
  readonly chars: number
  /** Size in the log. */
  readonly bytes: number
  /** An offset in the changelog at or before it, in the same batch; undefined before it is appended. */
  at: number | undefined
}

export class TableBlocks {
  private next = 1
  private readonly underWay = new Map<number, TableBlock>()
  private heldChars = 0
  private acknowledged: number[] = []

  /** Adds the rows of a commit as blocks, and tombstones of those acknowledged since the last one. */
  addTo(builder: RecordBatchBuilder, tables: ReadonlyMap<string, TableRow[]>): TableBlock[] {
    for (const number of this.acknowledged) builder.add(blockKey(number), null)
    this.acknowledged = []
    const blocks: TableBlock[] = []
    for (const [table, rows] of tables) this.addRows(builder, table, rows, blocks)
    return blocks
  }

  private addRows(
    builder: RecordBatchBuilder,
    table: string,
    rows: readonly TableRow[],
    blocks: TableBlock[],
  ): void {
    const text = JSON.stringify({ table, rows })
    if (text.length > BLOCK_CHARS && rows.length > 1) {
      const half = rows.length >> 1
      this.addRows(builder, table, rows.slice(0, half), blocks)
      this.addRows(builder, table, rows.slice(half), blocks)
      return
    }
    const value = compressSync(text)
    const number = this.next++
    builder.add(blockKey(number), value)
    const block = { number, table, rows, chars: text.length, bytes: value.length, at: undefined }
    this.underWay.set(number, block)
    blocks.push(block)
  }

  /** The table store has it: the next commit removes the block's row. */
  delivered(number: number): void {
    if (this.underWay.delete(number)) this.acknowledged.push(number)
  }

  get waiting(): readonly TableBlock[] {
    return [...this.underWay.values()]
  }

  /** Takes in a block's row at `offset`, or its tombstone, at restore. Errors: CHANGELOG_CORRUPT with `where`. */
  restore(key: Buffer, value: LogRecord['value'], offset: number, where: string): void {
    try {
      const number = numberOf(key)
      const known = this.underWay.get(number)
      if (known?.rows) this.heldChars -= known.chars
      if (value === null) this.underWay.delete(number)
      else this.underWay.set(number, this.found(number, value, offset))
      this.next = Math.max(this.next, number + 1)
    } catch (error) {
      throw new FreshetError(
        'CHANGELOG_CORRUPT',
        `${where}: a block of table rows can't be read (${messageOf(error)}); restore the topic from its replicas, or begin anew with \`freshet reset\``,
        error,
      )
    }
  }

  private found(number: number, value: Buffer, at: number): TableBlock {
    const { table, rows, chars } = readBlock(value)
    const isHeld = this.heldChars + chars <= HELD_CHARS
    if (isHeld) this.heldChars += chars
    return { number, table, rows: isHeld ? rows : undefined, chars, bytes: value.length, at }
  }
}

/** The rows of all blocks that one read from `offset` on finds, by number. */
export async function readBlocks(
  transport: Transport,
  changelog: TopicPartition,
  offset: number,
): Promise<ReadonlyMap<number, readonly TableRow[]>> {
  const found = new Map<number, readonly TableRow[]>()
  const { batches } = await transport.read(changelog, offset, { maxBytes: 1 << 20 })
  for (const batch of batches)
    for (const { key, value } of batch.records)
      if (key !== null && value !== null && key[0] === 0 && key[1] === TABLE_BLOCK)
        found.set(numberOf(key), readBlock(value).rows)
  return found
}

/** Errors: RangeError for bytes that are no block's key. */
function numberOf(key: Buffer): number {
  const reader = new ByteReader(key, 2)
  const number = reader.uint()
  if (reader.left > 0) throw new RangeError(`its key has ${key.length} bytes`)
  return number
}

/** Errors: whatever snappy or JSON say of bytes that are not theirs. */
function readBlock(value: Buffer): { table: string; rows: TableRow[]; chars: number } {
  const text = uncompressSync(value, { asBuffer: false }) as string
  const { table, rows } = JSON.parse(text) as { table: unknown; rows: unknown }
  if (typeof table !== 'string' || !Array.isArray(rows)) throw new TypeError('no table, no rows')
  return { table, rows, chars: text.length }
}

function blockKey(number: number): Buffer {
  return new ByteWriter(12).u8(0).u8(TABLE_BLOCK).uint(number).bytes()
}

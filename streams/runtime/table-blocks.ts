/**
 * Table rows that are under way: each block stands in the changelog as a row of its own, from the commit that made it until
 * the commit after the table store has acknowledged it. So a takeover inserts again what may not have arrived.
 */
import { compressSync, uncompressSync } from 'snappy'
import { FreshetError, messageOf } from '../errors.ts'
import { ByteReader, ByteWriter } from '../serde/bytes.ts'
import type { TableRow } from '../topology/outbox.ts'
import type { LogRecord } from '../transport/port.ts'
import type { RecordBatchBuilder } from '../transport/record-batch.ts'

/** Second byte of a block's key; the first is 0, as of all of the runtime's own records. */
export const TABLE_BLOCK = 3

export interface TableBlock {
  readonly number: number
  readonly table: string
  readonly rows: readonly TableRow[]
}

export class TableBlocks {
  private next = 1
  private readonly underWay = new Map<number, TableBlock>()
  private acknowledged: number[] = []

  /** Adds the rows of a commit as blocks, and tombstones of those acknowledged since the last one. */
  addTo(builder: RecordBatchBuilder, tables: ReadonlyMap<string, TableRow[]>): TableBlock[] {
    for (const number of this.acknowledged) builder.add(blockKey(number), null)
    this.acknowledged = []
    const blocks: TableBlock[] = []
    for (const [table, rows] of tables) {
      const block = { number: this.next++, table, rows }
      builder.add(blockKey(block.number), compressSync(JSON.stringify({ table, rows })))
      this.underWay.set(block.number, block)
      blocks.push(block)
    }
    return blocks
  }

  /** The table store has it: the next commit removes the block's row. */
  delivered(number: number): void {
    if (this.underWay.delete(number)) this.acknowledged.push(number)
  }

  get waiting(): readonly TableBlock[] {
    return [...this.underWay.values()]
  }

  /** Takes in a block's row, or its tombstone, at restore. Errors: CHANGELOG_CORRUPT with `where`. */
  restore(key: Buffer, value: LogRecord['value'], where: string): void {
    try {
      const reader = new ByteReader(key, 2)
      const number = reader.uint()
      if (reader.left > 0) throw new RangeError(`its key has ${key.length} bytes`)
      if (value === null) this.underWay.delete(number)
      else this.underWay.set(number, { number, ...readBlock(value) })
      this.next = Math.max(this.next, number + 1)
    } catch (error) {
      throw new FreshetError(
        'CHANGELOG_CORRUPT',
        `${where}: a block of table rows can't be read (${messageOf(error)}); restore the topic from its replicas, or begin anew with \`freshet reset\``,
        error,
      )
    }
  }
}

/** Errors: whatever snappy or JSON say of bytes that are not theirs. */
function readBlock(value: Buffer): { table: string; rows: TableRow[] } {
  const { table, rows } = JSON.parse(uncompressSync(value, { asBuffer: false }) as string) as {
    table: unknown
    rows: unknown
  }
  if (typeof table !== 'string' || !Array.isArray(rows)) throw new TypeError('no table, no rows')
  return { table, rows }
}

function blockKey(number: number): Buffer {
  return new ByteWriter(12).u8(0).u8(TABLE_BLOCK).uint(number).bytes()
}

/**
 * Table rows that are under way: each block stands in the changelog as a row of its own, from the commit that made it until
 * the commit after the table store has acknowledged it. So a takeover inserts again what may not have arrived.
 */
import { compressSync, uncompressSync } from 'snappy'
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

  /** Takes in a block's row, or its tombstone, at restore. */
  restore(key: Buffer, value: LogRecord['value']): void {
    const number = new ByteReader(key, 2).uint()
    this.next = Math.max(this.next, number + 1)
    if (value === null) {
      this.underWay.delete(number)
      return
    }
    const text = uncompressSync(value, { asBuffer: false }) as string
    const { table, rows } = JSON.parse(text) as TableBlock
    this.underWay.set(number, { number, table, rows })
  }
}

function blockKey(number: number): Buffer {
  return new ByteWriter(12).u8(0).u8(TABLE_BLOCK).uint(number).bytes()
}

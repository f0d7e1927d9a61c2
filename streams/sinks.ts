/**
 * The two ways out besides topics. Implemented in `sinks/`: Redis or embedded for views, ClickHouse (server or chdb) for
 * tables. Both converge: delivering the same thing again changes nothing (C5).
 */
import type { TableRow, ViewWrite } from './topology/outbox.ts'

export interface ViewStore {
  readonly name: string
  /**
   * Writes all; resolves when acknowledged. Waits through outages without limit (visible in `waiting`).
   * `version` is fixed-width text compared as bytes; an older one never replaces a newer one.
   */
  write(writes: readonly ViewWrite[], version: string): Promise<void>
  waiting(): string | undefined
  close(): Promise<void>
}

export interface TableStore {
  readonly name: string
  /** Inserts one block a table. Repeating a block changes nothing that a `v_` view shows. Waits through outages. */
  insert(table: string, rows: readonly TableRow[]): Promise<void>
  waiting(): string | undefined
  close(): Promise<void>
}

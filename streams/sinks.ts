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

/** Reads what a ViewStore wrote. Keys come without the prefix; what is not there (or has lived out its life) is null. */
export interface ViewReader {
  /** The JSON object of a `json` write, its `version` included. */
  json(key: string): Promise<Record<string, unknown> | null>
  /** The fields of a `hash` write, `version` included. */
  hash(key: string): Promise<Record<string, string> | null>
  /** The `n` best members of a sorted set, best first; [] where there is none. */
  zset(key: string, n: number): Promise<{ readonly member: string; readonly score: number }[]>
  string(key: string): Promise<string | null>
  /** All keys that begin with `prefix`, in no order, each once. */
  scan(prefix: string): AsyncIterable<string>
}

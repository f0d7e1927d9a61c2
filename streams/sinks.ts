/**
 * The two ways out besides topics. Implemented in `sinks/`: Redis or embedded for views, ClickHouse (server or chdb) for
 * tables. Both converge: delivering the same thing again changes nothing (C5).
 */
import type { TableRow, ViewWrite } from './topology/outbox.ts'

/**
 * How a task notices that the store lost what it wrote (emptied, flushed, started again from an older copy): a mark stands in
 * the store behind all that the task wrote, on each node of a cluster, and moves on with each write. A mark that is not where
 * it was left says that what stood before it is gone too. It is then left as it is, until a write without conditions.
 */
export interface ViewMark {
  readonly task: string
  /** What the mark says from now on: up to which commit all is there. Fixed-width text, compared as bytes. */
  readonly through: string
  /** The version that the mark has at least, by the owner's last write; '' where it may be absent. */
  readonly fromVersion: string
  /** What the mark says at least, by an earlier owner's commits; '' where nothing is known. */
  readonly fromThrough: string
  /** Called before the write resolves where the mark is not there or older. */
  lost(): void
}

export interface ViewStore {
  readonly name: string
  /**
   * Writes all; resolves when acknowledged. Waits through outages without limit (visible in `waiting`).
   * `version` is fixed-width text compared as bytes; an older one never replaces a newer one, and for a day brings nothing
   * back that a newer one deleted. The mark moves on behind the writes.
   */
  write(writes: readonly ViewWrite[], version: string, mark?: ViewMark): Promise<void>
  waiting(): string | undefined
  close(): Promise<void>
}

/** A ViewStore that another than the tasks' owner may fill: `freshet rebuild redis`. */
export interface FillableViewStore extends ViewStore {
  /** As `write`, but what stands with the same version stays too. Returns how many writes found something newer. */
  fill(writes: readonly ViewWrite[], version: string): Promise<number>
  /** Takes a task's mark away: its owner, if there is one, writes again what active users read. */
  unmark(task: string): Promise<void>
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
  /** All keys that begin with `prefix`, in no order, each once: that takes memory by the key, which `mayRepeat` spares. */
  scan(prefix: string, mayRepeat?: boolean): AsyncIterable<string>
}

/**
 * A store: the rows of one kind that a task keeps in memory and writes to its changelog.
 *
 * The rows live wherever the topology likes (fields of a user object, a Map, typed arrays); the store only knows how a row
 * is written and restored, and which rows changed since the last commit.
 *  - *exact* stores write every dirty row in every commit (C1): they are functions of the input's record order.
 *  - *soft* stores write on their own interval; a crash forgets at most that much of them.
 */
import type { ByteReader, ByteWriter } from '../serde/bytes.ts'

/** What a row must carry. A removed row is written as a tombstone. */
export interface Row {
  dirty: boolean
  removed: boolean
}

export interface StoreSpec<R extends Row> {
  /** 1 to 255, unique within the task kind and on the log for ever: never reuse a number. */
  readonly id: number
  readonly name: string
  /** 'exact', or how often a soft store is written (ms). */
  readonly write: 'exact' | { readonly everyMs: number }
  /** The key without the store's number. Equal rows must give equal bytes. */
  writeKey(row: R, w: ByteWriter): void
  writeValue(row: R, w: ByteWriter): void
  /** Called at restore in log order, several times for a key that compaction has not met yet; null is a tombstone. */
  restore(key: ByteReader, value: ByteReader | null): void
}

export class Store<R extends Row = Row> {
  readonly spec: StoreSpec<R>
  private changed: R[] = []
  lastWrittenAt = 0

  constructor(spec: StoreSpec<R>) {
    this.spec = spec
  }

  get dirtyCount(): number {
    return this.changed.length
  }

  /** Marks a row as changed since the last commit. Cheap when it already is. */
  touch(row: R): void {
    if (row.dirty) return
    row.dirty = true
    this.changed.push(row)
  }

  /** The next commit writes a tombstone for the row. */
  remove(row: R): void {
    row.removed = true
    this.touch(row)
  }

  /** Hands over at most `limit` changed rows, oldest change first, and clears their mark. */
  take(limit: number): R[] {
    const rows = limit >= this.changed.length ? this.changed : this.changed.slice(0, limit)
    this.changed = limit >= this.changed.length ? [] : this.changed.slice(limit)
    for (const row of rows) row.dirty = false
    return rows
  }
}

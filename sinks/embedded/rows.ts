/** Where the embedded views lie: LMDB, readable by other processes while this one writes, or a Map. */
import { mkdirSync } from 'node:fs'
import { open } from 'lmdb'

/**
 * `expires`: ms since 1970, 0 for never. `version` is '' for what has none. No reader sees what is `gone` (the version of a
 * delete) or a `mark`.
 */
export type Entry = { readonly expires: number; readonly version: string } & (
  | { readonly kind: 'json' | 'string'; readonly text: string }
  | { readonly kind: 'gone' }
  | { readonly kind: 'mark'; readonly through: string }
  | { readonly kind: 'hash'; readonly fields: readonly string[] }
  | {
      readonly kind: 'zset'
      readonly members: readonly string[]
      readonly scores: readonly number[]
    }
)

export interface Row {
  readonly key: string
  readonly value: Entry
}

export interface Rows {
  get(key: string): Entry | undefined
  /** Runs `change` alone, also against other processes; resolves when it is written. */
  transaction(
    change: (rows: { put(key: string, entry: Entry): void; remove(key: string): void }) => void,
  ): Promise<void>
  /** All rows whose key begins with `prefix`. Rows may change while the caller goes through them. */
  under(prefix: string): Iterable<Row>
  /** The next `limit` rows in turn, from the beginning again after the last: for sweeping. */
  next(limit: number): Iterable<Row>
  close(): Promise<void>
}

export function memoryRows(): Rows {
  const map = new Map<string, Entry>()
  let turn = map.entries() // a Map's iterator goes on over rows that come and go
  const rows = {
    put: (key: string, entry: Entry): void => void map.set(key, entry),
    remove: (key: string): void => void map.delete(key),
  }
  return {
    get: key => map.get(key),
    transaction: async change => change(rows),
    under: function* (prefix) {
      for (const [key, value] of map) if (key.startsWith(prefix)) yield { key, value }
    },
    next: function* (limit) {
      for (let n = 0; n < limit; n++) {
        const { value: row, done } = turn.next()
        if (done) {
          turn = map.entries()
          return
        }
        yield { key: row[0], value: row[1] }
      }
    },
    close: async () => map.clear(),
  }
}

/** `readOnly` for another process that only looks; the folder must exist then. */
export function lmdbRows(dir: string, readOnly: boolean): Rows {
  if (!readOnly) mkdirSync(dir, { recursive: true })
  let turn = ''
  const db = open<Entry, string>({ path: dir, readOnly, compression: false })
  const rows = {
    put: (key: string, entry: Entry): void => void db.put(key, entry),
    remove: (key: string): void => void db.remove(key),
  }
  return {
    get: key => {
      // else a read may see what stood there before another one's write that is over
      db.resetReadTxn()
      return db.get(key)
    },
    transaction: async change => {
      await db.transaction(() => change(rows))
    },
    under: function* (prefix) {
      for (let start = prefix; ; ) {
        const page = [...db.getRange({ start, limit: 1000 })]
        for (const row of page) {
          if (!row.key.startsWith(prefix)) return
          yield row
        }
        if (page.length < 1000) return
        start = after(page[page.length - 1].key)
      }
    },
    next: limit => {
      const page = [...db.getRange({ start: turn, limit })]
      turn = page.length < limit ? '' : after(page[page.length - 1].key)
      return page
    },
    close: () => db.close(),
  }
}

/** Sorts behind `key` and before all keys of real text that follow it. */
const after = (key: string): string => `${key}\u0001`

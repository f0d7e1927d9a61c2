/**
 * How many users the tasks of a process may keep unpacked together, and what users take in memory. A table that its task has
 * let go of counts no more once it is collected.
 */
import { sessionsOptions } from '../sessions/options.ts'

/** What an unpacked user is taken to need. */
const UNPACKED_BYTES = 4096

interface Table {
  readonly memory: { readonly unpackedUsers: number }
  readonly directory: { readonly bytes: number }
}

export class UserMemory {
  private readonly limit: number
  private tables: WeakRef<Table>[] = []

  constructor(limit = sessionsOptions['user.unpacked'].default) {
    this.limit = limit
  }

  add(table: Table): void {
    this.tables = [...this.tables.filter(known => known.deref() !== undefined), new WeakRef(table)]
  }

  /** How many users a table with `unpacked` of them may have: as many as it has until all tables have too many. */
  limitOf(unpacked: number): number {
    let all = 0
    let tables = 0
    for (const known of this.tables) {
      const table = known.deref()
      if (table === undefined) continue
      all += table.memory.unpackedUsers
      tables++
    }
    return all <= this.limit ? unpacked : Math.floor(this.limit / tables)
  }

  /** Bytes of all users: what packed ones take, and an estimate for the others. */
  get bytes(): number {
    let bytes = 0
    for (const known of this.tables) {
      const table = known.deref()
      if (table) bytes += table.directory.bytes + table.memory.unpackedUsers * UNPACKED_BYTES
    }
    return bytes
  }
}

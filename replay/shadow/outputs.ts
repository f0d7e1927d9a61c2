/**
 * What leaves a replay: views under its own prefix, table rows marked with its name. Dead letters and alerts are counted and
 * not sent: the live system has sent them.
 *
 *  - O1 `flush` resolves when all that left before is acknowledged; a checkpoint comes behind it, so nothing is lost, and what
 *       is done again after a kill is written again with the same content.
 *  - O2 Of a key that is written many times between two flushes only the last write goes out.
 *  - O3 What is kept per user is held back for those whose erasure is yet to come.
 */

import { viewVersion } from '../../streams/runtime/names.ts'
import type { TableStore, ViewStore } from '../../streams/sinks.ts'
import type { TableRow, ViewWrite } from '../../streams/topology/outbox.ts'
import type { KnownErasures } from './erasures.ts'

/** Views that wait before some go out. */
const MOST_VIEWS = 10_000
/** Table rows under way before the replay waits for them. */
const MOST_ROWS = 50_000
/** Rows of these tables are of one user. */
const OF_USERS: ReadonlySet<string> = new Set(['examples', 'slates'])

export interface OutputsSettings {
  readonly views: ViewStore | null
  readonly tables: (TableStore & { drain?(): Promise<void> }) | null
  readonly erasures: KnownErasures
  readonly generation: number
  /** Grows with each opening of the replay: what it writes is newer than what it wrote before. */
  readonly opening: number
}

export class Outputs {
  private readonly settings: OutputsSettings
  private views = new Map<string, ViewWrite>()
  /** Changes of sets, which do not replace each other. */
  private changes: ViewWrite[] = []
  private version = 0
  private rowsUnderWay = 0
  private readonly underWay = new Set<Promise<void>>()
  private failure: unknown

  constructor(settings: OutputsSettings) {
    this.settings = settings
  }

  get hasTables(): boolean {
    return this.settings.tables !== null
  }

  view(write: ViewWrite, now: number): void {
    if (this.settings.views === null) return
    if (write.op !== 'delete' && this.isHeld(userOf(write.key), now)) return
    if (write.op === 'zadd' || write.op === 'zrem' || write.op === 'zclear')
      this.changes.push(write)
    else this.views.set(write.key, write)
  }

  rows(table: string, rows: readonly TableRow[], now: number): void {
    const { tables, erasures } = this.settings
    if (tables === null) return
    const kept =
      OF_USERS.has(table) && !erasures.isEmpty
        ? rows.filter(({ user }) => !erasures.isAheadOfPseudonym(String(user), now))
        : rows
    if (kept.length === 0) return
    this.rowsUnderWay += kept.length
    this.track(
      tables.insert(table, kept).finally(() => {
        this.rowsUnderWay -= kept.length
      }),
    )
  }

  /** Waits where too much is under way. Errors: what a sink said. */
  async room(): Promise<void> {
    if (this.views.size + this.changes.length > MOST_VIEWS) this.sendViews()
    while (this.rowsUnderWay > MOST_ROWS && this.failure === undefined)
      await Promise.race(this.underWay)
    if (this.failure !== undefined) throw this.failure
  }

  async flush(): Promise<void> {
    this.sendViews()
    await this.settings.tables?.drain?.()
    await Promise.all(this.underWay)
    if (this.failure !== undefined) throw this.failure
  }

  private sendViews(): void {
    const { views, generation, opening } = this.settings
    const writes = [...this.changes, ...this.views.values()]
    if (views === null || writes.length === 0) return
    this.changes = []
    this.views = new Map()
    this.track(views.write(writes, viewVersion(generation, opening, ++this.version)))
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch(error => {
        this.failure ??= error
      })
      .finally(() => this.underWay.delete(tracked))
    this.underWay.add(tracked)
  }

  private isHeld(user: string | undefined, now: number): boolean {
    return user !== undefined && this.settings.erasures.isAhead(user, now)
  }
}

/** The user in a view's key: `session:<user>`, `topk:<surface>:u:<user>`. */
function userOf(key: string): string | undefined {
  if (key.startsWith('session:')) return key.slice('session:'.length)
  return /^topk:[a-z0-9-]+:u:(.*)$/s.exec(key)?.[1]
}

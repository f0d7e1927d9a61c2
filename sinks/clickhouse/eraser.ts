/**
 * Removes users' rows from tables, and proves it: many erasures become one mutation a table.
 *
 *  - R1 What was given to the store before the order is in before it is carried out, so nothing of it comes in later.
 *  - R2 `ALTER TABLE ... DELETE`: the bytes leave the disk with the mutation (a lightweight DELETE only hides them). Rows of
 *       all runs go, and all revisions. But a replay that comes upon an old erasure removes its own rows alone: who came back
 *       since has newer ones in `live`, and `slates` are told by when they were made.
 *  - R3 An order resolves only once nothing is found any more and `erasures` says so; until then its block stays in the
 *       changelog, and whoever takes over begins again. What was found first is remembered in `erasures`.
 *  - R4 Rows that came after the erasure stay: an order names the times up to which rows go.
 */
import type { Clock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import type { SqlPort } from './connection.ts'
import type { Outage } from './outage.ts'
import { sqlText } from './sql-text.ts'

/** As it travels in a row for `erasures`: `order` has the last `ts` that goes, ms, by table. */
interface Order {
  readonly order: Readonly<Record<string, number>>
  readonly pseudonym: string
  /** Event time of the erasure, ms. */
  readonly asked: number
}

export interface EraserSettings {
  readonly sql: SqlPort
  readonly database: string
  readonly run: string
  /** How long orders wait for company, ms. */
  readonly everyMs: number
  readonly clock: Clock
  readonly outage: Outage
  /** Resolves once all rows given so far are stored. */
  readonly stored: (tables: readonly string[]) => Promise<void>
  readonly insert: (rows: readonly TableRow[]) => Promise<void>
}

interface Waiting {
  readonly orders: readonly Order[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Orders of one statement: some 100 characters each, of the 256 KB that a server takes. */
const atOnce = 500
const pollMs = 250
const name = 'erasures'

export const isOrder = (row: TableRow): boolean => typeof row.order === 'object'

export class Eraser {
  private readonly settings: EraserSettings
  private waiting: Waiting[] = []
  private timer: NodeJS.Timeout | undefined
  private running: Promise<void> | undefined
  private closed = false
  private statements = 0

  constructor(settings: EraserSettings) {
    this.settings = settings
  }

  /** Resolves once it is proved. Errors: CLOSED. */
  erase(rows: readonly TableRow[]): Promise<void> {
    if (this.closed) return Promise.reject(new FreshetError('CLOSED', 'an erasure after close'))
    const orders = rows as unknown as readonly Order[]
    return new Promise((resolve, reject) => {
      this.waiting.push({ orders, resolve, reject })
      this.timer ??= setTimeout(() => this.start(), this.settings.everyMs)
    })
  }

  /** Carries out what waits, now. */
  async drain(): Promise<void> {
    this.start()
    while (this.running) await this.running
  }

  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    const error = new FreshetError('CLOSED', 'erasures wait for the next start')
    for (const { reject } of this.waiting) reject(error)
    this.waiting = []
    await this.running
  }

  private start(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    if (this.running || this.waiting.length === 0) return
    const batch = this.waiting
    this.waiting = []
    this.running = this.perform(batch).finally(() => {
      this.running = undefined
      this.start()
    })
  }

  private async perform(batch: readonly Waiting[]): Promise<void> {
    try {
      const orders = batch.flatMap(waiting => waiting.orders)
      for (let from = 0; from < orders.length; from += atOnce)
        await this.eraseAll(orders.slice(from, from + atOnce))
      for (const { resolve } of batch) resolve()
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  private async eraseAll(orders: readonly Order[]): Promise<void> {
    const tables = [...new Set(orders.flatMap(({ order }) => Object.keys(order)))]
    await this.settings.stored(tables)
    for (const table of tables) {
      const ofTable = orders.filter(({ order }) => order[table] !== undefined)
      await this.eraseFrom(table, ofTable)
    }
  }

  private async eraseFrom(table: string, orders: readonly Order[]): Promise<void> {
    const until = lastTimes(table, orders)
    const first = await this.trying(() => this.count(table, until))
    const before = await this.trying(() => this.known(table, orders))
    const found = (order: Order): number =>
      Math.max(first.get(order.pseudonym) ?? 0, before.get(keyOf(order))?.found ?? 0)
    let left = first
    // what another has found and not removed yet is told at once
    if (left.size > 0)
      await this.settings.insert(
        orders.map(order => ({ ...row(table, order, found(order)), found_after: found(order) })),
      )
    for (let attempt = 0; left.size > 0; attempt++) {
      if (attempt > 0) await this.pause(1_000)
      await this.mutate(table, until)
      left = await this.trying(() => this.count(table, until))
    }
    const now = this.settings.clock.wall()
    await this.settings.insert(
      orders.map(order => ({
        ...row(table, order, found(order)),
        // told once and not again
        done: before.get(keyOf(order))?.done || now,
        removed: found(order),
        found_after: 0,
        revision: 2,
      })),
    )
  }

  /** The list of users meets the sorting key. */
  private condition(until: ReadonlyMap<string, number>): string {
    const { run } = this.settings
    const users = [...until.keys()].map(sqlText).join(', ')
    const times = [...until.values()].map(ms => `toInt64(${ms})`).join(', ')
    const ofRun = run === 'live' ? '' : `run = ${sqlText(run)} AND `
    return `${ofRun}user IN (${users})
    AND toUnixTimestamp64Milli(ts) <= transform(user, [${users}], [${times}], toInt64(-1))`
  }

  /** Rows that are there, by pseudonym. */
  private async count(
    table: string,
    until: ReadonlyMap<string, number>,
  ): Promise<Map<string, number>> {
    const rows = await this.settings.sql.query<{ user: string; n: unknown }>(
      `SELECT user, count() AS n FROM ${this.settings.database}.${table}
       WHERE ${this.condition(until)} GROUP BY user`,
    )
    return new Map(rows.map(({ user, n }) => [user, Number(n)]))
  }

  /** What an earlier attempt, perhaps of another process, has told. */
  private async known(
    table: string,
    orders: readonly Order[],
  ): Promise<Map<string, { found: number; done: number }>> {
    const names = [...new Set(orders.map(({ pseudonym }) => sqlText(pseudonym)))]
    const rows = await this.settings.sql.query<Record<'pseudonym' | 'a' | 'f' | 'd', unknown>>(
      `SELECT pseudonym, toUnixTimestamp64Milli(asked) AS a, max(found) AS f,
         toUnixTimestamp64Milli(ifNull(max(done), toDateTime64(0, 3, 'UTC'))) AS d
       FROM ${this.settings.database}.erasures
       WHERE run = ${sqlText(this.settings.run)} AND store = ${sqlText(table)}
         AND pseudonym IN (${names.join(', ')})
       GROUP BY pseudonym, asked`,
    )
    return new Map(
      rows.map(({ pseudonym, a, f, d }) => [
        `${pseudonym} ${Number(a)}`,
        { found: Number(f), done: Number(d) },
      ]),
    )
  }

  /** Resolves when the mutation is done, or is not there any more. */
  private async mutate(table: string, until: ReadonlyMap<string, number>): Promise<void> {
    const { database, sql, clock, outage } = this.settings
    // by which it is known among other mutations
    const [user] = until.keys()
    const mark = `freshet erasure ${clock.wall()} ${++this.statements} ${user}`
    await this.trying(() =>
      sql.command(
        `ALTER TABLE ${database}.${table} DELETE WHERE ${this.condition(until)} AND notEmpty(${sqlText(mark)})
         SETTINGS mutations_sync = 0`,
      ),
    )
    for (;;) {
      const [state] = await this.trying(() =>
        sql.query<{ done: unknown; failed: string }>(
          `SELECT is_done AS done, latest_fail_reason AS failed FROM system.mutations
           WHERE database = ${sqlText(database)} AND table = ${sqlText(table)}
             AND position(command, ${sqlText(mark)}) > 0`,
        ),
      )
      if (state === undefined || Number(state.done) === 1) return
      // the server tries again by itself
      if (state.failed !== '') outage.failed(name, state.failed)
      await this.pause(pollMs)
    }
  }

  /** Waits through outages. Errors: CLOSED. */
  private async trying<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await work()
        this.settings.outage.over(name)
        return result
      } catch (error) {
        this.settings.outage.failed(name, messageOf(error))
        await this.pause(Math.min(5_000, 100 * 2 ** Math.min(attempt, 6)))
      }
    }
  }

  private async pause(ms: number): Promise<void> {
    if (!this.closed) await this.settings.clock.sleep(ms)
    if (this.closed) throw new FreshetError('CLOSED', 'erasures wait for the next start')
  }
}

/** By pseudonym: two erasures of one user are one. */
function lastTimes(table: string, orders: readonly Order[]): Map<string, number> {
  const until = new Map<string, number>()
  for (const { pseudonym, order } of orders)
    until.set(pseudonym, Math.max(order[table], until.get(pseudonym) ?? 0))
  return until
}

const keyOf = ({ pseudonym, asked }: Order): string => `${pseudonym} ${asked}`

function row(table: string, { pseudonym, asked }: Order, found: number) {
  return { pseudonym, asked, done: null, store: table, found, removed: 0, revision: 1 }
}

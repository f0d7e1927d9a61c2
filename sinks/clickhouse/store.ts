/**
 * The table store in ClickHouse: a server over http(s), or chdb in this process. Keeps to the `TableStore` port:
 * `insert` resolves when the rows are stored, waits through outages, and repeating a block changes nothing that a `v_` view
 * shows (ReplacingMergeTree, views read FINAL).
 */
import type { Clock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { Logger } from '../../streams/log.ts'
import type { Metrics } from '../../streams/metrics.ts'
import type { OptionValues } from '../../streams/options.ts'
import type { TableStore } from '../../streams/sinks.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { TableBatches } from './batches.ts'
import { connect } from './connect.ts'
import { exceptionCode, mayPass } from './connection.ts'
import { Eraser, isOrder } from './eraser.ts'
import { migrate } from './migrate.ts'
import type { clickhouseOptions } from './options.ts'
import { Outage } from './outage.ts'

export interface ClickHouseStoreSpec {
  /** `http(s)://[user:password@]host:port` or `chdb:DIR`. */
  readonly url: string
  readonly database: string
  /** 'live' or a replay's name; stands in every row. */
  readonly run: string
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  /** Defaults are those of `clickhouseOptions`. */
  readonly flushMs?: number
  readonly maxRows?: number
  readonly examplesRetentionMs?: number
  readonly slatesRetentionMs?: number
  readonly eraseEveryMs?: number
}

export interface ClickHouseStore extends TableStore {
  /**
   * Creates and migrates the database; returns the migrations applied now. Waits up to `waitMs` (default 10 s) for the
   * server. Errors: DEPENDENCY_UNREACHABLE after that, DEPENDENCY_UNSUITABLE where it answers but refuses.
   */
  migrate(waitMs?: number): Promise<number[]>
  /** One SELECT, rows as objects; for doctor, tests and the demo. Not retried. */
  query<T>(sql: string): Promise<T[]>
  /** Stores what waits, now. */
  drain(): Promise<void>
}

const dayMs = 86_400_000

/** Errors: OPTION_INVALID for a url that is none; DEPENDENCY_UNSUITABLE where chdb can't be opened. */
export async function createClickHouseStore(spec: ClickHouseStoreSpec): Promise<ClickHouseStore> {
  const connection = await connect(spec.url)
  const { database, clock } = spec
  const outage = new Outage(
    connection.address,
    clock,
    spec.log,
    spec.metrics.gauge('freshet_clickhouse_waiting'),
  )
  const limits = {
    flushMs: spec.flushMs ?? 1_000,
    maxRows: spec.maxRows ?? 20_000,
    maxChars: 8 << 20,
  }
  const start = `{"run":${JSON.stringify(spec.run)},`
  const tables = new Map<string, TableBatches>()
  const rowsStored = spec.metrics.counter('freshet_clickhouse_rows_total')
  const blocksStored = spec.metrics.counter('freshet_clickhouse_blocks_total')

  const batchesOf = (table: string): TableBatches => {
    let batches = tables.get(table)
    if (!batches) {
      batches = new TableBatches(
        table,
        limits,
        async (name, lines) => {
          await connection.insert(`${database}.${name}`, lines)
          blocksStored.add(1)
        },
        outage,
        clock,
      )
      tables.set(table, batches)
    }
    return batches
  }

  const insert = async (table: string, rows: readonly TableRow[]): Promise<void> => {
    if (rows.length === 0) return
    await batchesOf(table).add(rows.map(row => line(start, row)))
    rowsStored.add(rows.length)
  }

  const eraser = new Eraser({
    sql: connection,
    database,
    run: spec.run,
    everyMs: spec.eraseEveryMs ?? 60_000,
    clock,
    outage,
    stored: async names => {
      await Promise.all(names.map(name => tables.get(name)?.passed()))
    },
    insert: rows => insert('erasures', rows),
  })

  return {
    name: `ClickHouse ${connection.address}`,
    async insert(table, rows) {
      const orders = table === 'erasures' ? rows.filter(isOrder) : []
      if (orders.length === 0) return insert(table, rows)
      // also of the rows beside an order a block is stored only once it is carried out
      await Promise.all([
        insert(
          table,
          rows.filter(row => !isOrder(row)),
        ),
        eraser.erase(orders),
      ])
    },
    waiting: () => outage.waiting(),
    async migrate(waitMs = 10_000) {
      const sql = {
        command: (text: string) => connection.command(text),
        query: <T>(text: string) => connection.query<T>(text),
      }
      const retention = {
        examples: spec.examplesRetentionMs ?? 90 * dayMs,
        slates: spec.slatesRetentionMs ?? 14 * dayMs,
      }
      const until = clock.now() + waitMs
      for (;;) {
        try {
          return await migrate(sql, database, retention)
        } catch (error) {
          if (error instanceof FreshetError) throw error
          const code = exceptionCode(error)
          if (code !== undefined && !mayPass(code))
            throw new FreshetError(
              'DEPENDENCY_UNSUITABLE',
              `ClickHouse ${connection.address} answers, but database ${database} cannot be made ready: ${messageOf(error).split('\n')[0]}`,
              error,
            )
          if (clock.now() >= until)
            throw new FreshetError(
              'DEPENDENCY_UNREACHABLE',
              `ClickHouse ${connection.address} cannot be reached (${messageOf(error)}); check FRESHET_CLICKHOUSE_URL and that the server runs, or set it to none to go without tables`,
              error,
            )
          await clock.sleep(250)
        }
      }
    },
    query: sql => connection.query(sql),
    async drain() {
      await Promise.all([...tables.values()].map(batches => batches.drain()))
      await eraser.drain()
    },
    async close() {
      // what an erasure waits for must not be waited for any more
      const erased = eraser.close()
      await Promise.all([erased, ...[...tables.values()].map(batches => batches.close())])
      await connection.close()
    },
  }
}

/** A row as one JSON line with `run` in front. Not-a-number becomes null, as JSON has no word for it. */
function line(start: string, row: TableRow): string {
  const text = JSON.stringify(row)
  return text === '{}' ? `${start.slice(0, -1)}}` : start + text.slice(1)
}

/** The store's settings out of the resolved options. */
export function clickhouseSettings(
  options: OptionValues<typeof clickhouseOptions>,
): Pick<
  ClickHouseStoreSpec,
  | 'url'
  | 'database'
  | 'flushMs'
  | 'maxRows'
  | 'examplesRetentionMs'
  | 'slatesRetentionMs'
  | 'eraseEveryMs'
> {
  return {
    url: options['clickhouse.url'],
    database: options['clickhouse.database'],
    flushMs: options['clickhouse.flushMs'],
    maxRows: options['clickhouse.maxRows'],
    examplesRetentionMs: options['clickhouse.examples.retention'],
    slatesRetentionMs: options['clickhouse.slates.retention'],
    eraseEveryMs: options['clickhouse.eraseEvery'],
  }
}

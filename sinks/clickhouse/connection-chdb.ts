/**
 * ClickHouse inside this process: chdb, with its data in a directory. Queries and inserts run on libuv's threads, so the
 * stream is not held up (20,000 examples: 150 ms, the event loop late by at most 8 ms).
 *
 * The engine knows one directory per process, and one process per directory; both are said in a sentence. Several stores
 * of one process share the session; the last one to close ends it.
 */
import { mkdirSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Session } from 'chdb'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { type Connection, insertSettings, parquetSettings } from './connection.ts'
import { sqlText } from './sql-text.ts'

interface Opened {
  readonly directory: string
  readonly session: Session
  users: number
}

let opened: Opened | undefined

/**
 * Opens (or shares) the directory. Errors: DEPENDENCY_UNSUITABLE where chdb is not installed or has no build for this
 * platform, where this process has another directory open, or another process has this one.
 */
export async function connectChdb(directory: string): Promise<Connection> {
  const path = resolve(directory)
  const chdb = await load()
  // nothing is awaited from here to `opened`: two stores that start together share one session
  if (opened && opened.directory !== path)
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `chdb:${path} cannot be opened: chdb takes one directory a process, and this one has ${opened.directory} open`,
    )
  opened ??= { directory: path, session: open(chdb, path), users: 0 }
  const { session } = opened
  opened.users++
  let closed = false
  return {
    address: `chdb:${path}`,
    async command(sql) {
      await session.queryAsync(sql, { format: 'JSONEachRow' })
    },
    async query<T>(sql: string) {
      const result = await session.queryAsync(sql, { format: 'JSONEachRow' })
      return result
        .text()
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as T)
    },
    async parquet(sql, file, onBytes) {
      const settings = Object.entries(parquetSettings).map(([name, value]) => `${name} = ${value}`)
      const to = sqlText(resolve(file))
      const look = (): void => onBytes(statSync(file, { throwIfNoEntry: false })?.size ?? 0)
      const looking = setInterval(look, 500)
      try {
        await session.queryAsync(
          `${sql} INTO OUTFILE ${to} FORMAT Parquet SETTINGS ${settings.join(', ')}`,
        )
      } finally {
        clearInterval(looking)
      }
    },
    async insert(table, lines) {
      await session.insert({
        table,
        values: lines,
        format: 'JSONEachRow',
        settings: insertSettings,
      })
    },
    async close() {
      if (closed || !opened) return
      closed = true
      if (--opened.users > 0) return
      opened = undefined
      session.close()
      await chdb.drainPending()
    },
  }
}

type Chdb = typeof import('chdb')

async function load(): Promise<Chdb> {
  try {
    return await import('chdb')
  } catch (error) {
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      'the embedded ClickHouse (chdb) is not installed: run `npm install chdb`, or set FRESHET_CLICKHOUSE_URL to http(s)://host:port, or to none',
      error,
    )
  }
}

function open(chdb: Chdb, path: string): Session {
  mkdirSync(path, { recursive: true })
  try {
    return new chdb.Session(path, {
      // JSON numbers as numbers: a reader of counts wants no quoted text
      connectionArgs: ['--output_format_json_quote_64bit_integers=0'],
    })
  } catch (error) {
    throw new FreshetError(
      'DEPENDENCY_UNSUITABLE',
      `chdb:${path} cannot be opened (${messageOf(error)}); the usual cause: another process has it open, or it is no chdb directory of this version`,
      error,
    )
  }
}

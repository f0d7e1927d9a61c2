/** ClickHouse over http(s), through @clickhouse/client. */
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { FreshetError } from '../../streams/errors.ts'
import { type Connection, insertSettings, parquetSettings } from './connection.ts'

/** @param timeoutMs how long an answer may stand still. Errors: OPTION_INVALID for a url that is none. */
export function connectHttp(url: string, timeoutMs = 30_000): Connection {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed?.hostname || !/^https?:$/.test(parsed.protocol))
    throw new FreshetError(
      'OPTION_INVALID',
      `ClickHouse url ${url} cannot be read; it takes http(s)://[user:password@]host:port or chdb:DIR`,
    )
  const username = decodeURIComponent(parsed.username) || 'default'
  const password = decodeURIComponent(parsed.password)
  parsed.username = ''
  parsed.password = ''
  const address = parsed.href.replace(/\/$/, '')
  const client = createClient({
    url: address,
    username,
    password,
    application: 'freshet',
    // an outage is told once, by the store
    log: { level: ClickHouseLogLevel.OFF },
    request_timeout: timeoutMs,
    max_open_connections: 4,
    // a server closes idle sockets; a pooled one that is just being closed would fail an insert
    keep_alive: { enabled: true, idle_socket_ttl: 1_000 },
  })
  return {
    address,
    async command(sql) {
      await client.command({ query: sql })
    },
    async query<T>(sql: string) {
      const result = await client.query({ query: sql, format: 'JSONEachRow' })
      return await result.json<T>()
    },
    async parquet(sql, file, onBytes) {
      const { stream } = await client.exec({
        query: `${sql} FORMAT Parquet`,
        clickhouse_settings: parquetSettings,
      })
      let bytes = 0
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        onBytes(bytes)
      })
      await pipeline(stream, createWriteStream(file, { flags: 'wx' }))
    },
    async insert(table, lines) {
      const { stream } = await client.exec({
        query: `INSERT INTO ${table} FORMAT JSONEachRow`,
        values: Readable.from([lines], { objectMode: false }),
        clickhouse_settings: insertSettings,
      })
      stream.resume()
      await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject))
    },
    close: () => client.close(),
  }
}

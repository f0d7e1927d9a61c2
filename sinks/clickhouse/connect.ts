import type { Connection } from './connection.ts'
import { connectChdb } from './connection-chdb.ts'
import { connectHttp } from './connection-http.ts'

/**
 * `url`: `http(s)://[user:password@]host:port` or `chdb:DIR`. @param timeoutMs how long a server's answer may stand still.
 * Errors: OPTION_INVALID for a url that is none; DEPENDENCY_UNSUITABLE where chdb can't be opened.
 */
export async function connect(url: string, timeoutMs?: number): Promise<Connection> {
  return url.startsWith('chdb:')
    ? await connectChdb(url.slice('chdb:'.length))
    : connectHttp(url, timeoutMs)
}

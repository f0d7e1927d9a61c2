/**
 * Removes all keys of a prefix, of a replay that goes: a page of SCAN at a time, so that Redis serves others
 * in between.
 */
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { connect } from './connect.ts'
import { parseRedisUrl } from './url.ts'

const PAGE = 1000

/** Returns how many there were. Errors: DEPENDENCY_UNREACHABLE, OPTION_INVALID for the URL. */
export async function removeKeys(url: string, prefix: string): Promise<number> {
  const address = parseRedisUrl(url)
  const connection = connect(address)
  let removed = 0
  try {
    await connection.ready()
    for (const node of connection.nodes()) {
      let cursor = '0'
      do {
        const [next, keys] = await node.scan(cursor, 'MATCH', `*${escaped(prefix)}*`, 'COUNT', PAGE)
        cursor = next
        // of a cluster's node, each in its own slot
        const pipeline = node.pipeline()
        for (const key of keys) if (isOf(prefix, key)) pipeline.unlink(key)
        for (const [error, count] of (await pipeline.exec()) ?? []) {
          if (error) throw error
          removed += Number(count)
        }
      } while (cursor !== '0')
    }
    return removed
  } catch (error) {
    throw new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      `the keys ${prefix}* of Redis ${address.name} can't be removed: ${messageOf(connection.lastError() ?? error)}; call it again`,
      error,
    )
  } finally {
    connection.close()
  }
}

/** Values, and what stands beside them: versions and marks (slot.ts). */
const isOf = (prefix: string, key: string): boolean =>
  key.startsWith(prefix) ||
  key.startsWith(`{${prefix}`) ||
  (key.startsWith('{') && key.includes(`}:version:${prefix}`))

/** What SCAN would take for a pattern. */
const escaped = (prefix: string): string => prefix.replace(/[*?[\]\\^]/g, '\\$&')

/** Reading views back: for `freshet topk`, `inspect`, the demo and tests. No versions, no retries beyond the client's own. */
import type { Redis } from 'ioredis'
import type { ViewReader } from '../../streams/sinks.ts'
import type { Connection } from './connect.ts'

export function createReader(connection: Connection, prefix: string): ViewReader {
  const ready = async () => {
    await connection.ready()
    return connection.client
  }
  return {
    async json(key) {
      const text = await (await ready()).get(prefix + key)
      return text === null ? null : (JSON.parse(text) as Record<string, unknown>)
    },
    async hash(key) {
      const fields = await (await ready()).hgetall(prefix + key)
      return Object.keys(fields).length === 0 ? null : fields
    },
    async zset(key, n) {
      if (n <= 0) return []
      const flat = await (await ready()).zrevrange(prefix + key, 0, n - 1, 'WITHSCORES')
      const rows: { member: string; score: number }[] = []
      for (let i = 0; i < flat.length; i += 2)
        rows.push({ member: flat[i], score: Number(flat[i + 1]) })
      return rows
    },
    async string(key) {
      return (await ready()).get(prefix + key)
    },
    async *scan(start, mayRepeat = false) {
      await ready()
      for (const node of connection.nodes())
        yield* scanNode(node, prefix + start, prefix.length, mayRepeat)
    },
  }
}

/** SCAN may give a key twice: each is given on once, but where it may repeat. */
async function* scanNode(
  node: Redis,
  start: string,
  cut: number,
  mayRepeat: boolean,
): AsyncIterable<string> {
  const seen = new Set<string>()
  let cursor = '0'
  do {
    const [next, keys] = await node.scan(cursor, 'MATCH', `${globbed(start)}*`, 'COUNT', 1000)
    for (const key of keys) {
      if (seen.has(key)) continue
      if (!mayRepeat) seen.add(key)
      yield key.slice(cut)
    }
    cursor = next
  } while (cursor !== '0')
}

const globbed = (text: string): string => text.replace(/[*?[\]\\]/g, '\\$&')

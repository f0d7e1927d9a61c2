/**
 * The view store for when no Redis is at hand: same meaning of versions and lives, in a folder (LMDB) or in memory.
 *  - A `write` is one transaction; another process sees all of it or none.
 *  - What has lived out its life is not there for any reader; every write also sweeps a few rows, so that the space comes
 *    back in time.
 *  - One process writes at a time (the embedded transport sees to that); any number read.
 */
import type { Clock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { ViewReader, ViewStore } from '../../streams/sinks.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import { type Entry, lmdbRows, memoryRows } from './rows.ts'

export interface EmbeddedStoreOptions {
  /** Where the views lie; absent: in memory, gone with the process. */
  readonly dir?: string
  /** To look from another process while one writes. */
  readonly readOnly?: boolean
  readonly clock: Clock
}

const sweptPerWrite = 64

/** Errors: DEPENDENCY_UNREACHABLE where the folder can't be opened. */
export function createEmbeddedStore(options: EmbeddedStoreOptions): ViewStore & ViewReader {
  const { dir, readOnly = false, clock } = options
  const rows = dir === undefined ? memoryRows() : openRows(dir, readOnly)
  let closed = false

  const living = (key: string): Entry | undefined => {
    const entry = rows.get(key)
    return entry && (entry.expires === 0 || entry.expires > clock.now()) ? entry : undefined
  }

  return {
    name: dir === undefined ? 'views in memory' : `views in ${dir}`,
    waiting: () => undefined,
    async write(writes, version) {
      if (closed) throw new FreshetError('CLOSED', 'the embedded view store was closed')
      if (writes.length === 0) return
      await rows.transaction(({ put, remove }) => {
        const now = clock.now()
        for (const write of writes) {
          const next = applied(living(write.key), write, version, now)
          if (next === 'gone') remove(write.key)
          else if (next !== 'kept') put(write.key, next)
        }
        for (const { key, value } of rows.next(sweptPerWrite))
          if (value.expires !== 0 && value.expires <= now) remove(key)
      })
    },
    async json(key) {
      const entry = living(key)
      return entry?.kind === 'json' ? (JSON.parse(entry.text) as Record<string, unknown>) : null
    },
    async hash(key) {
      const entry = living(key)
      if (entry?.kind !== 'hash') return null
      const fields: Record<string, string> = { version: entry.version }
      for (let i = 0; i < entry.fields.length; i += 2) fields[entry.fields[i]] = entry.fields[i + 1]
      return fields
    },
    async zset(key, n) {
      const entry = living(key)
      if (entry?.kind !== 'zset') return []
      return entry.members
        .map((member, i) => ({ member, score: entry.scores[i] }))
        .sort(
          (a, b) =>
            b.score - a.score || Buffer.compare(Buffer.from(b.member), Buffer.from(a.member)),
        )
        .slice(0, Math.max(0, n))
    },
    async string(key) {
      const entry = living(key)
      return entry?.kind === 'string' || entry?.kind === 'json' ? entry.text : null
    },
    async *scan(prefix) {
      for (const { key } of rows.under(prefix)) {
        const entry = living(key)
        if (entry && !(entry.kind === 'zset' && entry.members.length === 0)) yield key
      }
    },
    async close() {
      if (closed) return
      closed = true
      await rows.close()
    },
  }
}

/** What a write makes of what is there. An older version changes nothing; an equal one is a redelivery. */
function applied(
  stored: Entry | undefined,
  write: ViewWrite,
  version: string,
  now: number,
): Entry | 'kept' | 'gone' {
  switch (write.op) {
    case 'zadd':
    case 'zrem':
      return changedSet(stored, write)
    case 'string':
      return { kind: 'string', version: '', text: write.value, expires: end(write.ttlMs, now) }
    case 'delete':
      return stored && stored.version > version ? 'kept' : 'gone'
  }
  if (stored && stored.version > version) return 'kept'
  const expires = end(write.ttlMs, now)
  switch (write.op) {
    case 'json':
      return {
        kind: 'json',
        version,
        expires,
        text: `{"version":"${version}"${write.body === '}' ? '' : ','}${write.body}`,
      }
    case 'hash':
      return { kind: 'hash', version, expires, fields: [...write.fields] }
    case 'zset': {
      const set = new Map(write.members.map((member, i) => [member, write.scores[i]]))
      return { kind: 'zset', version, expires, members: [...set.keys()], scores: [...set.values()] }
    }
  }
}

function changedSet(
  stored: Entry | undefined,
  write: Extract<ViewWrite, { op: 'zadd' | 'zrem' }>,
): Entry {
  const old = stored?.kind === 'zset' ? stored : undefined
  const set = new Map(old?.members.map((member, i) => [member, old.scores[i]]))
  if (write.op === 'zadd') set.set(write.member, write.score)
  else set.delete(write.member)
  return {
    kind: 'zset',
    version: old?.version ?? '',
    expires: old?.expires ?? 0,
    members: [...set.keys()],
    scores: [...set.values()],
  }
}

const end = (ttlMs: number, now: number): number => (ttlMs === 0 ? 0 : now + ttlMs)

function openRows(dir: string, readOnly: boolean) {
  try {
    return lmdbRows(dir, readOnly)
  } catch (error) {
    throw new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      `the embedded views in ${dir} can't be opened${readOnly ? ' (has anything run there yet?)' : ''}: ${error}`,
      error,
    )
  }
}

/**
 * The view store for when no Redis is at hand: same meaning of versions and lives, in a folder (LMDB) or in memory.
 *  - A `write` is one transaction; another process sees all of it or none.
 *  - What has lived out its life is not there for any reader; every write also sweeps a few rows, so that the space comes
 *    back in time.
 *  - One process writes at a time (the embedded transport sees to that); any number read.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { FillableViewStore, ViewMark, ViewReader } from '../../streams/sinks.ts'
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
/** As in Redis: what was deleted stays deleted for a day, whatever older comes. */
const goneLifeMs = 86_400_000

/** Errors: CALL_INVALID where there is nothing to read, DEPENDENCY_UNREACHABLE where the folder can't be opened. */
export function createEmbeddedStore(options: EmbeddedStoreOptions): FillableViewStore & ViewReader {
  const { dir, readOnly = false, clock } = options
  const rows = dir === undefined ? memoryRows() : openRows(dir, readOnly)
  let closed = false

  /** What stands there, deletes and marks too. */
  const standing = (key: string): Entry | undefined => {
    const entry = rows.get(key)
    return entry && (entry.expires === 0 || entry.expires > clock.now()) ? entry : undefined
  }
  const living = (key: string): Entry | undefined => {
    const entry = standing(key)
    return entry?.kind === 'gone' || entry?.kind === 'mark' ? undefined : entry
  }

  /** Returns how many writes found something newer. */
  async function apply(
    writes: readonly ViewWrite[],
    version: string,
    keeps: (stored: string) => boolean,
    mark?: ViewMark,
  ): Promise<number> {
    if (closed) throw new FreshetError('CLOSED', 'the embedded view store was closed')
    if (writes.length === 0 && mark === undefined) return 0
    let refused = 0
    let lost = false
    await rows.transaction(({ put, remove }) => {
      const now = clock.now()
      for (const write of writes) {
        if (write.op === 'zadd' || write.op === 'zrem' || write.op === 'zclear') {
          const changed = changedSet(write, version, now, standing, put)
          if (changed) put(write.key, changed)
          else refused++
          continue
        }
        const next = applied(standing(write.key), write, version, keeps, now)
        if (next === undefined) refused++
        else put(write.key, next)
      }
      lost = mark !== undefined && !moveMark(mark, version, standing(markRow(mark.task)), put)
      for (const { key, value } of rows.next(sweptPerWrite))
        if (value.expires !== 0 && value.expires <= now) remove(key)
    })
    if (lost) mark?.lost()
    return refused
  }

  return {
    name: dir === undefined ? 'views in memory' : `views in ${dir}`,
    waiting: () => undefined,
    async write(writes, version, mark) {
      await apply(writes, version, stored => stored > version, mark)
    },
    fill: (writes, version) => apply(writes, version, stored => stored >= version),
    async unmark(task) {
      await rows.transaction(({ remove }) => remove(markRow(task)))
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

/** What a write makes of what is there; undefined where that is newer. */
function applied(
  stored: Entry | undefined,
  write: Exclude<ViewWrite, { op: 'zadd' | 'zrem' | 'zclear' }>,
  version: string,
  keeps: (stored: string) => boolean,
  now: number,
): Entry | undefined {
  if (write.op === 'delete')
    return stored && stored.version > version
      ? undefined
      : { kind: 'gone', version, expires: now + goneLifeMs }
  if (stored && keeps(stored.version)) return undefined
  const expires = end(write.ttlMs, now)
  switch (write.op) {
    case 'string':
      return { kind: 'string', version, expires, text: write.value }
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

/** No view's key holds this character. */
const separator = '\u0001'
const memberRow = (key: string, member: string): string => `${key}${separator}${member}`
const markRow = (task: string): string => `${separator}shown${separator}${task}`

/** A sorted set with members changed that each have a version of their own; undefined where the member's is newer. */
function changedSet(
  write: Extract<ViewWrite, { op: 'zadd' | 'zrem' | 'zclear' }>,
  version: string,
  now: number,
  standing: (key: string) => Entry | undefined,
  put: (key: string, entry: Entry) => void,
): Entry | undefined {
  const isNewer = (member: string): boolean =>
    (standing(memberRow(write.key, member))?.version ?? '') > version
  const stored = standing(write.key)
  const old = stored?.kind === 'zset' ? stored : undefined
  const set = new Map(old?.members.map((member, i) => [member, old.scores[i]]))
  if (write.op === 'zclear') {
    for (const member of write.members) if (!isNewer(member)) set.delete(member)
  } else {
    if (isNewer(write.member)) return undefined
    put(memberRow(write.key, write.member), { kind: 'gone', version, expires: now + goneLifeMs })
    if (write.op === 'zadd') set.set(write.member, write.score)
    else set.delete(write.member)
  }
  return {
    kind: 'zset',
    version: old?.version ?? '',
    expires: old?.expires ?? 0,
    members: [...set.keys()],
    scores: [...set.values()],
  }
}

/** False: the mark is not where it was left, and is left there. */
function moveMark(
  { task, through, fromVersion, fromThrough }: ViewMark,
  version: string,
  stored: Entry | undefined,
  put: (key: string, entry: Entry) => void,
): boolean {
  const mark = stored?.kind === 'mark' ? stored : undefined
  if (mark && mark.version > version) return true
  if (fromVersion !== '' && (mark?.version ?? '') < fromVersion) return false
  if (fromThrough !== '' && (mark?.through ?? '') < fromThrough) return false
  put(markRow(task), { kind: 'mark', version, through, expires: 0 })
  return true
}

const end = (ttlMs: number, now: number): number => (ttlMs === 0 ? 0 : now + ttlMs)

function openRows(dir: string, readOnly: boolean) {
  // LMDB would make the folders before it finds out
  if (readOnly && !existsSync(join(dir, 'data.mdb')))
    throw new FreshetError(
      'CALL_INVALID',
      `there are no embedded views in ${dir}: name the folder of a \`freshet demo\` or \`freshet run\` with --data, or Redis with redis.url`,
    )
  try {
    return lmdbRows(dir, readOnly)
  } catch (error) {
    throw new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      `the embedded views in ${dir} can't be opened: ${error}`,
      error,
    )
  }
}

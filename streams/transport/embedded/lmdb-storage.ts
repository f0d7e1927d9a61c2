/**
 * The embedded logs on LMDB.
 *
 * Durability: `write` resolves at LMDB's commit. A committed write survives kill -9 of the process, as its pages are in the
 * operating system's cache and LMDB opens the newest commit of the same boot. The flush to the disk follows in the
 * background (`overlappingSync`): a crash of the operating system or a power cut may lose the commits since the last flush
 * (typically well under a second), never the file's integrity. What it costs: a commit waits for the flush of the one
 * before, .5 - 2 ms one after the other on an ordinary disk against .1 ms without flushes (`noSync`, where a power cut
 * may damage the file); commits of one turn share a flush.
 *
 * One process: an owner is recorded inside LMDB under its own writer lock, so two starts at once can't both win. A
 * second live process is refused; the record of a dead one is taken over. Who only reads (`lmdbReader`) needs not own
 * anything: LMDB gives other processes the newest commit while one writes.
 */
import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { FreshetError, messageOf } from '../../errors.ts'
import { isRunning, type ProcessIdentity, thisProcess } from '../../process-identity.ts'
import type { Storage } from './storage.ts'

const OWNER = 'owner'
const ownedHere = new Set<string>()

/** Opens or makes the storage in `dir`. Errors: CALL_INVALID if another live process has it open. */
export function lmdbStorage(dir: string): Storage {
  mkdirSync(dir, { recursive: true })
  const home = realpathSync(dir)
  const path = join(home, 'log.lmdb')
  const root: RootDatabase<unknown, string> = open({ path, maxDbs: 4, maxReaders: 64 })
  const batches = root.openDB<Buffer, [number, number] | [number]>({
    name: 'batches',
    encoding: 'binary',
  })
  const documents = root.openDB<unknown, string>({ name: 'documents', encoding: 'json' })
  root.transactionSync(() => {
    const owner = documents.get(OWNER) as ProcessIdentity | undefined
    if (owner !== undefined && isLive(owner, home))
      throw new FreshetError(
        'CALL_INVALID',
        `the data directory ${home} is in use by process ${owner.pid}; stop that one first or name another directory`,
      )
    documents.putSync(OWNER, thisProcess())
  })
  ownedHere.add(home)

  let closing: Promise<void> | undefined
  return {
    document: name => documents.get(name),
    async write(changed, docs) {
      if (closing !== undefined) throw new FreshetError('CLOSED', `the log in ${home} is closed`)
      try {
        await root.batch(() => {
          for (const { log, baseOffset, bytes } of changed) {
            if (bytes === null) batches.remove([log, baseOffset])
            else batches.put([log, baseOffset], bytes)
          }
          for (const { name, value } of docs) {
            if (value === null) documents.remove(name)
            else documents.put(name, value)
          }
        })
      } catch (error) {
        throw new FreshetError(
          'DEPENDENCY_UNREACHABLE',
          `writing to the log in ${home} failed: ${messageOf(error)}. Is the disk full?`,
          error,
        )
      }
    },
    *scan(log, offset) {
      if (closing !== undefined) throw new FreshetError('CLOSED', `the log in ${home} is closed`)
      yield* scan(batches, log, offset)
    },
    close() {
      closing ??= (async () => {
        await documents.remove(OWNER)
        await root.flushed
        ownedHere.delete(home)
        await root.close()
      })()
      return closing
    },
  }
}

/**
 * The storage in `dir` for a process that only reads, also beside another one that owns it. Errors: CALL_INVALID where there is
 * none; of every write, too.
 */
export function lmdbReader(dir: string): Storage {
  const path = join(dir, 'log.lmdb')
  if (!existsSync(path))
    throw new FreshetError(
      'CALL_INVALID',
      `there is no embedded log in ${dir}: name the folder of a \`freshet demo\` or \`freshet run\` with --data, or Kafka with kafka.brokers`,
    )
  const root: RootDatabase<unknown, string> = open({
    path,
    maxDbs: 4,
    maxReaders: 64,
    readOnly: true,
  })
  const batches = root.openDB<Buffer, [number, number] | [number]>({
    name: 'batches',
    encoding: 'binary',
  })
  const documents = root.openDB<unknown, string>({ name: 'documents', encoding: 'json' })
  return {
    document: name => documents.get(name),
    async write() {
      throw new FreshetError('CALL_INVALID', `the log in ${dir} was opened to be read only`)
    },
    scan: (log, offset) => scan(batches, log, offset),
    close: () => root.close(),
  }
}

type Batches = Database<Buffer, [number, number] | [number]>

function* scan(batches: Batches, log: number, offset: number): Iterable<Buffer> {
  let from = offset
  for (const key of batches.getKeys({
    start: [log, offset],
    end: [log],
    reverse: true,
    limit: 1,
  }))
    from = key[1] ?? offset
  for (const { value } of batches.getRange({ start: [log, from], end: [log + 1] })) yield value
}

function isLive(owner: ProcessIdentity, home: string): boolean {
  return owner.pid === process.pid ? ownedHere.has(home) : isRunning(owner)
}

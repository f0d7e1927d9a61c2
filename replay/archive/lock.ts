/**
 * One writer at a time: the file `lock` in an archive's or a replay's folder names the process that has it. It comes into being with its
 * content (a hard link), so that nobody reads half of it. One whose process is gone, after a kill, is taken over; by one only,
 * as whoever does it holds `lock.takeover`.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { isRunning, type ProcessIdentity, thisProcess } from '../../streams/process-identity.ts'

export interface LockHolder extends ProcessIdentity {
  readonly host: string
  /** What it does: "archive", "erase", "replay". */
  readonly work: string
}

/**
 * Takes the lock and gives its release. `what` the folder is, for messages.
 * Errors: CALL_INVALID where another process has it.
 */
export function takeLock(dir: string, work: string, what = 'the archive'): () => void {
  try {
    mkdirSync(dir, { recursive: true })
  } catch (error) {
    throw new FreshetError(
      'CALL_INVALID',
      `the folder ${dir} can't be made: ${messageOf(error)}`,
      error,
    )
  }
  const lock = join(dir, 'lock')
  const me: LockHolder = { ...thisProcess(), host: hostname(), work }
  for (;;) {
    if (claim(lock, me, what)) return () => rmSync(lock, { force: true })
    const owner = ownerOf(lock)
    if (owner === undefined) continue
    if (isAlive(owner)) throw inUse(dir, owner, what)
    const takeover = join(dir, 'lock.takeover')
    if (!claim(takeover, me, what)) {
      const other = ownerOf(takeover)
      if (other === undefined) continue
      if (isAlive(other)) throw inUse(dir, other, what)
      throw new FreshetError(
        'CALL_INVALID',
        `process ${other.pid} died while it took ${what} ${dir} over: remove ${takeover} and ${lock}`,
      )
    }
    try {
      const still = ownerOf(lock)
      if (still !== undefined && !isAlive(still)) rmSync(lock, { force: true })
    } finally {
      rmSync(takeover, { force: true })
    }
  }
}

/** The process that has the folder's lock and still runs; undefined where none does. */
export function lockHolder(dir: string): LockHolder | undefined {
  const owner = ownerOf(join(dir, 'lock'))
  return owner !== undefined && isAlive(owner) ? owner : undefined
}

let claims = 0

function claim(path: string, owner: LockHolder, what: string): boolean {
  const candidate = `${path}.${owner.pid}.${claims++}`
  try {
    writeFileSync(candidate, JSON.stringify(owner))
    linkSync(candidate, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw new FreshetError(
      'DEPENDENCY_UNREACHABLE',
      `the lock of ${what}, ${path}, can't be written: ${messageOf(error)}`,
      error,
    )
  } finally {
    rmSync(candidate, { force: true })
  }
}

/** undefined: it is gone by now. */
function ownerOf(path: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockHolder
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new FreshetError('CALL_INVALID', `${path} is no lock of freshet's: remove it`, error)
  }
}

function isAlive(owner: LockHolder): boolean {
  // of another machine's processes nothing can be known
  return owner.host !== hostname() || isRunning(owner)
}

function inUse(dir: string, owner: LockHolder, what: string): FreshetError {
  const elsewhere =
    owner.host === hostname()
      ? 'stop that one first, or wait for it'
      : `stop that one first; if it is gone, remove ${join(dir, 'lock')}`
  return new FreshetError(
    'CALL_INVALID',
    `${what} ${dir} is being written by process ${owner.pid} on ${owner.host} (${owner.work}): ${elsewhere}`,
  )
}

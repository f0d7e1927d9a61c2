/**
 * What an archive asks of a file system, as a port: tests run the archive on one that dies at every call and forgets what
 * was not synced. Paths are relative to the archive's folder.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { FreshetError, messageOf } from '../../streams/errors.ts'

export interface AppendFile {
  write(bytes: Buffer): void
  sync(): Promise<void>
  /** May be repeated. */
  close(): void
}

export interface Disk {
  /** The folder, for messages. */
  readonly dir: string
  read(path: string): Buffer | undefined
  /** undefined where there is none. */
  size(path: string): number | undefined
  /** All files below the folder, however deep. */
  files(): string[]
  /** A new file; its folder is made. One that is there is replaced. */
  create(path: string): AppendFile
  truncate(path: string, bytes: number): Promise<void>
  rename(from: string, to: string): void
  remove(path: string): void
  /** Makes names in the file's folder last: of what was made, renamed or removed there. */
  syncFolderOf(path: string): Promise<void>
}

const fsyncAsync = promisify(fsync)

/** Whose folder it is and how its work goes on, for messages. */
interface Owner {
  readonly what: string
  readonly goesOn: string
}

interface Place extends Owner {
  readonly dir: string
}

const ARCHIVE: Owner = {
  what: 'the archive',
  goesOn: 'then call the same again; it goes on where its manifest stands',
}
export const REPLAY: Owner = {
  what: 'the replay',
  goesOn: 'then `freshet replay resume` goes on from its last checkpoint',
}

export function nodeDisk(dir: string, owner = ARCHIVE): Disk {
  const place: Place = { dir, ...owner }
  const at = (path: string): string => join(dir, path)
  const unsynced = new Set<string>()
  return {
    dir,
    read: path => guard(place, () => (existsSync(at(path)) ? readFileSync(at(path)) : undefined)),
    size: path => guard(place, () => statSync(at(path), { throwIfNoEntry: false })?.size),
    files: () =>
      guard(place, () =>
        readdirSync(dir, { recursive: true, withFileTypes: true })
          .filter(entry => entry.isFile())
          .map(entry => join(entry.parentPath, entry.name).slice(dir.length + 1)),
      ),
    create(path) {
      return guard(place, () => {
        const folder = dirname(path)
        if (mkdirSync(at(folder), { recursive: true }) !== undefined) unsynced.add(folder)
        return appendFile(place, openSync(at(path), 'w'))
      })
    },
    async truncate(path, bytes) {
      guard(place, () => truncateSync(at(path), bytes))
      await syncPath(place, at(path))
    },
    rename: (from, to) => guard(place, () => renameSync(at(from), at(to))),
    remove: path => guard(place, () => unlinkSync(at(path))),
    async syncFolderOf(path) {
      const folder = dirname(path)
      await syncPath(place, at(folder))
      if (!unsynced.delete(folder)) return
      // a new folder's own name stands in the one above
      for (let above = folder; above !== '.'; ) {
        above = dirname(above)
        await syncPath(place, at(above))
      }
    },
  }
}

function appendFile(place: Place, fd: number): AppendFile {
  let isClosed = false
  return {
    write(bytes) {
      guard(place, () => {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
      })
    },
    sync: () => guardAsync(place, () => fsyncAsync(fd)),
    close() {
      if (isClosed) return
      isClosed = true
      guard(place, () => closeSync(fd))
    },
  }
}

async function syncPath(place: Place, path: string): Promise<void> {
  await guardAsync(place, async () => {
    const fd = openSync(path, 'r')
    try {
      await fsyncAsync(fd)
    } catch (error) {
      // some file systems can't sync a folder
      if (!fstatSync(fd).isDirectory()) throw error
    } finally {
      closeSync(fd)
    }
  })
}

function guard<T>(place: Place, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw explain(place, error)
  }
}

async function guardAsync<T>(place: Place, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw explain(place, error)
  }
}

function explain({ dir, what, goesOn }: Place, error: unknown): FreshetError {
  const { code } = error as NodeJS.ErrnoException
  const full = code === 'ENOSPC' || code === 'EDQUOT'
  return new FreshetError(
    'DEPENDENCY_UNREACHABLE',
    full
      ? `the disk of ${what} ${dir} is full: make room, ${goesOn}`
      : `${what} ${dir} can't be read or written: ${messageOf(error)}`,
    error,
  )
}

/** Replaces a file whole: whoever reads it sees the old bytes or the new ones, also after a power cut. */
export async function replaceFile(disk: Disk, path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}${TEMPORARY}`
  const file = disk.create(temporary)
  try {
    file.write(bytes)
    await file.sync()
  } finally {
    file.close()
  }
  disk.rename(temporary, path)
  await disk.syncFolderOf(path)
}

export const TEMPORARY = '.tmp'

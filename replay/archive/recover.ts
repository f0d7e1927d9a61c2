/**
 * After a kill: what the manifest says is on the disk, and perhaps more. Open files are cut to what it says and get their names;
 * what a later checkpoint would have named is removed, since it will be made again.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { type Disk, TEMPORARY } from './disk.ts'
import { OPEN } from './file-writer.ts'
import { damaged, missing } from './format.ts'
import { rewritingOf } from './hours.ts'
import type { FileEntry, Manifest } from './manifest.ts'

/** The sha256 of a file's first `bytes`. */
async function sha256Of(disk: Disk, path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  if (bytes > 0) {
    const stream = createReadStream(join(disk.dir, path), {
      end: bytes - 1,
      highWaterMark: 1 << 20,
    })
    for await (const chunk of stream) hash.update(chunk as Buffer)
  }
  return hash.digest('hex')
}

/** Where the bytes of an entry are: an open file may have got its name without the manifest's knowing. */
export function pathOnDisk(disk: Disk, entry: FileEntry): string | undefined {
  if (entry.open && disk.size(`${entry.path}${OPEN}`) !== undefined) return `${entry.path}${OPEN}`
  return disk.size(entry.path) === undefined ? undefined : entry.path
}

/**
 * The manifest with its open files closed as they stand in it; to be written by the caller. May be repeated.
 * Errors: ARCHIVE_DAMAGED where one of them is not what the manifest says.
 */
export async function closeOpenFiles(disk: Disk, manifest: Manifest): Promise<Manifest> {
  const files: FileEntry[] = []
  for (const entry of manifest.files) {
    if (!entry.open) {
      files.push(entry)
      continue
    }
    const path = pathOnDisk(disk, entry)
    if (path === undefined) throw missing(entry.path)
    const size = disk.size(path) ?? 0
    if (size < entry.bytes)
      throw damaged(path, size, `it ends there, the manifest says ${entry.bytes} bytes`)
    if ((await sha256Of(disk, path, entry.bytes)) !== entry.sha256)
      throw damaged(path, 0, "its sha256 is not the manifest's")
    if (size > entry.bytes) await disk.truncate(path, entry.bytes)
    if (path !== entry.path) disk.rename(path, entry.path)
    await disk.syncFolderOf(entry.path)
    const { open: _, ...closed } = entry
    files.push(closed)
  }
  return { ...manifest, files }
}

export interface StrayFile {
  readonly path: string
  /**
   * replaced: another writing of a file that the manifest names, or one that retention removed. unnamed: behind all that the
   * manifest names. temporary: of a writing that was cut short. foreign: what else is there.
   */
  readonly kind: 'replaced' | 'unnamed' | 'temporary' | 'foreign'
}

/** What is in the archive's folders and not named by the manifest. */
export function strayFiles(disk: Disk, manifest: Manifest): StrayFile[] {
  const named = new Set<string>()
  const byRange = new Map<string, FileEntry>()
  for (const entry of manifest.files) {
    named.add(entry.path).add(`${entry.path}${OPEN}`)
    byRange.set(`${entry.topic}/${entry.partition}/${entry.from}`, entry)
  }
  const strays: StrayFile[] = []
  for (const path of disk.files()) {
    const kind = named.has(path) ? undefined : kindOf(path, manifest, byRange)
    if (kind !== undefined) strays.push({ path, kind })
  }
  return strays
}

function kindOf(
  path: string,
  manifest: Manifest,
  byRange: ReadonlyMap<string, FileEntry>,
): StrayFile['kind'] | undefined {
  if (path.endsWith(TEMPORARY)) return 'temporary'
  const found = /^([^/]+)\/(\d+)\/[\dT-]+-(\d{16,})(?:-e\d+)?\.avro(\.open)?$/.exec(path)
  if (found === null) return /\.avro(\.open)?$/.test(path) ? 'foreign' : undefined
  const [, topic, number, offset] = found
  const from = Number(offset)
  const known = manifest.topics.find(one => one.name === topic)
  const partition = known?.partitions.find(one => one.partition === Number(number))
  if (partition === undefined) return 'foreign'
  const entry = byRange.get(`${topic}/${number}/${from}`)
  if (entry !== undefined || from < partition.kept) return 'replaced'
  const last = lastFile(manifest, topic, Number(number))
  return from >= (last?.next ?? partition.kept) ? 'unnamed' : 'foreign'
}

function lastFile(manifest: Manifest, topic: string, partition: number): FileEntry | undefined {
  return manifest.files.findLast(file => file.topic === topic && file.partition === partition)
}

/**
 * Removes what interrupted runs left. `unnamed`: also what was written and not named yet; only once it is sure that the log
 * still has it.
 */
export async function clearLeftovers(
  disk: Disk,
  manifest: Manifest,
  unnamed: boolean,
): Promise<void> {
  const folders = new Map<string, string>()
  for (const { path, kind } of strayFiles(disk, manifest)) {
    if (kind === 'foreign' || (kind === 'unnamed' && !unnamed)) continue
    disk.remove(path)
    folders.set(path.slice(0, path.lastIndexOf('/') + 1), path)
  }
  for (const path of folders.values()) await disk.syncFolderOf(path)
}

/** The path of an entry's next writing. */
export function nextPath(entry: FileEntry): string {
  const rewriting = rewritingOf(entry.path) + 1
  return entry.path.replace(/(-e\d+)?\.avro$/, `-e${rewriting}.avro`)
}

/**
 * `freshet archive erase`: takes a user's records out of the files that hold some. Each of these is written anew under another
 * name; the manifest, replaced at once, names the new one; then the old one is removed. So at any point a reader finds every
 * file whole, and a call that was cut short goes on where it was. The offsets stay known, as erased.
 */
import { createHash, randomBytes } from 'node:crypto'
import { BLOCK_BYTES, BlockWriter, readBlock } from './blocks.ts'
import { type Disk, nodeDisk } from './disk.ts'
import { readFile } from './file-reader.ts'
import { type ArchivedRecord, encodeHeader, missing } from './format.ts'
import { takeLock } from './lock.ts'
import {
  type ErasureEntry,
  type FileEntry,
  type Manifest,
  manifestOf,
  writeManifest,
} from './manifest.ts'
import { addRange, type Range } from './ranges.ts'
import { clearLeftovers, closeOpenFiles, nextPath } from './recover.ts'

/** The manifest is written so often at most; what is not noted yet is looked through again after a kill. */
const CHECKPOINT_MS = 1_000

export interface EraseSettings {
  readonly dir: string
  readonly disk?: Disk
  /** Stands for the user in the manifest. */
  readonly pseudonym: string
  readonly keyId: string
  /** Short names: others are left as they are. */
  readonly topics: readonly string[]
  /** Is the record one of the user's? May have to ask for a schema first. */
  readonly isTheirs: (record: ArchivedRecord) => boolean | Promise<boolean>
  readonly now: () => number
  readonly onProgress?: (records: number, total: number) => void
}

export interface EraseReport {
  readonly manifest: Manifest
  readonly erasure: ErasureEntry
}

/** Errors: CALL_INVALID where there is no archive or another process writes to it; ARCHIVE_DAMAGED; DEPENDENCY_UNREACHABLE of the disk. */
export async function erase(settings: EraseSettings): Promise<EraseReport> {
  const disk = settings.disk ?? nodeDisk(settings.dir)
  manifestOf(disk)
  const release = takeLock(settings.dir, 'erase')
  try {
    return await eraseIn(disk, settings)
  } finally {
    release()
  }
}

async function eraseIn(disk: Disk, settings: EraseSettings): Promise<EraseReport> {
  const { pseudonym, keyId, topics, isTheirs, now } = settings
  const iso = (): string => new Date(now()).toISOString()
  let manifest = await closeOpenFiles(disk, manifestOf(disk))
  const others = manifest.erasures.filter(one => one.pseudonym !== pseudonym || one.done !== null)
  let erasure: ErasureEntry = manifest.erasures.find(
    one => one.pseudonym === pseudonym && one.done === null,
  ) ?? { pseudonym, keyId, asked: iso(), done: null, records: 0, files: 0, through: {} }
  const files = [...manifest.files]
  let replaced: string[] = []
  const write = async (): Promise<void> => {
    manifest = { ...manifest, updated: iso(), files: [...files], erasures: [...others, erasure] }
    await writeManifest(disk, manifest)
    for (const path of replaced) {
      disk.remove(path)
      await disk.syncFolderOf(path)
    }
    replaced = []
  }
  await write()
  await clearLeftovers(disk, manifest, false)

  const total = files.reduce(
    (sum, file) => sum + (topics.includes(file.topic) ? file.records : 0),
    0,
  )
  let done = 0
  let writtenAt = now()
  for (const [i, file] of files.entries()) {
    if (!topics.includes(file.topic)) continue
    const place = `${file.topic}/${file.partition}`
    if (file.next > (erasure.through[place] ?? 0)) {
      const rewritten = await rewrite(disk, file, isTheirs)
      if (rewritten !== undefined) {
        files[i] = rewritten
        replaced.push(file.path)
        const records = erasure.records + file.records - rewritten.records
        erasure = { ...erasure, records, files: erasure.files + 1 }
      }
      erasure = { ...erasure, through: { ...erasure.through, [place]: file.next } }
      if (now() - writtenAt >= CHECKPOINT_MS) {
        await write()
        writtenAt = now()
      }
    }
    done += file.records
    settings.onProgress?.(done, total)
  }
  // what was replaced is gone from the disk before it is said that all is done
  await write()
  erasure = { ...erasure, done: iso(), through: {} }
  await write()
  return { manifest, erasure }
}

/** The file without their records, under its next name; undefined: it has none of them. */
async function rewrite(
  disk: Disk,
  file: FileEntry,
  isTheirs: EraseSettings['isTheirs'],
): Promise<FileEntry | undefined> {
  const theirs = await offsetsOf(disk, file, isTheirs)
  if (theirs.size === 0) return undefined
  const content = await contentOf(disk, file)
  const path = nextPath(file)
  const header = { ...content.header, sync: randomBytes(16) }
  const hash = createHash('sha256')
  const block = new BlockWriter()
  const into = disk.create(path)
  let bytes = 0
  let erased: Range[] = [...file.erased]
  let run: Range | undefined
  let [earliest, latest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  let first: ArchivedRecord | undefined
  let last: ArchivedRecord | undefined
  let records = 0
  const write = (part: Buffer): void => {
    into.write(part)
    hash.update(part)
    bytes += part.length
  }
  try {
    write(encodeHeader(header))
    for await (const raw of content.blocks) {
      for (const record of readBlock(raw, header.codec, file)) {
        const { offset, timestamp, arrival, schemaId } = record
        if (theirs.has(offset)) {
          if (run?.[1] === offset) run = [run[0], offset + 1]
          else {
            if (run !== undefined) erased = addRange(erased, run)
            run = [offset, offset + 1]
          }
          continue
        }
        block.add(record, arrival, schemaId ?? -1)
        records++
        first ??= record
        last = record
        earliest = Math.min(earliest, timestamp)
        latest = Math.max(latest, timestamp)
        if (block.size >= BLOCK_BYTES) write(block.finish(header.codec, header.sync))
      }
    }
    if (run !== undefined) erased = addRange(erased, run)
    if (block.count > 0) write(block.finish(header.codec, header.sync))
    await into.sync()
  } finally {
    into.close()
    await content.close()
  }
  await disk.syncFolderOf(path)
  return {
    ...file,
    path,
    records,
    erased,
    timestamps: first === undefined ? null : [earliest, latest],
    arrivals: first === undefined || last === undefined ? null : [first.arrival, last.arrival],
    bytes,
    sha256: hash.digest('hex'),
  }
}

async function offsetsOf(
  disk: Disk,
  file: FileEntry,
  isTheirs: EraseSettings['isTheirs'],
): Promise<Set<number>> {
  const offsets = new Set<number>()
  const content = await contentOf(disk, file)
  try {
    for await (const raw of content.blocks)
      for (const record of readBlock(raw, content.header.codec, file)) {
        const found = isTheirs(record)
        if (found === true || (found !== false && (await found))) offsets.add(record.offset)
      }
  } finally {
    await content.close()
  }
  return offsets
}

async function contentOf(disk: Disk, file: FileEntry) {
  const content = await readFile(disk.dir, file.path, file.bytes)
  if (content === undefined) throw missing(file.path)
  return content
}

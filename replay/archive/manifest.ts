/**
 * The manifest: what an archive holds, as of its last checkpoint. It is written whole and replaced at once, so whatever it says
 * is on the disk: a file that it names has at least so many bytes, whose sha256 is that one. What it does not name is not part
 * of the archive. docs/archive.md says what each field means.
 */
import { z } from 'zod'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { type Disk, replaceFile } from './disk.ts'
import { codecs } from './format.ts'
import type { Range } from './ranges.ts'

const MANIFEST = 'manifest.json'
export const FORMAT = 'freshet-archive/1'

const whole = z.number().int()
const natural = whole.min(0)
/** A heavily erased archive has millions of ranges: zod takes microseconds for each. */
const ranges = z.custom<readonly Range[]>(
  given =>
    Array.isArray(given) &&
    given.every(one => Array.isArray(one) && one.length === 2 && 0 <= one[0] && one[0] < one[1]),
  'takes ranges of offsets',
)
const time = z.string()

const fileShape = z.object({
  path: z.string(),
  topic: z.string(),
  partition: natural,
  /** UTC, `2026-11-30T10`. */
  hour: z.string(),
  /** It answers for the offsets [from, next). */
  from: natural,
  next: natural,
  records: natural,
  /** Offsets of the range that the log did not have. */
  absent: natural,
  /** The first of these, at most MOST_GAPS ranges. */
  gaps: ranges,
  /** Offsets of the range whose records were erased. */
  erased: ranges,
  /** ms; null without records. */
  timestamps: z.tuple([whole, whole]).readonly().nullable(),
  arrivals: z.tuple([natural, natural]).readonly().nullable(),
  schemas: z.array(whole),
  bytes: natural,
  sha256: z.string(),
  /** It is still being written, under `<path>.open`: `bytes` and what else is said here hold, more may follow. */
  open: z.literal(true).optional(),
})

const partitionShape = z.object({
  partition: natural,
  /** The offset that the archive began at. */
  start: natural,
  /** The first offset that is still held: behind `start` where retention removed files. */
  kept: natural,
  /** All offsets below are dealt with; those behind the last file's end are known gaps. */
  next: natural,
  /** Offsets that the log had lost before they were archived, and the loss was accepted. */
  lost: ranges,
})

const topicShape = z.object({
  /** The short name, `events`: the folder's. */
  name: z.string(),
  /** As the cluster calls it. */
  topic: z.string(),
  /** Compaction removes records of it: gaps are its nature, and retention leaves its files. */
  compacted: z.boolean(),
  partitions: z.array(partitionShape),
})

const schemaShape = z.object({
  id: whole,
  /** missing: the registry answered that it has no such id. pending: it did not answer yet. */
  state: z.enum(['known', 'missing', 'pending']),
  /** Of schemas/<id>.json. */
  sha256: z.string().optional(),
})

const erasureShape = z.object({
  /** Of the user, with the key that `keyId` names. */
  pseudonym: z.string(),
  keyId: z.string(),
  asked: time,
  /** null: it was cut short; the same call goes on. */
  done: time.nullable(),
  records: natural,
  files: natural,
  /** By `topic/partition`, until it is done: files up to this offset have been looked through. */
  through: z.record(z.string(), natural),
})

const retentionShape = z.object({
  topic: z.string(),
  partition: natural,
  /** Sums over all removals. */
  files: natural,
  records: natural,
  /** The end of the last removed file, and when. */
  before: natural,
  at: time,
})

const manifestShape = z.object({
  format: z.literal(FORMAT),
  id: z.string(),
  created: time,
  updated: time,
  /** What `--from` was. */
  from: z.string(),
  codec: z.enum(codecs),
  nextArrival: natural,
  topics: z.array(topicShape),
  schemas: z.array(schemaShape),
  erasures: z.array(erasureShape),
  retention: z.array(retentionShape),
  files: z.array(fileShape),
})

export type FileEntry = z.infer<typeof fileShape>
export type PartitionEntry = z.infer<typeof partitionShape>
export type SchemaEntry = z.infer<typeof schemaShape>
export type ErasureEntry = z.infer<typeof erasureShape>
/** Sorted: files by topic (in the order of `topics`), partition, offset. */
export type Manifest = z.infer<typeof manifestShape>

/** Ranges of gaps that are listed a file; a compacted topic may have as many as records. */
export const MOST_GAPS = 100

/** undefined where there is none. Errors: ARCHIVE_DAMAGED. */
export function readManifest(disk: Disk): Manifest | undefined {
  const bytes = disk.read(MANIFEST)
  if (bytes === undefined) return undefined
  let given: unknown
  try {
    given = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw broken(disk, `it is not JSON (${messageOf(error)})`, error)
  }
  const parsed = manifestShape.safeParse(given)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]
  throw broken(disk, `${path.join('.')}: ${message}`, parsed.error)
}

function broken(disk: Disk, what: string, cause: unknown): FreshetError {
  return new FreshetError(
    'ARCHIVE_DAMAGED',
    `${disk.dir}/${MANIFEST} is damaged: ${what}; put it back from a copy: without it nobody knows what the archive holds`,
    cause,
  )
}

/** Errors: CALL_INVALID where the folder is no archive; ARCHIVE_DAMAGED. */
export function manifestOf(disk: Disk): Manifest {
  const manifest = readManifest(disk)
  if (manifest !== undefined) return manifest
  throw new FreshetError(
    'CALL_INVALID',
    `${disk.dir} is no archive: it has no ${MANIFEST}; \`freshet archive --to DIR\` makes one`,
  )
}

/** A file's text never changes once it is closed: it is made once. */
const texts = new WeakMap<FileEntry, string>()

function textOf(entry: FileEntry): string {
  const known = texts.get(entry)
  if (known !== undefined) return known
  const text = JSON.stringify(entry)
  texts.set(entry, text)
  return text
}

/** Entries of files are never changed in place: a changed one is another object. */
export async function writeManifest(disk: Disk, manifest: Manifest): Promise<void> {
  const { files, ...rest } = manifest
  const head = JSON.stringify(rest, null, 1).slice(0, -2)
  const text = `${head},\n "files": [\n${files.map(textOf).join(',\n')}\n ]\n}\n`
  await replaceFile(disk, MANIFEST, Buffer.from(text))
}

/** The files of one partition, in order of offset. */
export function filesOf(manifest: Manifest, topic: string, partition: number): FileEntry[] {
  return manifest.files.filter(file => file.topic === topic && file.partition === partition)
}

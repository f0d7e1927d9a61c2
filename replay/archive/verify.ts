/**
 * `freshet archive verify`: is everything there that the manifest names, as it names it, and does every offset between the archive's
 * beginning and its end stand in exactly one file or is known not to be on the log? Reads every byte once; changes nothing.
 */
import { createHash } from 'node:crypto'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import { readBlock } from './blocks.ts'
import { type Disk, nodeDisk } from './disk.ts'
import { type FileContent, foreignness, readFile } from './file-reader.ts'
import type { ArchivedRecord } from './format.ts'
import {
  type FileEntry,
  filesOf,
  type Manifest,
  manifestOf,
  type PartitionEntry,
} from './manifest.ts'
import { countOf, type Range, rangesText } from './ranges.ts'
import { pathOnDisk, strayFiles } from './recover.ts'
import { readSchema } from './schemas.ts'

export const faultKinds = [
  'missing',
  'damaged',
  'count',
  'gap',
  'overlap',
  'foreign',
  'leftover',
  'schema',
  'lost',
  'erasure',
] as const

/**
 * missing: a file that is not there. damaged: one with other bytes, or that can't be read. count: one that does not hold what the
 * manifest says. gap, overlap: offsets in no file, or in two. foreign: a file of another archive, topic, partition or partition
 * count. leftover: what a killed erasure or retention left, which the next call removes. schema: one that is not there. lost:
 * offsets that the log had lost. erasure: one that was cut short.
 */
export interface Fault {
  readonly kind: (typeof faultKinds)[number]
  readonly path?: string
  readonly message: string
}

export interface PartitionReport {
  readonly topic: string
  readonly partition: number
  readonly files: number
  /** Offsets [start, next) were archived; [kept, next) are held. */
  readonly start: number
  readonly kept: number
  readonly next: number
  readonly records: number
  /** Offsets that the log did not have: compaction, aborted transactions, control records. */
  readonly absent: number
  readonly erased: number
  readonly compacted: boolean
}

export interface VerifyReport {
  readonly ok: boolean
  readonly archive: string
  readonly files: number
  readonly records: number
  readonly bytes: number
  readonly partitions: readonly PartitionReport[]
  readonly faults: readonly Fault[]
  /** What is no fault, and worth knowing. */
  readonly notes: readonly string[]
}

/** Errors: CALL_INVALID where there is no archive; ARCHIVE_DAMAGED where its manifest can't be read. */
export async function verify(
  dir: string,
  onProgress?: (records: number, total: number) => void,
): Promise<VerifyReport> {
  const disk = nodeDisk(dir)
  const manifest = manifestOf(disk)
  const faults: Fault[] = []
  const notes: string[] = []
  const total = manifest.files.reduce((sum, file) => sum + file.records, 0)
  let records = 0
  for (const entry of manifest.files) {
    faults.push(...(await checkFile(disk, manifest, entry)))
    records += entry.records
    onProgress?.(records, total)
  }
  const partitions: PartitionReport[] = []
  for (const { name, compacted, partitions: places } of manifest.topics)
    for (const place of places) {
      const files = filesOf(manifest, name, place.partition)
      faults.push(...continuity(`${name}-${place.partition}`, place, files))
      partitions.push(reportOf(name, compacted, place, files))
    }
  faults.push(...schemaFaults(disk, manifest, notes), ...erasureFaults(manifest))
  faults.push(...(await strayFaults(disk, manifest, notes)))
  const holed = new Set(
    partitions.flatMap(one => (one.compacted && one.absent > 0 ? [one.topic] : [])),
  )
  if (holed.size > 0)
    notes.push(
      `${[...holed].join(', ')}: compacted, so gaps are their nature: what was replaced had left the log`,
    )
  return {
    ok: faults.length === 0,
    archive: manifest.id,
    files: manifest.files.length,
    records: total,
    bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
    partitions,
    faults,
    notes,
  }
}

async function checkFile(disk: Disk, manifest: Manifest, entry: FileEntry): Promise<Fault[]> {
  const { path } = entry
  const found = pathOnDisk(disk, entry)
  if (found === undefined)
    return [{ kind: 'missing', path, message: `${path} is missing: ${whatItHolds(entry)}` }]
  const size = disk.size(found) ?? 0
  if (size !== entry.bytes && !(entry.open && size > entry.bytes))
    return [
      {
        kind: 'damaged',
        path,
        message: `${path} has ${size} bytes, the manifest says ${entry.bytes}`,
      },
    ]
  const hash = createHash('sha256')
  let content: FileContent | undefined
  try {
    content = await readFile(disk.dir, found, entry.bytes, bytes => hash.update(bytes))
    if (content === undefined)
      return [{ kind: 'missing', path, message: `${path} went missing while it was checked` }]
    const foreign = foreignness(manifest, entry, content)
    if (foreign !== undefined) return [{ kind: 'foreign', path, message: `${path}: ${foreign}` }]
    const counted = new Recount(entry)
    for await (const block of content.blocks)
      for (const record of readBlock(block, content.header.codec, entry)) counted.add(record)
    if (hash.digest('hex') !== entry.sha256)
      return [{ kind: 'damaged', path, message: `${path}: its sha256 is not the manifest's` }]
    return counted.faults()
  } catch (error) {
    if (error instanceof FreshetError) return [{ kind: 'damaged', path, message: error.message }]
    throw error
  } finally {
    await content?.close()
  }
}

const whatItHolds = ({ topic, partition, from, next, records }: FileEntry): string =>
  `${records} records of ${topic}-${partition}, offsets ${from} to ${next - 1}`

/** Counts a file's records anew, to be compared with what the manifest says. */
class Recount {
  private readonly entry: FileEntry
  private records = 0
  private last: number
  private missing = 0
  private earliest = Number.POSITIVE_INFINITY
  private latest = Number.NEGATIVE_INFINITY
  private firstArrival = -1
  private lastArrival = -1
  private disorder: string | undefined

  constructor(entry: FileEntry) {
    this.entry = entry
    this.last = entry.from - 1
  }

  add({ offset, timestamp, arrival }: ArchivedRecord): void {
    if (offset <= this.last) this.disorder ??= `offset ${offset} stands behind ${this.last}`
    if (arrival <= this.lastArrival)
      this.disorder ??= `arrival ${arrival} of offset ${offset} stands behind ${this.lastArrival}`
    this.missing += offset - this.last - 1
    this.last = offset
    this.lastArrival = arrival
    if (this.records++ === 0) this.firstArrival = arrival
    if (timestamp < this.earliest) this.earliest = timestamp
    if (timestamp > this.latest) this.latest = timestamp
  }

  faults(): Fault[] {
    const { path, from, next, records, absent, erased, timestamps, arrivals } = this.entry
    const fault = (what: string): Fault[] => [{ kind: 'count', path, message: `${path}: ${what}` }]
    if (this.disorder !== undefined) return fault(this.disorder)
    if (this.records !== records)
      return fault(`it holds ${this.records} records, the manifest says ${records}`)
    if (this.last >= next)
      return fault(`it holds offset ${this.last} and answers up to ${next - 1}`)
    const missing = this.missing + next - 1 - this.last
    if (missing !== absent + countOf(erased))
      return fault(
        `${missing} offsets of ${from} to ${next - 1} are not in it; ${absent} were not on the log, ${countOf(erased)} were erased`,
      )
    const [earliest, latest] = timestamps ?? [this.earliest, this.latest]
    const [firstArrival, lastArrival] = arrivals ?? [this.firstArrival, this.lastArrival]
    if (earliest !== this.earliest || latest !== this.latest)
      return fault('its times are not those of the manifest')
    if (firstArrival !== this.firstArrival || lastArrival !== this.lastArrival)
      return fault('its arrivals are not those of the manifest')
    return []
  }
}

/** Do a partition's files follow each other without a hole? */
export function continuity(
  name: string,
  place: PartitionEntry,
  files: readonly FileEntry[],
): Fault[] {
  const faults: Fault[] = []
  let next = place.kept
  for (const file of files) {
    const { path, from } = file
    if (from < next)
      faults.push({
        kind: 'overlap',
        path,
        message: `${path}: the offsets ${from} to ${Math.min(next, file.next) - 1} of ${name} stand in another file too`,
      })
    else if (from > next && !isAccounted(place.lost, next, from))
      faults.push({
        kind: 'gap',
        path,
        message: `${name} has no file for the offsets ${next} to ${from - 1}`,
      })
    next = Math.max(next, file.next)
  }
  if (next > place.next)
    faults.push({
      kind: 'overlap',
      message: `${name} has files up to offset ${next - 1}, and was archived up to ${place.next - 1}`,
    })
  if (place.lost.length > 0)
    faults.push({
      kind: 'lost',
      message: `${name}: the offsets ${rangesText(place.lost)} had left the log before they were archived (accepted with --accept-loss)`,
    })
  return faults
}

/** A hole whose end was lost, and what lies before that was found not to be on the log. */
const isAccounted = (lost: readonly Range[], from: number, next: number): boolean =>
  lost.some(range => range[1] === next && range[0] >= from)

function reportOf(
  topic: string,
  compacted: boolean,
  { partition, start, kept, next, lost }: PartitionEntry,
  files: readonly FileEntry[],
): PartitionReport {
  const records = files.reduce((sum, file) => sum + file.records, 0)
  const erased = files.reduce((sum, file) => sum + countOf(file.erased), 0)
  const absent = next - kept - records - erased - countOf(lost.filter(one => one[0] >= kept))
  return {
    topic,
    partition,
    files: files.length,
    start,
    kept,
    next,
    records,
    absent,
    erased,
    compacted,
  }
}

function schemaFaults(disk: Disk, manifest: Manifest, notes: string[]): Fault[] {
  const faults: Fault[] = []
  const listed = new Map(manifest.schemas.map(entry => [entry.id, entry]))
  const needed = new Set(manifest.files.flatMap(file => file.schemas))
  const missing: number[] = []
  for (const id of needed) {
    const entry = listed.get(id)
    if (entry?.state === 'missing') missing.push(id)
    else if (entry?.state !== 'known')
      faults.push({
        kind: 'schema',
        message: `schema ${id} was not fetched yet: call \`freshet archive\` again while the registry answers`,
      })
  }
  for (const entry of manifest.schemas) {
    if (entry.state !== 'known') continue
    try {
      readSchema(disk, entry)
    } catch (error) {
      faults.push({ kind: 'schema', message: messageOf(error) })
    }
  }
  if (missing.length > 0)
    notes.push(
      `the registry had no schema ${missing.slice(0, 10).join(', ')}${missing.length > 10 ? ` and ${missing.length - 10} more` : ''}: records with these ids were dead letters already`,
    )
  return faults
}

const erasureFaults = (manifest: Manifest): Fault[] =>
  manifest.erasures
    .filter(({ done }) => done === null)
    .map(({ pseudonym, asked }) => ({
      kind: 'erasure' as const,
      message: `the erasure of ${pseudonym.slice(0, 12)}... asked for at ${asked} was cut short: call it again`,
    }))

async function strayFaults(disk: Disk, manifest: Manifest, notes: string[]): Promise<Fault[]> {
  const faults: Fault[] = []
  let unfinished = 0
  for (const { path, kind } of strayFiles(disk, manifest)) {
    if (kind === 'replaced')
      faults.push({
        kind: 'leftover',
        path,
        message: `${path} was replaced or removed, and is still there: a call was cut short (or is under way); the next \`freshet archive\` or \`archive erase\` removes it`,
      })
    else if (kind === 'foreign')
      faults.push({
        kind: 'foreign',
        path,
        message: `${path} is not in the manifest: ${await selfDescription(disk, path)}`,
      })
    else unfinished++
  }
  if (unfinished > 0)
    notes.push(
      `${unfinished} file${unfinished === 1 ? ' is' : 's are'} newer than the manifest: a run is under way or was cut short; the next one makes ${unfinished === 1 ? 'it' : 'them'} anew`,
    )
  return faults
}

async function selfDescription(disk: Disk, path: string): Promise<string> {
  try {
    const content = await readFile(disk.dir, path, disk.size(path) ?? 0)
    if (content === undefined) return 'it is gone by now'
    await content.close()
    const { archive, topic, partition, partitions, from } = content.header
    return `it says of itself that it is ${topic}-${partition} of ${partitions}, from offset ${from}, of archive ${archive}`
  } catch (error) {
    return messageOf(error)
  }
}

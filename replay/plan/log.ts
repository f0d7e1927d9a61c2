/** What a plan asks of the log that a replay is to read: the live topics, or an archive. Nothing is made or changed. */
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { LogRecord, Transport } from '../../streams/transport/port.ts'
import { type Disk, nodeDisk } from '../archive/disk.ts'
import { damaged, missing } from '../archive/format.ts'
import { type FileEntry, filesOf } from '../archive/manifest.ts'
import type { Range } from '../archive/ranges.ts'
import type { ArchiveReader } from '../archive/reader.ts'
import { pathOnDisk } from '../archive/recover.ts'
import { refuseHoles } from '../source/archive.ts'

export interface Extent {
  /** The first offset that is held, and one past the last. */
  readonly start: number
  readonly end: number
  /** Offsets within that are known to be missing. */
  readonly lost: readonly Range[]
  /** All records from this time on (ms) are held, although the log had older ones; undefined: not known. */
  readonly wholeFromMs?: number
}

export interface Measured {
  /** Where they are not counted, as many as offsets. */
  readonly records: number
  /** Of keys and values, or of an archive's files; about. */
  readonly bytes: number
  /** The first and the last record's timestamp, ms; null where there is none. */
  readonly firstMs: number | null
  readonly lastMs: number | null
}

export interface PlannedLog {
  /** For messages: 'the log', 'the archive /backup'. */
  readonly what: string
  /** By partition; undefined: there is no such topic (short name). Errors: ARCHIVE_DAMAGED. */
  extents(topic: string): Promise<readonly Extent[] | undefined>
  /** The first record at or after `ms`; the end where there is none. */
  offsetAt(topic: string, partition: number, ms: number): Promise<number>
  measure(topic: string, partition: number, range: Range): Promise<Measured>
}

const NOTHING: Measured = { records: 0, bytes: 0, firstMs: null, lastMs: null }
/** Looked at from a range's start and before its end. */
const SAMPLE_BYTES = 256 << 10
const TAIL_OFFSETS = 200

export function liveLog(transport: Transport, names: TopicNames): PlannedLog {
  return {
    what: 'the log',
    async extents(topic) {
      const name = names.outside(topic)
      const found = (await transport.topics.describe([name])).get(name)
      if (found === undefined) return undefined
      const bounds = await transport.topics.offsets(
        Array.from({ length: found.partitions }, (_, partition) => ({ topic: name, partition })),
      )
      return bounds.map(({ start, end }) => ({ start, end, lost: [] }))
    },
    offsetAt: (topic, partition, ms) =>
      transport.topics.offsetAt({ topic: names.outside(topic), partition }, ms),
    async measure(topic, partition, [from, to]) {
      if (to <= from) return NOTHING
      const look = async (offset: number): Promise<LogRecord[]> => {
        const { batches } = await transport.read(
          { topic: names.outside(topic), partition },
          offset,
          { maxBytes: SAMPLE_BYTES, maxWaitMs: 500 },
        )
        return batches.flatMap(({ records }) => records.filter(one => one.offset < to))
      }
      const head = await look(from)
      const tail = to - from <= head.length ? head : await look(Math.max(from, to - TAIL_OFFSETS))
      const sample = [...head, ...tail]
      const bytes = sample.reduce((sum, one) => sum + sizeOf(one), 0)
      return {
        records: to - from,
        bytes: sample.length === 0 ? 0 : Math.round((bytes / sample.length) * (to - from)),
        firstMs: head[0]?.timestamp ?? null,
        lastMs: tail.at(-1)?.timestamp ?? null,
      }
    },
  }
}

const sizeOf = ({ key, value }: LogRecord): number => (key?.length ?? 0) + (value?.length ?? 0)

/** Errors: ARCHIVE_DAMAGED. */
export function archivedLog(reader: ArchiveReader, dir: string): PlannedLog {
  const { manifest } = reader
  reader.schemas() // those that are damaged are refused before anything is written
  const beganMs = Date.parse(manifest.from)
  return {
    what: `the archive ${dir}`,
    async extents(topic) {
      return manifest.topics
        .find(({ name }) => name === topic)
        ?.partitions.map(({ partition, start, kept, next, lost }) => {
          refuseHoles(manifest, topic, partition)
          for (const file of filesOf(manifest, topic, partition)) refuseMissing(nodeDisk(dir), file)
          return {
            start: kept,
            end: next,
            lost,
            // it began at that time, and still has its beginning
            wholeFromMs: kept === start && !Number.isNaN(beganMs) ? beganMs : undefined,
          }
        })
    },
    async offsetAt(topic, partition, ms) {
      const range = { topics: [topic], partitions: [partition], fromMs: ms }
      for await (const [first] of reader.read(range)) return first.offset
      return endOf(reader, topic, partition)
    },
    async measure(topic, partition, [from, to]) {
      const place = { topics: [topic], partitions: [partition] }
      const files = manifest.files.filter(
        file =>
          file.topic === topic &&
          file.partition === partition &&
          file.next > from &&
          file.from < to,
      )
      if (to <= from || files.length === 0) return NOTHING
      let [records, bytes] = [0, 0]
      for (const file of files) {
        const share =
          (Math.min(file.next, to) - Math.max(file.from, from)) / Math.max(1, file.next - file.from)
        records += file.records * share
        bytes += file.bytes * share
      }
      let firstMs: number | null = null
      for await (const [first] of reader.read({ ...place, offsets: () => ({ from, to }) })) {
        firstMs = first.timestamp
        break
      }
      const last = files[files.length - 1]
      return {
        records: Math.round(records),
        bytes: Math.round(bytes),
        firstMs,
        lastMs: await lastBefore(reader, last, Math.max(from, last.from), to),
      }
    },
  }
}

/** Errors: ARCHIVE_DAMAGED where the file is not there, or shorter than it should be. */
function refuseMissing(disk: Disk, file: FileEntry): void {
  const path = pathOnDisk(disk, file)
  if (path === undefined) throw missing(file.path)
  const size = disk.size(path) ?? 0
  if (size < file.bytes)
    throw damaged(path, size, `it ends there, the manifest says ${file.bytes} bytes`)
}

const endOf = ({ manifest }: ArchiveReader, topic: string, partition: number): number =>
  manifest.topics
    .find(({ name }) => name === topic)
    ?.partitions.find(one => one.partition === partition)?.next ?? 0

/** Of a file of which some is read: its last record before `to`. */
async function lastBefore(
  reader: ArchiveReader,
  file: FileEntry,
  from: number,
  to: number,
): Promise<number | null> {
  if (file.next <= to && file.timestamps !== null) return file.timestamps[1]
  const { topic, partition } = file
  let last: number | null = null
  const range = { topics: [topic], partitions: [partition], offsets: () => ({ from, to }) }
  for await (const run of reader.read(range)) last = run.at(-1)?.timestamp ?? last
  return last
}

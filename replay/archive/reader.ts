/**
 * Reads an archive as a replay wants it: records of some topics and partitions, over a range of time or offsets, merged in the
 * recorded order. Memory is flat: a block unpacked and two parts of a file for each partition.
 *
 *  - R1 The order is the archive's own (`arrival`), so two replays of one archive see the same sequence, whatever the range or
 *       choice of partitions: leaving some out changes nothing for the others.
 *  - R2 Within a partition it is the order of offsets.
 *  - R3 What is damaged ends the reading with ARCHIVE_DAMAGED; nothing is passed over.
 */
import type { SchemaSource } from '../../schemas/index.ts'
import { readBlock } from './blocks.ts'
import { type Disk, nodeDisk } from './disk.ts'
import { type FileContent, foreignness, readFile } from './file-reader.ts'
import { type ArchivedRecord, type Codec, damaged } from './format.ts'
import { type FileEntry, filesOf, type Manifest, manifestOf } from './manifest.ts'
import { type Head, Heads } from './merge.ts'
import { pathOnDisk } from './recover.ts'
import { archivedSchemas } from './schemas.ts'

/** Records handed over at a time, about. */
const RUN_RECORDS = 1024

export interface ReadRange {
  /** Short names; all where left out. */
  readonly topics?: readonly string[]
  readonly partitions?: readonly number[]
  /** Of the record's timestamp, in ms: [from, to). */
  readonly fromMs?: number
  readonly toMs?: number
  /** Where to begin and end in a partition: offsets [from, to). To go on after a stop, give one past the last. */
  readonly offsets?: (topic: string, partition: number) => { from?: number; to?: number }
  /**
   * `recorded` (the default): as the archive took them. `timestamp`: of the partitions' next records the oldest first, as it would
   * take them from a log that is all there; the same unless the archive met a partition's records late.
   */
  readonly order?: 'recorded' | 'timestamp'
}

export class ArchiveReader {
  /** As of the opening, or the last `refresh`. */
  manifest: Manifest
  private readonly disk: Disk

  private constructor(disk: Disk, manifest: Manifest) {
    this.disk = disk
    this.manifest = manifest
  }

  /** Errors: CALL_INVALID where there is none, ARCHIVE_DAMAGED. */
  static open(dir: string): ArchiveReader {
    const disk = nodeDisk(dir)
    return new ArchiveReader(disk, manifestOf(disk))
  }

  /** Sees what was archived since. */
  refresh(): void {
    this.manifest = manifestOf(this.disk)
  }

  /** The archive's own schemas; `other` is asked for ids that it does not have. */
  schemas(other?: SchemaSource): SchemaSource {
    return archivedSchemas(this.disk, this.manifest, other)
  }

  /** What `read` will meet at most: whole files that overlap the range. */
  size(range: ReadRange): { records: number; bytes: number; files: number } {
    let records = 0
    let bytes = 0
    let files = 0
    for (const { name, partition } of this.places(range))
      for (const file of this.filesIn(name, partition, range)) {
        records += file.records
        bytes += file.bytes
        files++
      }
    return { records, bytes, files }
  }

  /** Runs of records, never empty. Views into the file's bytes: copy what is kept for long. Errors: ARCHIVE_DAMAGED. */
  async *read(range: ReadRange = {}): AsyncGenerator<ArchivedRecord[]> {
    const byTime = range.order === 'timestamp'
    const heads = new Heads<Cursor>()
    const cursors = this.places(range).map(
      ({ name, partition }, rank) =>
        new Cursor(this.disk, this.manifest, this.filesIn(name, partition, range), {
          rank,
          byTime,
          keep: keeps(range, name, partition),
        }),
    )
    try {
      if (cursors.length === 1) {
        // nothing to merge: blocks as they are, a tenth less time
        while (await cursors[0].find()) yield cursors[0].records
        return
      }
      for (const cursor of cursors) if (await cursor.find()) heads.push(cursor)
      let run: ArchivedRecord[] = []
      for (let top = heads.top; top !== undefined; top = heads.top) {
        const { records } = top
        if (byTime)
          do run.push(records[top.index++])
          while (top.index < records.length && heads.stays(records[top.index].timestamp))
        else
          do run.push(records[top.index++])
          while (top.index < records.length && heads.stays(records[top.index].arrival))
        if (top.index < records.length) {
          top.mark()
          heads.sink()
        } else if (await top.find()) heads.sink()
        else heads.pop()
        if (run.length >= RUN_RECORDS) {
          yield run
          run = []
        }
      }
      if (run.length > 0) yield run
    } finally {
      for (const cursor of cursors) await cursor.close()
    }
  }

  private places({ topics, partitions }: ReadRange): { name: string; partition: number }[] {
    return this.manifest.topics
      .filter(({ name }) => topics?.includes(name) ?? true)
      .flatMap(topic => topic.partitions.map(({ partition }) => ({ name: topic.name, partition })))
      .filter(({ partition }) => partitions?.includes(partition) ?? true)
  }

  private filesIn(topic: string, partition: number, range: ReadRange): FileEntry[] {
    const { fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY } = range
    const { from = 0, to = Number.POSITIVE_INFINITY } = range.offsets?.(topic, partition) ?? {}
    return filesOf(this.manifest, topic, partition).filter(
      ({ timestamps, from: first, next }) =>
        timestamps !== null &&
        timestamps[1] >= fromMs &&
        timestamps[0] < toMs &&
        next > from &&
        first < to,
    )
  }
}

/** undefined: all. */
function keeps(
  range: ReadRange,
  topic: string,
  partition: number,
): ((record: ArchivedRecord) => boolean) | undefined {
  const { fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY } = range
  const { from = 0, to = Number.POSITIVE_INFINITY } = range.offsets?.(topic, partition) ?? {}
  const isAll =
    fromMs === Number.NEGATIVE_INFINITY &&
    toMs === Number.POSITIVE_INFINITY &&
    from === 0 &&
    to === Number.POSITIVE_INFINITY
  if (isAll) return undefined
  return ({ timestamp, offset }) =>
    timestamp >= fromMs && timestamp < toMs && offset >= from && offset < to
}

/** The records of one partition, block after block. */
class Cursor implements Head {
  key = 0
  readonly rank: number
  records: ArchivedRecord[] = []
  index = 0
  private readonly disk: Disk
  private readonly manifest: Manifest
  private readonly files: readonly FileEntry[]
  private readonly byTime: boolean
  private readonly keep: ((record: ArchivedRecord) => boolean) | undefined
  private nextFile = 0
  private file: { entry: FileEntry; content: FileContent } | undefined

  constructor(
    disk: Disk,
    manifest: Manifest,
    files: readonly FileEntry[],
    options: {
      readonly rank: number
      readonly byTime: boolean
      readonly keep: ((record: ArchivedRecord) => boolean) | undefined
    },
  ) {
    this.disk = disk
    this.manifest = manifest
    this.files = files
    this.rank = options.rank
    this.byTime = options.byTime
    this.keep = options.keep
  }

  mark(): void {
    const record = this.records[this.index]
    this.key = this.byTime ? record.timestamp : record.arrival
  }

  /** Goes to the next block that has records in the range; false: there is none. */
  async find(): Promise<boolean> {
    for (;;) {
      if (this.file === undefined && !(await this.openNext())) return false
      const { entry, content } = this.file as { entry: FileEntry; content: FileContent }
      const { done, value: block } = await content.blocks.next()
      if (done) {
        await this.close()
        continue
      }
      const records = readBlock(block, content.header.codec as Codec, entry)
      this.records = this.keep === undefined ? records : records.filter(this.keep)
      this.index = 0
      if (this.records.length === 0) continue
      this.mark()
      return true
    }
  }

  async close(): Promise<void> {
    await this.file?.content.close()
    this.file = undefined
  }

  private async openNext(): Promise<boolean> {
    const entry = this.files[this.nextFile++]
    if (entry === undefined) return false
    const { dir } = this.disk
    // it may get its name between the look and the opening
    const path = pathOnDisk(this.disk, entry) ?? entry.path
    const content =
      (await readFile(dir, path, entry.bytes)) ?? (await readFile(dir, entry.path, entry.bytes))
    if (content === undefined)
      throw damaged(
        entry.path,
        0,
        'it is missing: was the archive changed (an erasure, retention) while it was read?',
      )
    const foreign = foreignness(this.manifest, entry, content)
    if (foreign !== undefined) {
      await content.close()
      throw damaged(entry.path, 0, foreign)
    }
    this.file = { entry, content }
    return true
  }
}

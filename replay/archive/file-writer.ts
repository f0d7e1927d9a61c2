/**
 * Writes one file: blocks are appended to `<path>.open`; what a checkpoint may say of it is what was flushed before. `finish`
 * gives it its name once it is on the disk.
 */
import { createHash, type Hash, randomBytes } from 'node:crypto'
import type { LogRecord } from '../../streams/transport/port.ts'
import { BLOCK_BYTES, type BlockWriter, schemaIdOf } from './blocks.ts'
import type { AppendFile, Disk } from './disk.ts'
import { encodeHeader, type FileHeader } from './format.ts'
import { type FileEntry, MOST_GAPS } from './manifest.ts'
import type { Range } from './ranges.ts'

export const OPEN = '.open'
/** Ids of one file that are noted: more are no schemas, but values that begin with 0 by chance. */
const MOST_SCHEMAS = 1000

export class FileWriter {
  /** The end of what it answers for: one past the last record. */
  next: number
  /** Bytes written and not yet synced. */
  private unsynced = 0
  records = 0
  /** Uncompressed, with what waits in the block. */
  plainBytes = 0
  private absent = 0
  private readonly gaps: Range[] = []
  private readonly schemas = new Set<number>()
  private lastSchema = -1
  private firstArrival = 0
  private lastArrival = 0
  private earliest = Number.POSITIVE_INFINITY
  private latest = Number.NEGATIVE_INFINITY
  private bytes = 0
  private readonly hash: Hash = createHash('sha256')
  private readonly block: BlockWriter
  private readonly file: AppendFile
  private readonly disk: Disk
  readonly path: string
  private readonly hour: string
  private readonly header: FileHeader

  /** `block`: one may serve the files of a partition one after the other. */
  constructor(
    disk: Disk,
    path: string,
    hour: string,
    header: Omit<FileHeader, 'sync'>,
    block: BlockWriter,
  ) {
    this.disk = disk
    this.path = path
    this.hour = hour
    this.header = { ...header, sync: randomBytes(16) }
    this.block = block
    this.next = header.from
    this.file = disk.create(`${path}${OPEN}`)
    this.write(encodeHeader(this.header))
  }

  /** The next record; offsets between `next` and its own are known gaps. */
  add(record: LogRecord, arrival: number): void {
    const { offset, timestamp, value } = record
    if (offset > this.next) {
      this.absent += offset - this.next
      if (this.gaps.length < MOST_GAPS) this.gaps.push([this.next, offset])
    }
    this.next = offset + 1
    if (this.records++ === 0) this.firstArrival = arrival
    this.lastArrival = arrival
    if (timestamp < this.earliest) this.earliest = timestamp
    if (timestamp > this.latest) this.latest = timestamp
    const schemaId = schemaIdOf(value)
    if (schemaId !== this.lastSchema && schemaId >= 0) {
      this.lastSchema = schemaId
      if (this.schemas.size < MOST_SCHEMAS) this.schemas.add(schemaId)
    }
    const before = this.block.size
    this.block.add(record, arrival, schemaId)
    this.plainBytes += this.block.size - before
    if (this.block.size >= BLOCK_BYTES) this.flush()
  }

  /** What is gathered goes to the file, as a block. */
  flush(): void {
    if (this.block.count > 0) this.write(this.block.finish(this.header.codec, this.header.sync))
  }

  /** All that was flushed is on the disk, under its name. */
  async sync(): Promise<void> {
    if (this.unsynced === 0) return
    const synced = this.unsynced
    await this.file.sync()
    if (synced === this.bytes) await this.disk.syncFolderOf(this.path)
    this.unsynced -= synced
  }

  /** As it stands, flushed: true on the disk once it is synced. */
  entry(): FileEntry {
    const { topic, partition, from } = this.header
    return {
      path: this.path,
      topic,
      partition,
      hour: this.hour,
      from,
      next: this.next,
      records: this.records,
      absent: this.absent,
      gaps: [...this.gaps],
      erased: [],
      timestamps: this.records === 0 ? null : [this.earliest, this.latest],
      arrivals: this.records === 0 ? null : [this.firstArrival, this.lastArrival],
      schemas: [...this.schemas].sort((a, b) => a - b),
      bytes: this.bytes,
      sha256: this.hash.copy().digest('hex'),
      open: true,
    }
  }

  /** Gives it its name, and makes that last. It must be flushed: the block may be another file's by now. */
  async finish(): Promise<FileEntry> {
    await this.sync()
    this.file.close()
    this.disk.rename(`${this.path}${OPEN}`, this.path)
    await this.disk.syncFolderOf(this.path)
    const { open: _, ...entry } = this.entry()
    return entry
  }

  /** Closed as it is, for the next start to clear up. */
  abandon(): void {
    this.file.close()
  }

  private write(bytes: Buffer): void {
    this.file.write(bytes)
    this.hash.update(bytes)
    this.bytes += bytes.length
    this.unsynced += bytes.length
  }
}

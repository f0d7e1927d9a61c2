/** The files of one partition: begins a new one where the hour or the size says so. */
import type { LogRecord } from '../../streams/transport/port.ts'
import { BlockWriter } from './blocks.ts'
import type { Disk } from './disk.ts'
import { FileWriter } from './file-writer.ts'
import type { FileHeader } from './format.ts'
import { FILE_BYTES, fileHour, hourText, pathOf } from './hours.ts'
import type { FileEntry } from './manifest.ts'

/** A file whose hour is over is complete once nothing has come for so long that would begin the next. */
const IDLE_MS = 5 * 60_000
const HOUR_MS = 3_600_000

export class PartitionWriter {
  /** One past the last record that is in a file. */
  private covered: number
  private hour: number | undefined
  private addedAt = 0
  private current: FileWriter | undefined
  /** Complete, but without their names yet. */
  private ended: FileWriter[] = []
  private readonly block = new BlockWriter()
  private readonly disk: Disk
  private readonly header: Omit<FileHeader, 'sync' | 'from'>
  private readonly fileBytes: number

  constructor(
    disk: Disk,
    header: Omit<FileHeader, 'sync' | 'from'>,
    /** `hour`: of the partition's last file. */
    at: { readonly covered: number; readonly hour: number | undefined },
    fileBytes = FILE_BYTES,
  ) {
    this.disk = disk
    this.header = header
    this.covered = at.covered
    this.hour = at.hour
    this.fileBytes = fileBytes
  }

  /** true: it began a file. */
  add(record: LogRecord, arrival: number, now: number): boolean {
    const hour = fileHour(record.timestamp, this.hour, now)
    const { current } = this
    const isFull = current !== undefined && current.plainBytes >= this.fileBytes
    const file = current === undefined || hour !== this.hour || isFull ? this.begin(hour) : current
    file.add(record, arrival)
    this.covered = record.offset + 1
    this.addedAt = now
    return file !== current
  }

  /** Files that wait for their names. */
  get waiting(): number {
    return this.ended.length
  }

  /** The hour's file is complete where the hour is over and nothing comes, or `now` is left out. */
  end(now?: number): void {
    const { current, hour } = this
    if (current === undefined || hour === undefined) return
    if (now !== undefined && (now < hour + HOUR_MS || now < this.addedAt + IDLE_MS)) return
    current.flush()
    this.ended.push(current)
    this.current = undefined
  }

  /** Brings all to the disk: entries of the files that are complete, and of the one that is not. */
  async checkpoint(): Promise<{ closed: FileEntry[]; open: FileEntry | undefined }> {
    const closed: FileEntry[] = []
    for (const file of this.ended) closed.push(await file.finish())
    this.ended = []
    this.current?.flush()
    await this.current?.sync()
    return { closed, open: this.current?.entry() }
  }

  abandon(): void {
    for (const file of this.ended) file.abandon()
    this.current?.abandon()
  }

  private begin(hour: number): FileWriter {
    this.end()
    const text = hourText(hour)
    const { topic, partition } = this.header
    this.hour = hour
    const path = pathOf({ topic, partition, hour: text }, this.covered)
    const header = { ...this.header, from: this.covered }
    this.current = new FileWriter(this.disk, path, text, header, this.block)
    return this.current
  }
}

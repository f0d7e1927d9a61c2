/**
 * The archive being written. Order of a checkpoint, so that a kill at any point leaves what the manifest says, and each offset in
 * exactly one file:
 *  1. blocks to the files, files to the disk, complete ones get their names;
 *  2. schemas that they need;
 *  3. the manifest, which alone makes all of it part of the archive.
 * What came after the last checkpoint is cleared at the next start and read from the log again.
 */
import type { SchemaSource } from '../../schemas/index.ts'
import type { LogRecord } from '../../streams/transport/port.ts'
import type { Disk } from './disk.ts'
import { hourEnd, hourMs } from './hours.ts'
import { type FileEntry, filesOf, type Manifest, writeManifest } from './manifest.ts'
import { PartitionWriter } from './partition-writer.ts'
import { fetchSchemas } from './schemas.ts'

/** What may come between two checkpoints. */
const MOST = { bytes: 256 << 20, files: 100 }
/** Of a record beside its value. */
const OVERHEAD = 40

interface Place {
  readonly topic: string
  readonly compacted: boolean
  readonly partition: number
  readonly writer: PartitionWriter
  closed: FileEntry[]
  open: FileEntry | undefined
  kept: number
}

export class ArchiveWriter {
  manifest: Manifest
  /** Records taken since it was made. */
  records = 0
  /** Why some schemas could not be fetched yet. */
  schemaProblem: string | undefined
  private readonly disk: Disk
  private readonly source: SchemaSource
  private readonly wall: () => number
  private readonly places: Place[] = []
  /** The manifest on the disk says something else. */
  private isChanged = false
  /** Since the last checkpoint, uncompressed. */
  private bytes = 0
  /** Begun since the last checkpoint. */
  private files = 0
  /** The positions that the manifest has. */
  private written: readonly number[] = []
  private nextArrival: number

  /** `manifest`: without open files. */
  constructor(
    disk: Disk,
    manifest: Manifest,
    source: SchemaSource,
    wall: () => number,
    fileBytes?: number,
  ) {
    this.disk = disk
    this.manifest = manifest
    this.source = source
    this.wall = wall
    this.nextArrival = manifest.nextArrival
    for (const { name, compacted, partitions } of manifest.topics)
      for (const { partition, kept, lost } of partitions) {
        const closed = filesOf(manifest, name, partition)
        const last = closed.at(-1)
        const header = {
          archive: manifest.id,
          topic: name,
          partition,
          partitions: partitions.length,
          codec: manifest.codec,
        }
        // a file does not answer for what was lost before it
        const covered = Math.max(last?.next ?? kept, lost.at(-1)?.[1] ?? 0)
        const at = { covered, hour: last && hourMs(last.hour) }
        const writer = new PartitionWriter(disk, header, at, fileBytes)
        this.places.push({
          topic: name,
          compacted,
          partition,
          writer,
          closed,
          open: undefined,
          kept,
        })
      }
  }

  /** `rank`: the partition's place in the manifest, over all topics. */
  add(rank: number, record: LogRecord): void {
    if (this.places[rank].writer.add(record, this.nextArrival++, this.wall())) this.files++
    this.bytes += (record.value?.length ?? 0) + OVERHEAD
    this.records++
  }

  /** So much has come since the last checkpoint that the next should not be waited for. */
  get isFull(): boolean {
    return this.bytes >= MOST.bytes || this.files >= MOST.files
  }

  /** `positions`: how far each partition was taken. `all`: also files that could go on are complete. */
  async checkpoint(positions: readonly number[], all = false): Promise<void> {
    const fresh: FileEntry[] = []
    for (const place of this.places) {
      place.writer.end(all ? undefined : this.wall())
      const { closed, open } = await place.writer.checkpoint()
      if (closed.length > 0 || this.bytes > 0) this.isChanged = true
      place.closed.push(...closed)
      place.open = open
      fresh.push(...closed)
      if (open !== undefined) fresh.push(open)
    }
    await this.fetchSchemas(fresh.flatMap(entry => entry.schemas))
    if (this.isChanged || positions.some((position, rank) => position !== this.written[rank]))
      await this.write(positions)
    this.bytes = 0
    this.files = 0
  }

  /** Of these ids and those pending; `missing`: also of those that the registry did not know. */
  async fetchSchemas(ids: readonly number[], missing = false): Promise<void> {
    const { schemas } = this.manifest
    const fetched = await fetchSchemas(this.disk, this.source, schemas, ids, missing)
    this.schemaProblem = fetched.problem
    this.manifest = { ...this.manifest, schemas: fetched.schemas }
    if (JSON.stringify(schemas) !== JSON.stringify(fetched.schemas)) this.isChanged = true
  }

  /** Removes complete files whose hour ended before `before` (ms); those of compacted topics stay: they hold what is still true. */
  async expire(before: number, positions: readonly number[]): Promise<FileEntry[]> {
    const removed: FileEntry[] = []
    for (const place of this.places) {
      if (place.compacted) continue
      const old = place.closed.findIndex(file => hourEnd(file.hour) > before)
      const gone = place.closed.splice(0, old === -1 ? place.closed.length : old)
      if (gone.length === 0) continue
      place.kept = gone[gone.length - 1].next
      removed.push(...gone)
      this.noteRetention(place, gone)
    }
    if (removed.length === 0) return removed
    await this.write(positions)
    for (const { path } of removed) this.disk.remove(path)
    return removed
  }

  private noteRetention({ topic, partition, kept }: Place, gone: readonly FileEntry[]): void {
    const before = this.manifest.retention.find(
      one => one.topic === topic && one.partition === partition,
    )
    const noted = {
      topic,
      partition,
      files: (before?.files ?? 0) + gone.length,
      records: gone.reduce((sum, file) => sum + file.records, before?.records ?? 0),
      before: kept,
      at: new Date(this.wall()).toISOString(),
    }
    const others = this.manifest.retention.filter(one => one !== before)
    this.manifest = { ...this.manifest, retention: [...others, noted] }
  }

  private async write(positions: readonly number[]): Promise<void> {
    let rank = 0
    const topics = this.manifest.topics.map(topic => ({
      ...topic,
      partitions: topic.partitions.map(partition => {
        const { kept } = this.places[rank]
        return { ...partition, kept, next: positions[rank++] }
      }),
    }))
    this.manifest = {
      ...this.manifest,
      updated: new Date(this.wall()).toISOString(),
      nextArrival: this.nextArrival,
      topics,
      files: this.places.flatMap(({ closed, open }) => (open ? [...closed, open] : closed)),
    }
    await writeManifest(this.disk, this.manifest)
    this.written = [...positions]
    this.isChanged = false
  }

  /** Lets go of the files, as a kill would. */
  abandon(): void {
    for (const { writer } of this.places) writer.abandon()
  }
}

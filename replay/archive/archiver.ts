/** `freshet archive`: from the log into the archive, up to the log's end as of the start, or with `follow` until it is told to stop. */
import type { SchemaSource } from '../../schemas/index.ts'
import type { Clock } from '../../streams/clock.ts'
import type { Logger } from '../../streams/log.ts'
import type { TopicPartition, Transport } from '../../streams/transport/port.ts'
import { ArchiveWriter } from './archive-writer.ts'
import { type Disk, nodeDisk } from './disk.ts'
import type { Codec } from './format.ts'
import { Intake, type IntakePartition } from './intake.ts'
import { takeLock } from './lock.ts'
import { type Manifest, readManifest, writeManifest } from './manifest.ts'
import { clearLeftovers, closeOpenFiles } from './recover.ts'
import { type ArchivedTopic, type From, firstManifest, resumedManifest } from './start.ts'

/** What a kill costs at most: to be read again. */
const CHECKPOINT_MS = 2_000
/** Writing the manifest of a large archive must not take more than such a share of the time. */
const CHECKPOINT_SHARE = 0.1
const POLL_MS = 200
const EXPIRE_MS = 60_000
/** How long the end of a run waits for a registry that is away. */
const SCHEMA_PATIENCE_MS = 10_000

export interface ArchiveSettings {
  readonly dir: string
  readonly disk?: Disk
  readonly transport: Transport
  /** In the order in which equal timestamps are taken. [] where the archive exists: its own. */
  readonly topics: readonly ArchivedTopic[]
  readonly source: SchemaSource
  readonly clock: Clock
  readonly log: Logger
  readonly from?: From
  readonly codec?: Codec
  readonly follow?: boolean
  /** Files whose hour ended longer ago are removed. */
  readonly keepMs?: number
  readonly acceptLoss?: boolean
  readonly checkpointMs?: number
  readonly fileBytes?: number
  /** Stops in order: all that was taken is checkpointed. */
  readonly signal?: AbortSignal
  readonly onProgress?: (records: number, total: number | undefined) => void
}

export interface ArchiveReport {
  readonly manifest: Manifest
  readonly records: number
  /** Files that retention removed. */
  readonly removed: number
  /** Partitions whose end could not be reached: an open transaction holds it back. */
  readonly heldBack: readonly { at: TopicPartition; taken: number; end: number }[]
  /** Why schemas are missing that the archive needs. */
  readonly schemaProblem: string | undefined
}

/**
 * Errors: those of `takeLock`, `firstManifest` and `resumedManifest`; ARCHIVE_DAMAGED where what is there is not what the manifest
 * says; DEPENDENCY_UNREACHABLE of the disk. After each of them the same call goes on where the last checkpoint stands.
 */
export async function archive(settings: ArchiveSettings): Promise<ArchiveReport> {
  const release = takeLock(settings.dir, 'archive')
  try {
    return await writeArchive(settings, settings.disk ?? nodeDisk(settings.dir))
  } finally {
    release()
  }
}

async function writeArchive(settings: ArchiveSettings, disk: Disk): Promise<ArchiveReport> {
  const { transport, topics, source, clock, follow = false, keepMs, signal } = settings
  const start = {
    transport,
    topics,
    from: settings.from,
    codec: settings.codec,
    acceptLoss: settings.acceptLoss ?? false,
    wall: () => clock.wall(),
  }
  const before = readManifest(disk)
  const begun =
    before === undefined ? await firstManifest(start) : await resumedManifest(before, start)
  const whole = await closeOpenFiles(disk, begun)
  await writeManifest(disk, whole)
  await clearLeftovers(disk, whole, true)

  const writer = new ArchiveWriter(disk, whole, source, () => clock.wall(), settings.fileBytes)
  await writer.fetchSchemas([], true)
  const partitions = await partitionsOf(transport, whole)
  const reader = transport.reader()
  const intake = new Intake(reader, partitions, { clock, follow })
  const total = follow
    ? undefined
    : partitions.reduce((sum, { start, end }) => sum + end - start, 0)
  let removed = 0
  let expiredAt = Number.NEGATIVE_INFINITY
  const expire = async (): Promise<void> => {
    if (keepMs === undefined || clock.now() - expiredAt < EXPIRE_MS) return
    expiredAt = clock.now()
    removed += (await writer.expire(clock.wall() - keepMs, intake.positions())).length
  }
  const pace = new CheckpointPace(clock, settings.checkpointMs ?? CHECKPOINT_MS)
  const isOutage = (): boolean => transport.waiting() !== undefined
  try {
    let left = false
    while (!signal?.aborted && !intake.isDone) {
      await intake.poll(left ? 0 : POLL_MS, isOutage)
      left = intake.take(
        (rank, record) => writer.add(rank, record),
        () => !writer.isFull,
      )
      if (pace.isDue || writer.isFull) {
        await pace.measure(() => writer.checkpoint(intake.positions()))
        await expire()
      }
      settings.onProgress?.(writer.records, total)
    }
    await writer.checkpoint(intake.positions(), true)
    await waitForSchemas(writer, clock, signal)
    await writer.checkpoint(intake.positions())
    expiredAt = Number.NEGATIVE_INFINITY
    await expire()
  } catch (error) {
    writer.abandon()
    throw error
  } finally {
    await reader.close()
  }
  const heldBack = signal?.aborted ? [] : intake.heldBack()
  for (const { at, taken, end } of heldBack)
    settings.log.warn(
      { topic: at.topic, partition: at.partition, taken, end },
      'an open transaction holds back the end of the partition: the next run goes on there',
    )
  const { manifest, records } = writer
  return { manifest, records, removed, heldBack, schemaProblem: writer.schemaProblem }
}

async function partitionsOf(transport: Transport, manifest: Manifest): Promise<IntakePartition[]> {
  const all: IntakePartition[] = []
  for (const { topic, partitions } of manifest.topics) {
    const places = partitions.map(({ partition }) => ({ topic, partition }))
    const bounds = await transport.topics.offsets(places)
    places.forEach((at, i) => {
      all.push({ at, start: partitions[i].next, end: bounds[i].end })
    })
  }
  return all
}

async function waitForSchemas(
  writer: ArchiveWriter,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = clock.now() + SCHEMA_PATIENCE_MS
  while (writer.schemaProblem !== undefined && clock.now() < until && !signal?.aborted) {
    await clock.sleep(500, signal)
    await writer.fetchSchemas([])
  }
}

/** When the next checkpoint is due: after its interval, or longer where writing one takes long. */
class CheckpointPace {
  private readonly clock: Clock
  private readonly everyMs: number
  private dueAt: number

  constructor(clock: Clock, everyMs: number) {
    this.clock = clock
    this.everyMs = everyMs
    this.dueAt = clock.now() + everyMs
  }

  get isDue(): boolean {
    return this.clock.now() >= this.dueAt
  }

  async measure(work: () => Promise<void>): Promise<void> {
    const begun = this.clock.now()
    await work()
    const now = this.clock.now()
    this.dueAt = now + Math.max(this.everyMs, (now - begun) / CHECKPOINT_SHARE)
  }
}

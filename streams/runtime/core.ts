/**
 * A task without its surroundings: state, stages and the making and restoring of commits. Knows no transport, no sink and
 * no clock, so simulations and tests drive it directly; `task.ts` is the shell that does.
 *
 *  - C1 `commit()` gives exactly one batch: dirty rows, tombstones, table blocks, and the commit record last.
 *  - C4 `takePacket` passes over repetitions and stops on a gap or another generation.
 */
import { FreshetError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { ByteWriter } from '../serde/bytes.ts'
import type { RefillExtent, Stage, TaskKind, TaskLogic } from '../topology/stage.ts'
import type { Row, Store } from '../topology/store.ts'
import type { FetchedBatch, LogRecord } from '../transport/port.ts'
import { RecordBatchBuilder, type UnstampedBatch } from '../transport/record-batch.ts'
import { AppliedPackets } from './applied-packets.ts'
import {
  COMMIT_KEY,
  type Effects,
  type OutgoingPacket,
  writeCommitRecord,
} from './commit-record.ts'
import { COMMIT_CUT_BYTES, COMMIT_CUT_ROWS, CommitSize } from './commit-size.ts'
import { CommitOutbox } from './outbox.ts'
import { OWNER_KEY } from './ownership-record.ts'
import { decodePacket, deliverFrames, encodePacket } from './packet.ts'
import { RestoredLog } from './restored-log.ts'
import { TableBlocks } from './table-blocks.ts'
import { lowestUnfinished, TaskStores } from './task-stores.ts'

const ROW_LIMIT_BYTES = 1024 * 1024
/** Soft rows are taken so many at a time, to look at the batch's size in between. */
const SOFT_SLICE_ROWS = 256

export const DELTAS = '<deltas>'

export interface Commit {
  readonly number: number
  readonly batch: UnstampedBatch
  readonly effects: Effects
  readonly positions: ReadonlyMap<string, number>
  readonly rows: number
  /** Nothing of a refill is left behind it. */
  readonly refilled: boolean
}

export interface CoreSettings {
  readonly kind: TaskKind
  readonly partition: number
  readonly generation: number
  /** Of the state, as packets name it: the same where it is not given. */
  readonly stateGeneration?: number
  /** Offset of the ownership record; 0 where nothing is claimed. */
  readonly token?: number
  /** false: nobody takes table rows, so none are kept. */
  readonly tables?: boolean
  readonly outsideName: (topic: string) => string
  readonly partitionsOf: (kind: string) => number
  readonly now: () => number
  /** The date of a batch: brokers compare it with their own clocks. */
  readonly wall: () => number
  readonly table: <T>(name: string) => T
  readonly metrics: Metrics
  readonly log: Logger
}

export class TaskCore {
  readonly name: string
  private readonly settings: CoreSettings
  private readonly stateGeneration: number
  private logic: TaskLogic
  private stages: readonly Stage[]
  private processing: readonly Stage[]
  /** Stages that say how much the next commit may hold of them. */
  private filling: readonly Stage[]
  private stores: TaskStores
  private readonly receivers: (Stage | undefined)[] = []
  private readonly channels: Parameters<NonNullable<Stage['receive']>>[0][] = []
  private readonly outbox: CommitOutbox
  private readonly builder = new RecordBatchBuilder()
  private readonly keyWriter = new ByteWriter(512)
  private readonly valueWriter = new ByteWriter(4096)

  /** See `CommitRecord.shown`. */
  shown = 0
  private number = 0
  private bornAt = 0
  private readonly positions = new Map<string, number>()
  private readonly applied = new AppliedPackets()
  private readonly sent = new Map<string, number>()
  private readonly blocks = new TableBlocks()
  private readonly size = new CommitSize()
  private advanced = false
  /** Events since the last commit by type: one metric call a commit instead of one an event. */
  private readonly eventCounts = new Map<string, number>()

  private restoring: RestoredLog

  constructor(settings: CoreSettings) {
    this.settings = settings
    this.stateGeneration = settings.stateGeneration ?? settings.generation
    const { kind, partition } = settings
    this.name = `${kind.name}-${partition}`
    this.logic = kind.create({
      kind: kind.name,
      partition,
      partitionsOf: settings.partitionsOf,
      now: settings.now,
      table: settings.table,
      metrics: settings.metrics,
      log: settings.log,
    })
    this.stages = this.logic.stages
    this.processing = this.stages.filter(stage => stage.process)
    this.filling = this.stages.filter(stage => stage.full)
    this.stores = new TaskStores(kind.name, this.stages)
    this.restoring = new RestoredLog(this.stores, this.blocks)
    for (const stage of this.stages)
      for (const channel of stage.receives ?? []) {
        this.receivers[channel.id] = stage
        this.channels[channel.id] = channel
      }
    this.outbox = new CommitOutbox({ ...settings, topology: kind.name })
  }

  // ---- input

  /** Takes in one record of an outside topic. A promise: the record must be given again once it is settled. */
  process(topic: string, record: LogRecord): Promise<void> | undefined {
    const decoded = this.logic.decode(topic, record)
    if (decoded === 'skip') {
      this.advance(topic, record.offset + 1)
      return undefined
    }
    if ('waitFor' in decoded) return decoded.waitFor
    this.advance(topic, record.offset + 1)
    this.size.tookRecord()
    if ('bad' in decoded) {
      this.settings.metrics.counter('freshet_dead_letters_total', { reason: decoded.bad }).add()
      this.outbox.deadLetter(topic, record, decoded.bad, decoded.message)
      return undefined
    }
    const event = decoded.ok as { kind?: string }
    const type = event.kind ?? topic
    this.eventCounts.set(type, (this.eventCounts.get(type) ?? 0) + 1)
    const stages = this.processing
    for (let i = 0; i < stages.length; i++) if (stages[i].process?.(event) === 'drop') break
    return undefined
  }

  /** Takes in a record of the delta topic (C4). Errors: DELTA_GAP, DELTA_GENERATION, CHANGELOG_NEWER, CHANGELOG_CORRUPT. */
  takePacket(record: LogRecord): void {
    if (record.key?.equals(OWNER_KEY)) {
      this.advance(DELTAS, record.offset + 1) // the end of a sender's line of epochs
      return
    }
    const where = `${this.name} deltas@${record.offset}`
    const packet = decodePacket(record.value, where)
    if (packet.generation !== this.stateGeneration)
      throw new FreshetError(
        'DELTA_GENERATION',
        `${where}: packet of generation ${packet.generation} from ${packet.source}, this is generation ${this.stateGeneration}; the state was reset in part; reset the whole application with \`freshet reset\``,
      )
    const isNew = this.applied.take(packet, where)
    this.advance(DELTAS, record.offset + 1)
    if (!isNew) return
    this.size.tookPacket(record.value?.length ?? 0)
    deliverFrames(packet, where, channel => {
      const stage = this.receivers[channel]
      return stage && (payload => stage.receive?.(this.channels[channel], payload))
    })
  }

  /** Says that everything below `offset` is taken in although no record stood there (control batch, compaction). */
  advance(topic: string, offset: number): void {
    this.positions.set(topic, offset)
    this.advanced = true
  }

  position(topic: string): number | undefined {
    return this.positions.get(topic)
  }

  tick(budgetMs: number): boolean {
    let more = false
    for (const stage of this.stages) if (stage.tick?.(budgetMs)) more = true
    return more
  }

  urgent(): boolean {
    return this.stages.some(stage => stage.urgent?.())
  }

  /** Of the last commit made or restored; 0 before the first. */
  get lastCommit(): number {
    return this.number
  }

  /** Can what the view store holds be made again from the state? */
  get refills(): boolean {
    return this.stages.some(stage => stage.refill)
  }

  refill(extent: RefillExtent): void {
    for (const stage of this.stages) stage.refill?.(extent)
  }

  get refilling(): boolean {
    return this.stages.some(stage => stage.refilling?.())
  }

  /** The next commit holds about as much as one may: input must wait for it (C7). */
  get full(): boolean {
    if (this.size.full(this.stores.dirtyExact, this.outbox.bytes)) return true
    const stages = this.filling
    for (let i = 0; i < stages.length; i++) if (stages[i].full?.()) return true
    return false
  }

  // ---- commit

  /** Makes commit n + 1 of everything since n; undefined where nothing happened, unless forced. `last`: soft rows do not wait. */
  commit(force = false, last = false): Commit | undefined {
    const { metrics, kind } = this.settings
    for (const [type, count] of this.eventCounts)
      metrics.counter('freshet_events_total', { topology: kind.name, type }).add(count)
    this.eventCounts.clear()
    this.outbox.begin(this.number + 1)
    for (const stage of this.stages) stage.flush?.(this.outbox)
    const { builder } = this
    const now = this.settings.now()
    let exactRows = 0
    for (const store of this.stores.all)
      if (store.spec.write === 'exact' && store.dirtyCount > 0)
        exactRows += this.addRows(store, Number.POSITIVE_INFINITY)
    const exactBytes = builder.sizeBytes
    const softRows = this.addSoftRows(now, last)
    const softBytes = builder.sizeBytes - exactBytes
    const { packets: made, tables, records, views, removedViews, published } = this.outbox.close()
    const packets: OutgoingPacket[] = []
    this.bornAt ||= this.settings.wall()
    const { token = 0, stateGeneration: generation = this.settings.generation } = this.settings
    for (const { kind, partition, frames } of made) {
      const to = `${kind}-${partition}`
      const number = (this.sent.get(to) ?? 0) + 1
      this.sent.set(to, number)
      packets.push({
        kind,
        partition,
        value: encodePacket(
          { generation, source: this.name, bornAt: this.bornAt, token, number },
          frames,
        ),
      })
    }
    const blocks = this.blocks.addTo(builder, tables)
    const nothing =
      !this.advanced &&
      builder.count === 0 &&
      packets.length === 0 &&
      records.length === 0 &&
      views.length === 0 &&
      published.length === 0
    if (nothing && !force) return undefined
    this.advanced = false
    this.number++
    const positions = new Map(this.positions)
    this.valueWriter.reset()
    writeCommitRecord(
      {
        number: this.number,
        bornAt: this.bornAt,
        positions,
        applied: this.applied.bySource,
        sent: this.sent,
        packets,
        records,
        removedViews,
        shown: this.shown,
        unfinishedFrom: lowestUnfinished(this.stages),
      },
      this.valueWriter,
    )
    builder.add(COMMIT_KEY, this.valueWriter.bytes())
    const batch = builder.finish(this.settings.wall())
    this.size.committed(exactRows, batch.sizeBytes - softBytes)
    return {
      number: this.number,
      batch,
      effects: { packets, records, blocks, views, published },
      positions,
      rows: exactRows + softRows,
      refilled: !this.refilling,
    }
  }

  /** Rows of soft stores whose time has come, until the batch is as large as one may be; the others wait. */
  private addSoftRows(now: number, last: boolean): number {
    let rows = 0
    for (const store of this.stores.all) {
      const { write } = store.spec
      if (write === 'exact' || store.dirtyCount === 0) continue
      if (!last && now - store.lastWrittenAt < write.everyMs) continue
      while (
        store.dirtyCount > 0 &&
        rows < COMMIT_CUT_ROWS &&
        this.builder.sizeBytes < COMMIT_CUT_BYTES
      )
        rows += this.addRows(store, SOFT_SLICE_ROWS)
      if (store.dirtyCount === 0) store.lastWrittenAt = now
    }
    return rows
  }

  private addRows(store: Store<Row>, limit: number): number {
    const { spec } = store
    const { keyWriter, valueWriter, builder } = this
    const rows = store.take(limit)
    for (const row of rows) {
      keyWriter.reset().u8(spec.id)
      spec.writeKey(row, keyWriter)
      if (row.removed) {
        builder.add(keyWriter.bytes(), null)
        continue
      }
      valueWriter.reset()
      spec.writeValue(row, valueWriter)
      if (valueWriter.length > ROW_LIMIT_BYTES) this.refuseRow(store)
      else builder.add(keyWriter.bytes(), valueWriter.bytes())
    }
    return rows.length
  }

  private refuseRow(store: Store<Row>): void {
    const key = this.keyWriter.copy()
    const message = `row ${key.subarray(1).toString()} of ${store.spec.name} has ${this.valueWriter.length} bytes, ${ROW_LIMIT_BYTES} are allowed; it keeps its last written state`
    this.settings.metrics.counter('freshet_dead_letters_total', { reason: 'ROW_TOO_LARGE' }).add()
    this.settings.log.error({ task: this.name, store: store.spec.name }, message)
    this.outbox.deadLetter(
      this.settings.kind.inputs[0] ?? this.settings.kind.name,
      { offset: -1, timestamp: 0, key, value: null, headers: [] },
      'ROW_TOO_LARGE',
      message,
    )
  }

  /** The table store has it: the next commit removes the block's row. */
  blockDelivered(number: number): void {
    this.blocks.delivered(number)
  }

  /** The effects of the last commit, but for blocks, are acknowledged. */
  delivered(): void {
    for (const stage of this.stages) stage.delivered?.()
  }

  /** Lets go of the state: what still waits for an acknowledgement holds the core, for hours where a store is away. */
  end(): void {
    this.logic = { decode: () => 'skip', stages: [] }
    this.stages = this.processing = this.filling = this.logic.stages
    this.stores = new TaskStores(this.name, [])
    this.restoring = new RestoredLog(this.stores, this.blocks)
    this.receivers.length = 0
  }

  // ---- restore

  /** Takes in one batch of the changelog, in log order. Errors: CHANGELOG_CORRUPT, CHANGELOG_NEWER with the address. */
  restoreBatch(batch: FetchedBatch): void {
    this.restoring.take(batch)
  }

  /**
   * Ends the restore and gives the effects that must be delivered again: the last commit's outbox and all table blocks that
   * were not acknowledged. Views of the last batch's rows come with the next commit.
   * Errors: CHANGELOG_CORRUPT for rows behind the last commit record (an orphan: C1 makes that impossible).
   */
  restored(): Effects {
    const { last, rows } = this.restoring.end()
    if (last) {
      this.number = last.number
      this.bornAt = last.bornAt
      this.shown = last.shown
      for (const [topic, offset] of last.positions) this.positions.set(topic, offset)
      for (const [source, applied] of last.applied) this.applied.bySource.set(source, applied)
      for (const [to, number] of last.sent) this.sent.set(to, number)
    }
    for (const stage of this.stages) stage.restored?.(rows)
    if (last?.unfinishedFrom !== undefined)
      for (const stage of this.stages) stage.resumeUnfinished?.(last.unfinishedFrom)
    this.advanced = false
    return {
      packets: last?.packets ?? [],
      records: last?.records ?? [],
      blocks: this.blocks.waiting,
      views: (last?.removedViews ?? []).map(key => ({ op: 'delete', key })),
      published: [],
    }
  }
}

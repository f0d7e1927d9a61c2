/**
 * The counting stages of user tasks, item tasks, the followed tables and the global task in one process without a
 * transport: commits go straight into logs in memory. A test says what users do and who commits, crashes or is restored.
 */
import type { Item } from '../../schemas/index.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { type Commit, TaskCore } from '../../streams/runtime/core.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { FollowedTable, TaskContext, TaskKind } from '../../streams/topology/stage.ts'
import type { FetchedBatch, LogRecord } from '../../streams/transport/port.ts'
import { decodeRecordSet, type UnstampedBatch } from '../../streams/transport/record-batch.ts'
import { covisitOptions } from '../../topologies/covisit/options.ts'
import { createCovisitUserStage } from '../../topologies/covisit/user-stage.ts'
import { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { itemOptions } from '../../topologies/items/options.ts'
import { type ItemKindOptions, itemKind } from '../../topologies/items/topology.ts'
import { createPopularityGlobalStage } from '../../topologies/popularity/global-stage.ts'
import { popularityOptions } from '../../topologies/popularity/options.ts'
import { createPopularityUserStage } from '../../topologies/popularity/user-stage.ts'
import { WindowsTable } from '../../topologies/popularity/windows-table.ts'
import type { UserEvent } from '../../topologies/user/event.ts'

export interface Act {
  readonly userId: string
  readonly itemId: string
  readonly ts: number
  readonly kind: 'impression' | 'watch'
  readonly cohort?: string
  readonly positive?: boolean
  readonly started?: boolean
  readonly watchedMs?: number
  readonly consent?: 'full' | 'contextual' | 'none'
}

export function defaultItemOptions(over: Partial<ItemKindOptions> = {}): ItemKindOptions {
  const all = { ...itemOptions, ...popularityOptions, ...covisitOptions }
  const values = Object.fromEntries(Object.entries(all).map(([name, spec]) => [name, spec.default]))
  return { ...(values as unknown as ItemKindOptions), ...over }
}

export function plainItem(itemId: string, over: Partial<Item> = {}): Item {
  return {
    itemId,
    title: itemId,
    creatorId: '',
    topics: [],
    language: '',
    regions: [],
    publishedAt: 0,
    expiresAt: null,
    durationMs: 60_000,
    safety: 'ok',
    attributes: {},
    embedding: null,
    ...over,
  }
}

/** Newest first, each item once, as the sessions stage keeps it. */
class History {
  private readonly items: number[] = []
  get length(): number {
    return this.items.length
  }
  item(k: number): number {
    return this.items[k]
  }
  at(): number {
    return 0
  }
  /** True where the item is new. */
  push(item: number): boolean {
    if (this.items.includes(item)) return false
    this.items.unshift(item)
    if (this.items.length > 200) this.items.pop()
    return true
  }
}

export class ItemCluster {
  now = 1_800_000_000_000
  readonly table: MemoryItemTable
  readonly windows: WindowsTable
  /** View writes of all commits, in order. */
  readonly views: ViewWrite[] = []
  readonly logs: FetchedBatch[][] = []
  readonly options: ItemKindOptions
  private readonly users: TaskCore[] = []
  private readonly items: TaskCore[] = []
  private global: TaskCore
  private readonly histories = new Map<string, History>()
  private offset = 0
  private readonly sent: Item[] = []
  private readonly deltas: LogRecord[][] = []
  private readonly kind: TaskKind<never>
  readonly partitions: number

  constructor(partitions: number, over: Partial<ItemKindOptions> = {}) {
    this.partitions = partitions
    this.options = defaultItemOptions(over)
    this.table = new MemoryItemTable(this.options, undefined)
    this.windows = new WindowsTable(this.options)
    this.kind = itemKind(this.options, {
      decode: value => ({ kind: 'item', record: this.sent[Number(value)] }),
      resolve: () => Promise.resolve(),
    }) as TaskKind<never>
    for (let p = 0; p < partitions; p++) {
      this.logs.push([])
      this.deltas.push([])
      this.users.push(this.core(this.userKind(), p))
      this.items.push(this.core(this.kind, p))
    }
    this.global = this.core(this.globalKind(), 0)
  }

  act(act: Act): void {
    this.process(this.prepare(act))
  }

  /** What the sessions stage makes of an act; in the order of time. */
  prepare(act: Act): UserEvent {
    const item = this.table.index(act.itemId)
    const history = this.histories.get(act.userId) ?? new History()
    this.histories.set(act.userId, history)
    const consent = act.consent ?? 'full'
    const firstPositive = consent === 'full' && act.positive === true && history.push(item)
    return {
      ...act,
      consent,
      item,
      event: { cohort: act.cohort ?? '' },
      user: consent === 'full' ? { positives: history } : null,
      playStarted: act.started ?? false,
      positive: act.positive ?? false,
      watchedMs: act.watchedMs ?? 0,
      firstPositive,
    } as unknown as UserEvent
  }

  process(event: UserEvent): void {
    const record = this.record(null, Buffer.from(''))
    this.pending = event
    this.users[partitionOfText(event.userId, this.partitions)].process('events', record)
  }
  private pending: UserEvent | undefined

  /** An Item, or a tombstone, on the items topic. */
  put(itemId: string, item: Item | null, timestamp = this.now): void {
    const value = item === null ? null : Buffer.from(String(this.sent.push(item) - 1))
    const task = this.items[partitionOfText(itemId, this.partitions)]
    task.process('items', { ...this.record(Buffer.from(itemId), value), timestamp })
  }

  /** User task `p` commits; its packets go to the item tasks' delta topics. */
  commitUser(p: number): void {
    for (const packet of this.users[p].commit()?.effects.packets ?? [])
      this.deltas[packet.partition].push(this.record(null, packet.value))
  }

  /** Item task `p` takes in its packets and commits; the tables follow. */
  commitItem(p: number): void {
    for (const packet of this.deltas[p].splice(0)) this.items[p].takePacket(packet)
    while (this.items[p].tick(5));
    this.append(p, this.items[p].commit())
  }

  urgentItem(p: number): boolean {
    return this.items[p].urgent()
  }

  commitGlobal(): void {
    this.views.push(...(this.global.commit()?.effects.views ?? []))
  }

  urgentGlobal(): boolean {
    return this.global.urgent()
  }

  /** The view store lost what it held: item tasks and the global one emit it again; true as long as some is left. */
  refill(): void {
    for (const task of [...this.items, this.global]) task.refill('active')
  }

  get refilling(): boolean {
    return [...this.items, this.global].some(task => task.refilling)
  }

  restartGlobal(): void {
    this.global = this.core(this.globalKind(), 0)
  }

  commitAll(): void {
    for (let p = 0; p < this.partitions; p++) this.commitUser(p)
    for (let p = 0; p < this.partitions; p++) this.commitItem(p)
    this.commitGlobal()
  }

  /** Item task `p` is lost and restored from its changelog; uncommitted input is not there, so commit first. */
  restoreItem(p: number, compacted = false): void {
    const core = this.core(this.kind, p)
    const batches = compacted ? compact(this.logs[p]) : this.logs[p]
    for (const batch of batches) core.restoreBatch(batch)
    core.restored()
    this.items[p] = core
  }

  /** Fresh tables from the (compacted) changelogs. */
  followAnew(compacted: boolean): { table: MemoryItemTable; windows: WindowsTable } {
    const table = new MemoryItemTable(this.options, undefined)
    const windows = new WindowsTable(this.options)
    for (const log of this.logs)
      for (const batch of compacted ? compact(log) : log) follow([table, windows], batch)
    return { table, windows }
  }

  /** The last write of each view key; a deleted one is absent. */
  view(key: string): ViewWrite | undefined {
    const write = this.views.findLast(v => v.key === key)
    return write?.op === 'delete' ? undefined : write
  }

  zset(key: string): [string, number][] | undefined {
    const write = this.view(key)
    return write?.op === 'zset' ? write.members.map((m, i) => [m, write.scores[i]]) : undefined
  }

  /** Bytes of all changelog batches. */
  get logRows(): number {
    return this.logs.flat().reduce((n, batch) => n + batch.records.length, 0)
  }

  private append(p: number, commit: Commit | undefined): void {
    if (!commit) return
    const batch = asFetched(commit.batch, this.logs[p].at(-1)?.nextOffset ?? 0, p)
    this.logs[p].push(batch)
    follow([this.table, this.windows], batch)
    this.views.push(...commit.effects.views)
  }

  private record(key: Buffer | null, value: Buffer | null): LogRecord {
    return { offset: this.offset++, timestamp: this.now, key, value, headers: [] }
  }

  private userKind(): TaskKind<never> {
    return {
      name: 'user',
      inputs: ['events'],
      deltas: false,
      commitIntervalMs: 100,
      tables: ['items'],
      create: (ctx: TaskContext) => ({
        decode: () => (this.pending ? { ok: this.pending } : 'skip'),
        stages: [createPopularityUserStage(ctx), createCovisitUserStage(ctx, () => false)],
      }),
    } as unknown as TaskKind<never>
  }

  private globalKind(): TaskKind<never> {
    return {
      name: 'global',
      inputs: [],
      partitions: 1,
      deltas: false,
      commitIntervalMs: 1_000,
      tables: ['items', 'windows'],
      create: ctx => ({ decode: () => 'skip', stages: [createPopularityGlobalStage(ctx)] }),
    }
  }

  private core(kind: TaskKind<never>, partition: number): TaskCore {
    return new TaskCore({
      kind: kind as unknown as TaskKind,
      partition,
      generation: 1,
      outsideName: topic => topic,
      partitionsOf: () => this.partitions,
      now: () => this.now,
      wall: () => this.now,
      table: <T>(name: string) => (name === 'items' ? this.table : this.windows) as T,
      metrics: noMetrics,
      log: silentLogger,
    })
  }
}

/** The batch as a reader of the changelog gets it. */
function asFetched(batch: UnstampedBatch, baseOffset: number, partition: number): FetchedBatch {
  const bytes = Buffer.from(batch.stamp(1n, 0, 0))
  bytes.writeBigInt64BE(BigInt(baseOffset), 0)
  return decodeRecordSet(bytes, 'item-changelog', partition, baseOffset).batches[0]
}

function follow(tables: readonly FollowedTable[], batch: FetchedBatch): void {
  for (const table of tables) {
    for (const { key, value } of batch.records)
      if (key && key[0] !== 0)
        table.apply(
          'item',
          batch.partition,
          key[0],
          new ByteReader(key, 1),
          value ? new ByteReader(value) : null,
        )
    table.batchApplied?.()
  }
}

/** What compaction leaves: the last record of each key, batches in place. */
export function compact(batches: readonly FetchedBatch[]): FetchedBatch[] {
  const last = new Map<string, number>()
  for (const batch of batches)
    for (const { key, offset } of batch.records) last.set(key?.toString('latin1') ?? '', offset)
  return batches.map(batch => ({
    ...batch,
    records: batch.records.filter(
      ({ key, offset }) => last.get(key?.toString('latin1') ?? '') === offset,
    ),
  }))
}

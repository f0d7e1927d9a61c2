/**
 * The recommender in lockstep: the topologies as the command composes them, on real task cores (real decoding, commits,
 * changelog bytes, packets, followed tables) in one process, without transport and sinks, driven by event time.
 *
 *  - L1 The only clock is the time that the caller gives; there is no chance but that of hashes. The same calls in the same
 *       order give the same tables, users and lists, bit for bit.
 *  - L2 At the immediate pace all that follows from a record has been committed, delivered and applied when `send` returns.
 *  - L3 At the asynchronous pace a task commits at the times of its interval and nothing is known downstream before; packets
 *       and rows then arrive at once (a broker's few milliseconds are left out).
 */
import { Encoder, SchemaRegistry } from '../../schemas/index.ts'
import type { RecordDrafts } from '../../schemas/types.ts'
import { type Clock, systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { type Commit, DELTAS, TaskCore } from '../../streams/runtime/core.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { TableRow, ViewWrite } from '../../streams/topology/outbox.ts'
import type {
  Application,
  FollowedTable,
  TableSpec,
  TaskKind,
} from '../../streams/topology/stage.ts'
import { decodeRecordSet } from '../../streams/transport/record-batch.ts'
import type { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import type { User, Users } from '../../topologies/user/user.ts'
import { lockstepOptions, longestPublishMs, type Pace } from './options.ts'
import { LockstepTask, type Rhythm } from './task.ts'
import { withoutUnread } from './unread.ts'

export interface LockstepSettings {
  readonly options: TopologyOptions
  /** As the option `topologies` takes them. Default: all that lists are made of, without lists. */
  readonly topologies?: string
  /** Kinds of task that are left out although their topology runs; by default the popularity sets and cohort lists. */
  readonly without?: readonly string[]
  /** Of users and items; the other kinds have one. */
  readonly partitions?: number
  /** Default: immediate with one partition, else asynchronous. */
  readonly pace?: Pace
  /** Event time at which it begins, ms. */
  readonly startAt: number
  /** What would go to the view store: lists, at the event time of their commit. */
  readonly onView?: (write: ViewWrite, at: number) => void
  /** What would go to a table, at the event time of its commit. Without it no rows are made. */
  readonly onRows?: (table: string, rows: readonly TableRow[], at: number) => void
}

interface Followed {
  readonly spec: TableSpec
  readonly table: FollowedTable
}

/** Time without input after which nothing is left to do for tasks that publish nothing: lists rest for less. */
const QUIET_MS = 2_000

/** Opens it; asynchronous only because schemas are registered (in process). */
export async function openLockstep(settings: LockstepSettings): Promise<Lockstep> {
  const registry = new SchemaRegistry({ url: `mock://lockstep-${opened++}` })
  const encoder = await Encoder.open(registry, 'freshet.')
  const lockstep = new Lockstep(settings, registry, encoder)
  await lockstep.resolveSchemas()
  return lockstep
}
let opened = 0

export class Lockstep {
  /** What of the records was refused (dead letters): kept so that a caller can say so. */
  readonly refused: string[] = []
  readonly pace: Pace
  readonly options: TopologyOptions
  private readonly settings: LockstepSettings
  private readonly encoder: Encoder
  private readonly application: Application
  private readonly tables = new Map<string, Followed>()
  private readonly tasks: LockstepTask[] = []
  private readonly byKind = new Map<string, LockstepTask[]>()
  private readonly kindOfTopic = new Map<string, string>()
  private readonly followedKinds = new Set<string>()
  private readonly users: Users[] = []
  private readonly partitions: number
  private time: number

  constructor(settings: LockstepSettings, registry: SchemaRegistry, encoder: Encoder) {
    this.settings = settings
    this.encoder = encoder
    this.time = settings.startAt
    this.partitions = settings.partitions ?? 1
    this.pace = settings.pace ?? (this.partitions === 1 ? 'immediate' : 'asynchronous')
    this.options = lockstepOptions(settings.options, this.pace)
    this.application = createApplication({
      options: this.options,
      topologies: parseTopologies(settings.topologies ?? 'sessions,popularity,covisit,learner'),
      schemas: registry,
      encoder,
      clock: this.clock(),
      onUsers: (partition, users) => {
        this.users[partition] = users
      },
    })
    const without = settings.without ?? ['global']
    const kinds = this.application.kinds.filter(kind => !without.includes(kind.name))
    this.openTables(kinds)
    for (const kind of kinds) this.openTasks(kind)
  }

  private clock(): Clock {
    return { ...systemClock, now: () => this.time, wall: () => this.time }
  }

  private openTables(kinds: readonly TaskKind[]): void {
    const named = new Set(kinds.flatMap(kind => kind.tables))
    const around = { now: () => this.time, metrics: noMetrics, log: silentLogger }
    for (const spec of this.application.tables) {
      if (!named.has(spec.name)) continue
      this.tables.set(spec.name, { spec, table: spec.create(around) })
      for (const kind of spec.follows) this.followedKinds.add(kind)
    }
  }

  private openTasks(kind: TaskKind): void {
    const count = this.partitionsOf(kind)
    const intervalMs = Math.max(1, kind.commitIntervalMs)
    const quietMs = kind.deltas
      ? 2 * (longestPublishMs(this.options) + intervalMs)
      : QUIET_MS + intervalMs
    const tasks: LockstepTask[] = []
    for (let p = 0; p < count; p++) {
      const rhythm: Rhythm = { intervalMs, quietMs, phaseMs: ((p + 0.5) * intervalMs) / count }
      tasks.push(new LockstepTask(kind.name, p, this.newCore(kind, p), rhythm))
    }
    // what only looks at tables is woken by nothing that arrives
    if (kind.inputs.length === 0 && !kind.deltas)
      for (const task of tasks) task.neverSleeps(this.time)
    this.byKind.set(kind.name, tasks)
    this.tasks.push(...tasks)
    for (const topic of kind.inputs) this.kindOfTopic.set(topic, kind.name)
  }

  private newCore(kind: TaskKind, partition: number): TaskCore {
    return new TaskCore({
      kind: withoutUnread(kind),
      partition,
      generation: 1,
      tables: this.settings.onRows !== undefined,
      outsideName: topic => topic,
      partitionsOf: name => this.partitionsOf(this.application.kinds.find(k => k.name === name)),
      now: () => this.time,
      wall: () => this.time,
      table: <T>(name: string) => this.table<T>(name),
      metrics: noMetrics,
      log: silentLogger,
    })
  }

  private partitionsOf(kind: TaskKind | undefined): number {
    return kind === undefined || kind.inputs.length === 0
      ? (kind?.partitions ?? 1)
      : this.partitions
  }

  /** Decoders ask for a schema at first sight and answer later: asked here, nothing waits afterwards. */
  async resolveSchemas(): Promise<void> {
    const ts = this.time
    const erasure = this.encoder.encode('Erasure', { eventId: 'e', userId: 'u', ts })
    const item = this.encoder.encode('Item', { itemId: 'i', title: '', creatorId: '' })
    for (const [topic, key, value] of [
      ['erasures', 'u', erasure],
      ['items', 'i', item],
    ] as const) {
      const task = this.taskOf(topic, key)
      const record = { offset: 0, timestamp: ts, key: Buffer.from(key), value, headers: [] }
      // a record whose schema is not known yet is not taken in
      await task.core.process(topic, record)
    }
  }

  // ---- what is known

  /** Event time, ms. */
  get now(): number {
    return this.time
  }

  /** A followed table by name. */
  table<T>(name: string): T {
    const followed = this.tables.get(name)
    if (!followed) throw new FreshetError('BUG', `a run in lockstep without the table ${name}`)
    return followed.table as T
  }

  get items(): MemoryItemTable {
    return this.table<MemoryItemTable>('items')
  }

  /** As the user task knows it now; valid until the next call of anything here. */
  user(userId: string): User | undefined {
    return this.users[partitionOfText(userId, this.partitions)]?.get(userId)
  }

  // ---- what happens

  /** Lets event time pass. It never goes back: an earlier time changes nothing. */
  advance(to: number): void {
    if (this.pace === 'asynchronous')
      for (let next = this.nextDue(); next && next.dueAt <= to; next = this.nextDue()) {
        this.time = Math.max(this.time, next.dueAt)
        this.commit(next)
      }
    if (to > this.time) this.time = to
  }

  /** An event as plain JSON of its record, `type` included (CONTRACT 1), at its own `ts`. */
  sendEvent(event: { readonly userId: string; readonly ts: number }): void {
    this.send('events', event.userId, Buffer.from(JSON.stringify(event)), event.ts)
  }

  /** A catalog row, or null to withdraw the item. */
  sendItem(itemId: string, item: RecordDrafts['Item'] | null, ts: number): void {
    this.send('items', itemId, item && this.encoder.encode('Item', item), ts)
  }

  /** A record of an outside topic (without prefix) arrives at `ts`, after all that was due before. */
  send(topic: string, key: string, value: Buffer | null, ts: number): void {
    this.advance(ts)
    const task = this.taskOf(topic, key)
    if (task.core.full) this.commit(task)
    const offset = task.offset(topic)
    const record = { offset, timestamp: ts, key: Buffer.from(key), value, headers: [] }
    if (task.core.process(topic, record))
      throw new FreshetError('BUG', `a record of ${topic} has a schema that was not registered`)
    task.wake(this.time)
    if (this.pace === 'immediate') this.settle()
  }

  /** Everything taken in so far is committed, delivered and applied now, but for what waits for its publishing interval. */
  settle(): void {
    for (let any = true; any; ) {
      any = false
      for (const task of this.tasks)
        if (task.touched) {
          this.commit(task)
          any = true
        }
    }
  }

  private nextDue(): LockstepTask | undefined {
    let next: LockstepTask | undefined
    for (const task of this.tasks)
      if (task.dueAt < (next?.dueAt ?? Number.POSITIVE_INFINITY)) next = task
    return next
  }

  private taskOf(topic: string, key: string): LockstepTask {
    const tasks = this.byKind.get(this.kindOfTopic.get(topic) ?? '')
    if (!tasks) throw new FreshetError('BUG', `no task of this run reads the topic ${topic}`)
    return tasks[partitionOfText(key, this.partitions)]
  }

  private commit(task: LockstepTask): void {
    const commit = task.commit(this.time)
    if (!commit) return
    const { packets, records, blocks, views } = commit.effects
    if (this.followedKinds.has(task.kind)) this.follow(task, commit)
    for (const { kind, partition, value } of packets) this.deliver(kind, partition, value)
    for (const { topic, headers } of records)
      if (topic === 'dead-letters') this.refused.push(`${headers.code}: ${headers.message}`)
    for (const { number, table, rows } of blocks) {
      if (rows) this.settings.onRows?.(table, rows, this.time)
      task.core.blockDelivered(number)
    }
    if (this.settings.onView) for (const view of views) this.settings.onView(view, this.time)
    task.core.delivered()
  }

  private deliver(kind: string, partition: number, value: Buffer): void {
    const to = this.byKind.get(kind)?.[partition]
    if (!to) return // its kind is left out
    if (to.core.full) this.commit(to)
    const offset = to.offset(DELTAS)
    to.core.takePacket({ offset, timestamp: this.time, key: null, value, headers: [] })
    to.wake(this.time)
  }

  private follow(task: LockstepTask, commit: Commit): void {
    const bytes = commit.batch.stamp(0n, 0, 0)
    const [batch] = decodeRecordSet(bytes, task.kind, task.partition, 0).batches
    for (const { spec, table } of this.tables.values()) {
      if (!spec.follows.includes(task.kind)) continue
      for (const { key, value } of batch.records)
        if (key !== null && key[0] !== 0)
          table.apply(
            task.kind,
            task.partition,
            key[0],
            new ByteReader(key, 1),
            value && new ByteReader(value),
          )
      table.batchApplied?.()
    }
  }
}

/**
 * The whole recommender at task level, composed as the command composes it (topologies/main.ts): user, item and statistic
 * tasks on real task cores, without transport or sinks. A test says what arrives, what the clock shows, and who commits,
 * ticks, or is lost and restored. Changelogs are lists of batches; delta packets wait until their receiver takes them.
 */
import { Encoder, type Experiment, SchemaRegistry } from '../../schemas/index.ts'
import { systemClock } from '../../streams/clock.ts'
import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { resolveOptions } from '../../streams/options.ts'
import { type Commit, DELTAS, TaskCore } from '../../streams/runtime/core.ts'
import { ByteReader } from '../../streams/serde/bytes.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { TableRow, ViewWrite } from '../../streams/topology/outbox.ts'
import type { Stage, TaskKind } from '../../streams/topology/stage.ts'
import type { FetchedBatch, LogRecord } from '../../streams/transport/port.ts'
import { decodeRecordSet } from '../../streams/transport/record-batch.ts'
import { ExperimentBook } from '../../topologies/experiments/book.ts'
import { MemoryItemTable } from '../../topologies/items/memory-table.ts'
import { createApplication, parseTopologies } from '../../topologies/main.ts'
import { type TopologyOptions, topologyOptions } from '../../topologies/options.ts'
import { compact } from './item-cluster.ts'
import type { JsonEvent } from './user-task.ts'

type Kind = 'user' | 'item' | 'statistics'

/** What travels once a commit is acknowledged. */
interface Sent {
  readonly views: ViewWrite[]
  /** Rows of tables by what they are keyed by, the newest revision. */
  readonly rows: Map<string, TableRow>
  deadLetters: number
}

const registry = new SchemaRegistry({ url: 'mock://recommender' })
const encoder = await Encoder.open(registry, 'freshet.')

interface Arrival {
  readonly topic: string
  readonly record: LogRecord
}

/** A task with its input and its changelog. */
class Held {
  core: TaskCore
  readonly batches: FetchedBatch[] = []
  /** Everything that ever came in; offsets are places in it. */
  readonly input: Arrival[] = []
  private taken = 0
  private readonly make: () => TaskCore

  constructor(make: () => TaskCore) {
    this.make = make
    this.core = make()
  }

  arrive(topic: string, record: Omit<LogRecord, 'offset'>): void {
    this.input.push({ topic, record: { ...record, offset: this.input.length } })
  }

  /** Takes in what has arrived, at most `limit` records. */
  take(limit = Number.POSITIVE_INFINITY): void {
    const end = Math.min(this.input.length, this.taken + limit)
    for (; this.taken < end; this.taken++) {
      const { topic, record } = this.input[this.taken]
      if (topic === DELTAS) this.core.takePacket(record)
      else if (this.core.process(topic, record)) throw new Error('a schema is not resolved')
    }
  }

  tick(): void {
    while (this.core.tick(5));
  }

  /** What is under way has arrived by now; the next commit is made and appended. */
  commit(): Commit | undefined {
    this.core.delivered()
    const commit = this.core.commit()
    if (!commit) return undefined
    const end = this.batches.at(-1)?.nextOffset ?? 0
    const bytes = Buffer.from(commit.batch.stamp(1n, 0, 0))
    bytes.writeBigInt64BE(BigInt(end), 0)
    this.batches.push(decodeRecordSet(bytes, 'changelog', 0, end).batches[0])
    return commit
  }

  /** All memory is lost, and restored from the changelog; what was not committed is taken in again. */
  restore(compacted: boolean): void {
    this.core = this.make()
    for (const batch of compacted ? compact(this.batches) : this.batches)
      this.core.restoreBatch(batch)
    this.core.restored()
    const topics = ['events', 'erasures', 'items', DELTAS]
    this.taken = Math.max(0, ...topics.map(topic => this.core.position(topic) ?? 0))
  }

  /** The rows that stand: by store number and key, in hex, without the runtime's own. */
  rows(): Map<string, Buffer> {
    const rows = new Map<string, Buffer>()
    for (const { records } of this.batches)
      for (const { key, value } of records) {
        if (key === null || key[0] === 0) continue
        const name = key.toString('hex')
        if (value === null) rows.delete(name)
        else rows.set(name, value)
      }
    return rows
  }
}

/** Task kinds of all topologies but the learner's; schemas are resolved, so that nothing waits. */
export interface Composition {
  readonly values: TopologyOptions
  readonly kinds: readonly TaskKind[]
  /** The experiments as the process knows them. */
  readonly book: ExperimentBook
}

/** `topologies` are to hold drift. */
export async function compose(
  flags: Readonly<Record<string, string>> = {},
  topologies = 'sessions,labels,popularity,covisit,topk,drift',
  experiments: readonly Experiment[] = [],
): Promise<Composition> {
  const { values } = resolveOptions(topologyOptions, { flags, environment: {}, file: {} })
  const book = new ExperimentBook(values)
  for (const each of experiments) book.apply(each.experiment, each)
  const { kinds } = createApplication({
    options: values,
    experiments: book,
    topologies: parseTopologies(topologies),
    schemas: registry,
    encoder,
    clock: systemClock,
  })
  const composition = { values, kinds, book }
  const probe = new Recommender({ composition, now: () => 0 })
  probe.arriveErasure('nobody', Date.UTC(2026, 0, 1))
  for (const { topic, record } of probe.users[0].input)
    await probe.users[0].core.process(topic, record)
  return composition
}

export interface RecommenderOptions {
  readonly composition: Composition
  readonly now: () => number
  /** User and item tasks; statistics has one. */
  readonly partitions?: number
}

export class Recommender {
  /** What each event came to, as the stages behind all others see it; by partition and offset. */
  readonly facts = new Map<string, string>()
  readonly sent: Sent = { views: [], rows: new Map(), deadLetters: 0 }
  readonly users: Held[] = []
  readonly items: Held[] = []
  readonly statistics: Held
  table: MemoryItemTable
  private readonly options: RecommenderOptions
  private tables = 0

  constructor(options: RecommenderOptions) {
    this.options = options
    this.table = this.newTable()
    const partitions = options.partitions ?? 1
    for (let p = 0; p < partitions; p++) {
      this.users.push(new Held(() => this.newCore('user', p)))
      this.items.push(new Held(() => this.newCore('item', p)))
    }
    this.statistics = new Held(() => this.newCore('statistics', 0))
  }

  /** Another process gives items other indices. */
  private newTable(): MemoryItemTable {
    const table = new MemoryItemTable(this.options.composition.values, undefined)
    for (let k = 0; k <= this.tables % 3; k++) table.index(`decoy-${k}`)
    this.tables++
    return table
  }

  private newCore(name: Kind, partition: number): TaskCore {
    const kind = this.options.composition.kinds.find(each => each.name === name)
    if (!kind) throw new Error(`no kind ${name}`)
    const { now, partitions = 1 } = this.options
    return new TaskCore({
      kind: name === 'user' ? this.watched(kind, partition) : kind,
      partition,
      generation: 1,
      outsideName: topic => topic,
      partitionsOf: to => (to === 'statistics' || to === 'learner' ? 1 : partitions),
      now,
      wall: now,
      table: <T>() => this.table as T,
      metrics: noMetrics,
      log: silentLogger,
    })
  }

  /** The kind with a stage behind all others that notes what each event came to. */
  private watched(kind: TaskKind, p: number): TaskKind {
    return {
      ...kind,
      create: ctx => {
        const logic = kind.create(ctx)
        const note: Stage = {
          name: 'noted',
          process: event => {
            const { offset, ts, ...e } = event as Record<string, unknown>
            const of = ['userId', 'kind', 'playStarted', 'watchedMs', 'positive', 'firstPositive']
            const more = ['completed', 'skipped', 'sessionStarted', 'closedSessionMs']
            const text = JSON.stringify([ts, ...[...of, ...more].map(name => e[name])])
            this.note(`${p}@${offset}`, text)
            return undefined
          },
        }
        return { ...logic, stages: [...logic.stages, note] }
      },
    }
  }

  /** What is taken in again must come to the same. */
  private note(at: string, text: string): void {
    const known = this.facts.get(at)
    if (known !== undefined && known !== text)
      throw new Error(`${at} came to ${known}, and after a restart to ${text}`)
    this.facts.set(at, text)
  }

  private userOf(userId: string): Held {
    return this.users[partitionOfText(userId, this.users.length)]
  }

  /** An event on the events topic, taken in by `takeUser`. */
  arrive(event: JsonEvent, timestamp = event.ts): void {
    const value = Buffer.from(JSON.stringify({ consent: 'full', ...event }))
    const key = Buffer.from(event.userId)
    this.userOf(event.userId).arrive('events', { timestamp, key, value, headers: [] })
  }

  arriveErasure(userId: string, ts: number): void {
    const value = encoder.encode('Erasure', { eventId: `erasure ${ts}`, userId, ts })
    const key = Buffer.from(userId)
    this.userOf(userId).arrive('erasures', { timestamp: ts, key, value, headers: [] })
  }

  tickAll(): void {
    for (const task of [...this.users, ...this.items, this.statistics]) task.tick()
  }

  commitUser(p: number): void {
    this.deliver(this.users[p])
  }

  /** Item task `p` takes in its packets and commits; the item table follows. */
  commitItem(p: number): void {
    const task = this.items[p]
    task.take()
    task.tick()
    if (this.deliver(task)) this.follow(p, task.batches.at(-1) as FetchedBatch)
  }

  /** As the runtime does: a commit takes so many windows, and the next follows at once where more are due. */
  commitStatistics(): void {
    this.statistics.take()
    do this.deliver(this.statistics)
    while (this.statistics.core.urgent())
  }

  /** Rows of the one-minute window of a subject, as written last. */
  windowCount(subject: string, start: number): unknown {
    for (const row of this.sent.rows.values())
      if (
        row.subject === subject &&
        row.segment === '' &&
        row.window_start === start &&
        row.window_end === start + 60_000 &&
        row.edges_id !== undefined &&
        !/@|^reference:/.test(String(row.edges_id))
      )
        return row.n
    return undefined
  }

  commitAll(): void {
    for (let p = 0; p < this.users.length; p++) this.commitUser(p)
    for (let p = 0; p < this.items.length; p++) this.commitItem(p)
    this.commitStatistics()
  }

  /** The process dies; another one, whose items have other indices, restores every task. */
  restart(compacted: boolean): void {
    this.table = this.newTable()
    for (const [p, task] of this.items.entries())
      for (const batch of task.batches) this.follow(p, batch)
    for (const task of [...this.users, ...this.items, this.statistics]) task.restore(compacted)
  }

  private follow(p: number, batch: FetchedBatch): void {
    for (const { key, value } of batch.records)
      if (key && key[0] !== 0)
        this.table.apply(
          'item',
          p,
          key[0],
          new ByteReader(key, 1),
          value ? new ByteReader(value) : null,
        )
  }

  /** Commits a task; its effects arrive at once. False where there was nothing to commit. */
  private deliver(task: Held): boolean {
    const commit = task.commit()
    if (!commit) return false
    const { packets, records, blocks, views } = commit.effects
    for (const { kind, partition, value } of packets) {
      const to = kind === 'statistics' ? this.statistics : kind === 'item' && this.items[partition]
      if (to) to.arrive(DELTAS, { timestamp: 0, key: null, value, headers: [] })
    }
    for (const { topic } of records) if (topic === 'dead-letters') this.sent.deadLetters++
    for (const view of views) this.sent.views.push(view)
    for (const { number, table, rows } of blocks) {
      for (const row of rows ?? []) this.keep(table, row)
      task.core.blockDelivered(number)
    }
    return true
  }

  private keep(table: string, row: TableRow): void {
    const { rows } = this.sent
    // rows that are used no more count as gone: which of them had left by then depends on when commits were made
    if (row.order !== undefined || row.store === 'use') {
      const { examples } = (row.order ?? { examples: row.asked }) as { examples: number }
      for (const [key, { user, ts }] of rows)
        if (key.startsWith('examples|') && user === row.pseudonym && Number(ts) <= examples)
          rows.delete(key)
      return
    }
    const by = ['request', 'user', 'item', 'ts', 'subject', 'segment', 'window_start']
    const more = ['window_end', 'edges_id', 'statistic', 'rule', 'since']
    const split = ['policy', 'arm', 'surface', 'model', 'metric', 'bin', 'time', 'experiment']
    const key = [table, ...[...by, ...more, ...split].map(name => row[name])].join('|')
    if (Number(rows.get(key)?.revision ?? 0) <= Number(row.revision)) rows.set(key, row)
  }
}

/** Names the rows of a task's exact stores, so that a difference is readable. */
export function exactRows(task: Held, soft: readonly number[]): string[] {
  return [...task.rows()]
    .filter(([key]) => !soft.includes(Number.parseInt(key.slice(0, 2), 16)))
    .map(([key, value]) => {
      const text = Buffer.from(key, 'hex')
        .toString('latin1')
        .replaceAll(/[^ -~]/g, '.')
      return `${Number.parseInt(key.slice(0, 2), 16)} ${text.slice(1)} ${key} = ${value.toString('hex')}`
    })
    .sort()
}

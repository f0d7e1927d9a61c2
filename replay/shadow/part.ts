/**
 * Some tasks of a replay, on real task cores (decoding, commits, changelog bytes, packets, followed tables), driven by steps
 * of the log's time. Reads no clock and throws no dice: the same steps with the same inboxes give the same state.
 */
import type { Logger } from '../../streams/log.ts'
import type { Metrics } from '../../streams/metrics.ts'
import { type Commit, DELTAS, TaskCore } from '../../streams/runtime/core.ts'
import type { Application, TaskKind } from '../../streams/topology/stage.ts'
import { Carried } from './carried.ts'
import { TaskFeed } from './feed.ts'
import type { Outputs } from './outputs.ts'
import type { RecordSource } from './source.ts'
import type { ReplaySpec } from './spec.ts'
import {
  byTask,
  type FollowedBatch,
  type Inbox,
  isBefore,
  type ReplayPart,
  type SentPacket,
  type Step,
  type StepReport,
  type TaskMarks,
} from './steps.ts'
import { PartTables } from './tables.ts'
import { readLog, TaskLog } from './task-log.ts'

/** A tick's budget in ms; the log's time stands still within a step, so it ends when its work does. */
const TICK_MS = 5

export interface PartSettings {
  readonly application: Application
  /** Number of tasks of each kind. */
  readonly counts: ReadonlyMap<string, number>
  readonly owns: (kind: string, partition: number) => boolean
  readonly spec: ReplaySpec
  /** Folder of the tasks' logs. */
  readonly stateDir: string
  readonly source: RecordSource
  readonly outputs: Outputs
  readonly metrics: Metrics
  readonly log: Logger
}

interface PartTask {
  readonly kind: TaskKind
  readonly name: string
  readonly partition: number
  readonly core: TaskCore
  readonly log: TaskLog
  readonly carried: Carried
  readonly feed: TaskFeed | undefined
}

export class LocalPart implements ReplayPart {
  private readonly settings: PartSettings
  private readonly tables: PartTables
  private readonly tasks: PartTask[] = []
  private readonly byName = new Map<string, PartTask>()
  private readonly followed: ReadonlySet<string>
  private time = 0
  /** What its own tasks committed in the step before, for its tables. */
  private own: readonly FollowedBatch[] = []
  private sent: { packets: SentPacket[]; followed: FollowedBatch[] } = { packets: [], followed: [] }
  private deadLetters = 0

  constructor(settings: PartSettings) {
    this.settings = settings
    const { application, counts, owns, metrics, log } = settings
    const named = new Set<string>()
    for (const kind of application.kinds)
      for (let p = 0; p < (counts.get(kind.name) ?? 0); p++)
        if (owns(kind.name, p)) for (const table of kind.tables) named.add(table)
    this.tables = new PartTables(application, named, { now: () => this.time, metrics, log })
    this.followed = new Set(application.tables.flatMap(table => table.follows))
  }

  async open(marks: TaskMarks, after: Step | null): Promise<Step | undefined> {
    const { application, counts, owns, spec, stateDir } = this.settings
    this.time = after === null ? 0 : timeOf(after, spec.stepMs)
    for (const kind of this.tables.follows)
      for (let p = 0; p < (counts.get(kind) ?? 0); p++) {
        const mark = marks[`${kind}-${p}`]
        if (mark === undefined) continue
        for (const batch of readLog(stateDir, `${kind}-${p}`, mark))
          this.tables.applyBatch(kind, p, batch)
      }
    for (const kind of application.kinds)
      for (let p = 0; p < (counts.get(kind.name) ?? 0); p++)
        if (owns(kind.name, p)) this.openTask(kind, p, marks, after)
    return this.next()
  }

  private openTask(kind: TaskKind, partition: number, marks: TaskMarks, after: Step | null): void {
    const { spec, stateDir, source } = this.settings
    const name = `${kind.name}-${partition}`
    const carried = new Carried()
    const core = this.newCore(carried.of(kind), partition)
    const log = TaskLog.open(stateDir, name, marks[name])
    for (const batch of log.batches()) core.restoreBatch(batch)
    const { blocks, views } = core.restored()
    // they were acknowledged before the checkpoint
    for (const { number } of blocks) core.blockDelivered(number)
    for (const view of views) this.settings.outputs.view(view, this.time)
    const inputs = kind.inputs.map(topic => {
      const [start, end] = spec.ranges[topic]?.[partition] ?? [0, 0]
      const position = core.position(topic)
      if (position === undefined) core.advance(topic, start)
      return { topic, range: [Math.max(start, position ?? start), end] as const }
    })
    const feed =
      inputs.length === 0 ? undefined : new TaskFeed(source, partition, inputs, spec.stepMs, after)
    carried.take(marks[name]?.carried)
    const task = { kind, name, partition, core, log, carried, feed }
    this.tasks.push(task)
    this.byName.set(name, task)
  }

  private newCore(kind: TaskKind, partition: number): TaskCore {
    const { spec, counts, metrics, log, outputs } = this.settings
    return new TaskCore({
      kind,
      partition,
      generation: spec.generation,
      tables: outputs.hasTables,
      outsideName: topic => topic,
      partitionsOf: name => counts.get(name) ?? 0,
      now: () => this.time,
      wall: () => this.time,
      table: <T>(name: string) => this.tables.get<T>(name),
      metrics,
      log,
    })
  }

  private async next(): Promise<Step | undefined> {
    let next: Step | undefined
    for (const { feed } of this.tasks) {
      const step = await feed?.next()
      if (step && (next === undefined || isBefore(step, next))) next = step
    }
    return next
  }

  async step(step: Step, inbox: Inbox, settle: boolean): Promise<StepReport> {
    const { spec, outputs } = this.settings
    this.time = timeOf(step, spec.stepMs)
    const followed = [...this.own, ...inbox.followed].sort(byTask)
    for (const batch of followed) this.tables.apply(batch)
    for (const packet of inbox.packets) this.takeIn(packet)
    let records = 0
    for (const { core, feed } of this.tasks) {
      if (!feed) continue
      const next = await feed.next()
      if (next && !isBefore(step, next)) records += await feed.feed(core, step)
      else if (!next) feed.finish(core)
    }
    for (const task of this.tasks) {
      while (task.core.tick(TICK_MS));
      this.commit(task, settle)
      // as live: what a commit leaves due is written with the next one, at once
      if (task.feed === undefined)
        while (task.core.urgent() && this.commit(task, settle)) await outputs.room()
    }
    await outputs.room()
    const { sent, deadLetters } = this
    this.own = sent.followed
    this.sent = { packets: [], followed: [] }
    this.deadLetters = 0
    return { next: await this.next(), sent, records, deadLetters }
  }

  private takeIn({ kind, partition, value }: SentPacket): void {
    const task = this.byName.get(`${kind}-${partition}`)
    if (!task) return // its topology is left out
    if (task.core.full) this.commit(task, false)
    const offset = task.core.position(DELTAS) ?? 0
    task.core.takePacket({ offset, timestamp: this.time, key: null, value, headers: [] })
  }

  /** False: there was nothing to commit. */
  private commit(task: PartTask, settle: boolean): boolean {
    const commit = task.core.commit(false, settle)
    if (commit === undefined) return false
    const bytes = task.log.append(commit.batch)
    const { kind, partition } = task
    if (this.followed.has(kind.name)) this.sent.followed.push({ kind: kind.name, partition, bytes })
    this.bringOut(task, commit)
    task.core.delivered()
    return true
  }

  private bringOut({ name, core }: PartTask, { effects }: Commit): void {
    const { outputs } = this.settings
    for (const packet of effects.packets) this.sent.packets.push({ from: name, ...packet })
    for (const { topic } of effects.records) if (topic === 'dead-letters') this.deadLetters++
    for (const { number, table, rows } of effects.blocks) {
      if (rows) outputs.rows(table, rows, this.time)
      core.blockDelivered(number)
    }
    for (const view of effects.views) outputs.view(view, this.time)
  }

  async checkpoint(): Promise<TaskMarks> {
    await this.settings.outputs.flush()
    const marks: Record<string, TaskMarks[string]> = {}
    for (const { name, log, carried } of this.tasks)
      marks[name] = { ...(await log.sync()), carried: carried.carry() }
    return marks
  }

  async close(): Promise<void> {
    for (const { feed, log } of this.tasks) {
      await feed?.close()
      log.close()
    }
    await this.settings.source.close()
  }
}

/** The log's time in a step, ms: its end. */
const timeOf = ({ at }: Step, stepMs: number): number => (at + 1) * stepMs

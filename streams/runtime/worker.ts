/**
 * One process: joins the group, opens and closes tasks as they are assigned, and runs the one loop that feeds them.
 * The loop gives each running task a slice, lets the event loop breathe, and sleeps in `poll` when there is nothing to do.
 */
import type { Clock } from '../clock.ts'
import { type ErrorCode, FreshetError, mendOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Application } from '../topology/stage.ts'
import type { FetchedBatch, LogReader, Membership, TaskId, Transport } from '../transport/port.ts'
import type { Outlets } from './delivery.ts'
import { FollowedTables } from './followed-tables.ts'
import { Generations } from './generations.ts'
import { type TopicNames, taskName } from './names.ts'
import { Task } from './task.ts'
import { TaskMeter } from './task-meter.ts'
import { lagOf, progressOf, type TaskProgress, type TopicLag } from './task-progress.ts'
import {
  countPartitions,
  ensureInternalTopics,
  internalTopics,
  refuseRemovedState,
} from './topics.ts'
import { within } from './within.ts'

/** A task's turn. Short, so that no task waits long for its commit when many share the process. */
const SLICE_MS = 5
const IDLE_POLL_MS = 20
const REOPEN_MS = 2_000
const TOUCH_MS = 10 * 60_000
/** Sockets and timers get their turn at least this often, however many tasks have work. */
const TURN_MS = 10

/**
 * What a worker that slept runs into before it hears that its tasks have another owner, who went on and trimmed the log, or
 * whose commits made the cleaner take those that a restore under way was yet to read. So they are believed only when a new
 * claim of the task finds the same.
 */
const RECHECKED: ReadonlySet<ErrorCode> = new Set([
  'POSITION_LOST',
  'STATE_REMOVED',
  'CHANGELOG_CORRUPT',
  'DELTA_GAP',
  'DELTA_GENERATION',
  // a task that is claimed anew begins with small commits
  'ROW_TOO_LARGE',
])

export interface WorkerSettings {
  readonly application: Application
  readonly transport: Transport
  /** Of the state in force (`inForce`). */
  readonly names: TopicNames
  readonly outlets: Outlets
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly generation: number
  readonly groupId: string
  readonly clientId: string
  readonly sessionTimeoutMs: number
  readonly writerDeadlineMs: number
  /** How often an idle task touches its log (C2); 10 min where it is not given. Far below the broker's producer-id expiry. */
  readonly touchMs?: number
  readonly startAt: 'earliest' | 'latest'
}

export interface TaskStatus {
  readonly task: string
  readonly state: string
}

export class Worker {
  private readonly settings: WorkerSettings
  private readonly reader: LogReader
  private readonly generations: Generations
  private readonly tasks = new Map<string, Task>()
  private readonly meters = new WeakMap<Task, TaskMeter>()
  private readonly routes = new Map<string, Task>()
  private readonly tables: FollowedTables
  private counts: ReadonlyMap<string, number> = new Map()
  private membership: Membership | undefined
  private wanted = new Set<string>()
  /** What tasks were lost for that is to be found again before it is believed. */
  private readonly suspected = new Map<string, ErrorCode>()
  /** The group dealt this process its tasks, perhaps none, and that still holds. */
  private dealt = false
  private stopping = false
  private failure: unknown
  private markStopped: () => void = () => undefined
  private readonly stopped = new Promise<void>(resolve => {
    this.markStopped = resolve
  })
  private finished: Promise<void> | undefined
  private wakeUp: () => void = () => undefined
  private lastOffsetsAt = 0

  constructor(settings: WorkerSettings) {
    this.settings = settings
    this.reader = settings.transport.reader()
    const { application, transport, names, clock, metrics, log } = settings
    this.tables = new FollowedTables(application.tables, {
      transport,
      names,
      partitionsOf: kind => this.partitionsOf(kind),
      now: () => clock.now(),
      metrics,
      log,
      onFailure: error => this.fail(error),
    })
    this.generations = new Generations({ transport, names, wall: () => clock.wall() })
  }

  /** Checks topics, makes freshet's own, joins the group. Resolves when joined; tasks open behind it. */
  async start(): Promise<void> {
    const { application, names, transport } = this.settings
    this.counts = await countPartitions(application, names, transport.topics)
    const kinds = application.kinds.map(kind => kind.name)
    const { groupId, generation } = this.settings
    const { born } = await this.generations.enter(groupId, generation, kinds)
    const hadState = (task: TaskId): boolean => born.has(taskName(task))
    await refuseRemovedState(application, names, transport.topics, hadState, this.counts)
    await ensureInternalTopics(transport.topics, internalTopics(application, names, this.counts))
    const ids = application.kinds.flatMap(kind =>
      Array.from({ length: this.partitionsOf(kind.name) }, (_, partition) => ({
        kind: kind.name,
        partition,
      })),
    )
    this.finished = this.loop()
    this.finished.catch(error => this.fail(error))
    this.membership = await transport.join({
      groupId,
      clientId: this.settings.clientId,
      sessionTimeoutMs: this.settings.sessionTimeoutMs,
      identity: names.outside(`g${generation}`),
      tasks: async () => ids,
      topicsOf: kind =>
        (application.kinds.find(k => k.name === kind)?.inputs ?? []).map(names.outside),
      onRebalance: async () => {
        const commits = Promise.all([...this.tasks.values()].map(task => task.commitNow()))
        // a store that does not answer must not keep the next assignment waiting
        await within(this.settings.clock, this.settings.sessionTimeoutMs / 2, commits)
      },
      onAssigned: tasks => this.assigned(tasks),
      onRefused: error => this.fail(error),
      onLost: async reason => {
        this.settings.log.warn({ reason }, 'left out of the group: all tasks are dropped')
        this.dealt = false
        this.wanted.clear()
        for (const task of this.tasks.values()) task.drop()
        this.tasks.clear()
        this.routes.clear()
      },
    })
  }

  status(): TaskStatus[] {
    return [...this.tasks.values()].map(task => ({ task: task.name, state: task.state }))
  }

  /** Tasks were dealt, and all of them run. */
  get ready(): boolean {
    return (
      this.dealt &&
      [...this.tasks.values()].every(t => t.state === 'running' || t.state === 'committing')
    )
  }

  /** What is being waited for outside. */
  waiting(): string[] {
    return this.dependencies().flatMap(({ waitingFor }) => waitingFor ?? [])
  }

  /** All that may have to be waited for, by name, and what is being waited for there. */
  dependencies(): { name: string; waitingFor: string | undefined }[] {
    const { transport, outlets, application } = this.settings
    return [
      { name: transport.name, waitingFor: transport.waiting() },
      { name: 'views', waitingFor: outlets.views?.waiting() },
      { name: 'tables', waitingFor: outlets.tables?.waiting() },
      { name: 'schemas', waitingFor: application.waiting?.() },
    ]
  }

  /** Records behind the high watermark per outside topic-partition that this process owns. */
  lag(): TopicLag[] {
    return [...this.tasks.values()].flatMap(task => lagOf(task, this.reader))
  }

  /** Of each task that runs, since the last call. */
  progress(): TaskProgress[] {
    return [...this.tasks.values()].flatMap(task => {
      const meter = this.meters.get(task)
      return meter ? [progressOf(task, meter, this.reader)] : []
    })
  }

  /** Settles once everything is let go after `stop`; rejects with what made it stop by itself. */
  async done(): Promise<void> {
    await this.stopped
    if (this.failure !== undefined) throw this.failure
  }

  /** Commits everything, lets go of all tasks, leaves the group. Called again: the same stop. */
  stop(): Promise<void> {
    if (!this.stopping) {
      this.stopping = true
      this.letGo().then(this.markStopped, error => {
        this.failure ??= error
        this.markStopped()
      })
    }
    return this.stopped
  }

  private async letGo(): Promise<void> {
    await Promise.all([...this.tasks.values()].map(task => task.close()))
    await this.reportOffsets()
    await this.membership?.leave()
    await this.tables.keep(new Set())
    this.wakeUp()
    await this.reader.close()
    await this.finished?.catch(error => this.fail(error))
  }

  // ---- tasks

  private async assigned(ids: readonly TaskId[]): Promise<void> {
    if (this.stopping || !(await this.stillInForce())) return
    this.wanted = new Set(ids.map(taskName))
    const revoked = [...this.tasks.values()].filter(task => !this.wanted.has(task.name))
    await Promise.all(revoked.map(task => this.close(task)))
    if (this.stopping) return
    for (const id of ids) if (!this.tasks.has(taskName(id))) this.open(id)
    this.dealt = true
    const kindOf = (task: Task) =>
      this.settings.application.kinds.find(k => k.name === task.id.kind)
    await this.tables.keep(new Set([...this.tasks.values()].flatMap(t => kindOf(t)?.tables ?? [])))
  }

  /** A reset may have come between the start and the group's first deal, which alone keeps a reset out. */
  private async stillInForce(): Promise<boolean> {
    if (this.dealt) return true
    const { application, groupId, generation } = this.settings
    try {
      const kinds = application.kinds.map(kind => kind.name)
      await this.generations.enter(groupId, generation, kinds)
      return true
    } catch (error) {
      this.fail(error)
      return false
    }
  }

  private open(id: TaskId): void {
    const { settings } = this
    const kind = settings.application.kinds.find(k => k.name === id.kind)
    if (!kind)
      throw new FreshetError(
        'BUG',
        `assigned a task of kind ${id.kind}, which this application does not have`,
      )
    for (const name of kind.tables) this.tables.follow(name)
    const metrics = new TaskMeter(settings.metrics)
    const task: Task = new Task(id, kind, {
      transport: settings.transport,
      reader: this.reader,
      outlets: settings.outlets,
      clock: settings.clock,
      log: settings.log,
      metrics,
      generation: settings.generation,
      writerDeadlineMs: settings.writerDeadlineMs,
      touchMs: settings.touchMs ?? TOUCH_MS,
      startAt: settings.startAt,
      partitionsOf: name => this.partitionsOf(name),
      births: name => this.generations.birthsOf(name),
      table: <T>(name: string) => this.tables.follow(name).table as T,
      tablesReady: async names => {
        await Promise.all(names.map(name => this.tables.follow(name).caughtUp))
      },
      deltaPartitions: () => this.deltaPartitions(),
      wake: () => this.wakeUp(),
      onLost: (lost, error) => this.lost(lost, error),
    })
    this.tasks.set(task.name, task)
    this.meters.set(task, metrics)
    for (const topic of task.topics) this.routes.set(`${topic}-${id.partition}`, task)
    void task.open()
  }

  private async close(task: Task): Promise<void> {
    await task.close()
    this.suspected.delete(task.name)
    this.forget(task)
  }

  private forget(task: Task): void {
    if (this.tasks.get(task.name) !== task) return
    this.tasks.delete(task.name)
    for (const topic of task.topics) this.routes.delete(`${topic}-${task.id.partition}`)
  }

  private lost(task: Task, error: unknown): void {
    this.forget(task)
    const code = error instanceof FreshetError ? error.code : 'BUG'
    this.settings.log.error({ task: task.name, code }, `task lost: ${messageOf(error)}`)
    const recheck =
      RECHECKED.has(code) && (task.hasCommitted || this.suspected.get(task.name) !== code)
    this.suspected.set(task.name, code)
    if (mendOf(error) !== 'task' && !recheck) {
      this.fail(error)
      return
    }
    void this.settings.clock.sleep(REOPEN_MS).then(() => {
      if (!this.stopping && this.wanted.has(task.name) && !this.tasks.has(task.name))
        this.open(task.id)
    })
  }

  private fail(error: unknown): void {
    if (this.failure === undefined) this.failure = error
    void this.stop()
  }

  private partitionsOf(kind: string): number {
    const count = this.counts.get(kind)
    if (count === undefined)
      throw new FreshetError('BUG', `task kind ${kind} is not part of this application`)
    return count
  }

  private deltaPartitions() {
    const { application, names } = this.settings
    return application.kinds
      .filter(kind => kind.deltas)
      .flatMap(kind =>
        Array.from({ length: this.partitionsOf(kind.name) }, (_, partition) => ({
          topic: names.deltas(kind.name),
          partition,
        })),
      )
  }

  // ---- the loop

  private async loop(): Promise<void> {
    const { clock } = this.settings
    let turnedAt = clock.now()
    let woken = false
    this.wakeUp = () => {
      woken = true
    }
    while (!this.stopping) {
      let more = false
      for (const task of this.tasks.values()) {
        if (task.step(SLICE_MS)) more = true
        if (clock.now() - turnedAt < TURN_MS) continue
        await clock.turn()
        turnedAt = clock.now()
      }
      const batches = await this.poll(more || woken ? 0 : IDLE_POLL_MS)
      woken = false
      for (const batch of batches)
        this.routes.get(`${batch.topic}-${batch.partition}`)?.accept(batch)
      // sockets and timers get their turn even under full load
      if (more || batches.length > 0) await clock.turn()
      turnedAt = clock.now()
      if (turnedAt - this.lastOffsetsAt > 5_000) void this.reportOffsets()
    }
  }

  /** A position that is gone loses the task that stood there: claimed anew it knows better, or finds the same. */
  private async poll(maxWaitMs: number): Promise<FetchedBatch[]> {
    try {
      return await this.reader.poll(maxWaitMs)
    } catch (error) {
      if (!(error instanceof FreshetError) || error.code !== 'POSITION_LOST') throw error
      const { at } = error
      const task = at && this.routes.get(`${at.topic}-${at.partition}`)
      if (!task) throw error
      task.lose(error)
      return []
    }
  }

  private async reportOffsets(): Promise<void> {
    this.lastOffsetsAt = this.settings.clock.now()
    const positions = [...this.tasks.values()].flatMap(task => task.committedPositions())
    if (positions.length > 0) await this.membership?.commitOffsets(positions)
  }
}

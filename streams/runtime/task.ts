/**
 * The shell of a task: claims it, restores it, feeds its core, commits, delivers, closes. Commit order reads aloud in
 * `cycle`: append the batch (C1); when it is acknowledged bring out its effects (C3); only then may the next be appended.
 * Processing goes on meanwhile, until the next commit would be too large (C7).
 */
import type { Clock } from '../clock.ts'
import { FreshetError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { TaskKind } from '../topology/stage.ts'
import type {
  FetchedBatch,
  LogReader,
  TaskId,
  TopicPartition,
  Transport,
} from '../transport/port.ts'
import { claim, type Ownership } from './claim.ts'
import { type Commit, DELTAS, TaskCore } from './core.ts'
import { Delivery, type Outlets } from './delivery.ts'
import type { Births } from './generations.ts'
import { Lease } from './lease.ts'
import { Lifecycle, type TaskState } from './lifecycle.ts'
import { taskName, viewVersion } from './names.ts'
import { readUpTo } from './restore.ts'
import { ShownMark } from './shown-mark.ts'
import { readBlocks } from './table-blocks.ts'
import { TaskInput } from './task-input.ts'
import { DeltaTrim } from './trim.ts'
import { within } from './within.ts'

/** How long the end of a task waits for its last commit, and then for its table blocks (gathered for a second). */
const COMMIT_LIMIT_MS = 10_000
const SETTLE_MS = 2_000

export interface TaskSurroundings {
  readonly transport: Transport
  readonly reader: LogReader
  readonly outlets: Outlets
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly generation: number
  readonly writerDeadlineMs: number
  /** An idle task writes an empty commit this often: brokers forget idle producer ids after a day (C2). */
  readonly touchMs: number
  readonly startAt: 'earliest' | 'latest'
  readonly partitionsOf: (kind: string) => number
  /** Absent where nobody keeps a journal. */
  readonly births?: (task: string) => Births
  readonly table: <T>(name: string) => T
  readonly tablesReady: (names: readonly string[]) => Promise<void>
  /** All delta partitions there are: where a line of epochs may have written. */
  readonly deltaPartitions: () => readonly TopicPartition[]
  /** Wakes the loop after something came from elsewhere. */
  readonly wake: () => void
  /** The task is lost: fenced, stalled, or broken by a bug or a corrupt log. */
  readonly onLost: (task: Task, error: unknown) => void
}

export class Task {
  readonly id: TaskId
  readonly name: string
  private readonly kind: TaskKind
  private readonly around: TaskSurroundings
  private readonly life: Lifecycle
  private readonly input: TaskInput
  /** An end waits for it: it would fence the next owner if it came behind that one's. */
  private claiming: Promise<unknown> = Promise.resolve()
  private core: TaskCore | undefined
  private ownership: Ownership | undefined
  private delivery: Delivery | undefined
  private shown: ShownMark | undefined
  private cycleUnderWay: Promise<void> | undefined
  private lastCommitAt = 0
  private readonly lease: Lease
  private readonly changelog: TopicPartition
  private readonly trim: DeltaTrim
  private blocked = false
  private draining = false
  private committed: ReadonlyMap<string, number> = new Map()

  constructor(id: TaskId, kind: TaskKind, around: TaskSurroundings) {
    this.id = id
    this.kind = kind
    this.around = around
    this.name = taskName(id)
    this.life = new Lifecycle(this.name)
    const { clock, log, transport } = around
    const { names } = around.outlets
    this.lease = new Lease(around.touchMs, clock.now())
    this.input = new TaskInput(id, kind, names, around.reader)
    this.changelog = { topic: names.changelog(kind.name), partition: id.partition }
    const deltas = { topic: names.deltas(kind.name), partition: id.partition }
    this.trim = new DeltaTrim(deltas, { topics: transport.topics, clock, log })
  }

  /** Full names of the topics it reads. */
  get topics(): readonly string[] {
    return this.input.topics
  }

  get state(): TaskState {
    return this.life.state
  }

  /** Claims, restores, delivers the last outbox again, waits for tables, begins. Failures go to `onLost`. */
  async open(): Promise<void> {
    try {
      await this.begin()
    } catch (error) {
      if (error instanceof FreshetError && error.code === 'CLOSED') return
      this.lose(error)
    }
  }

  private async begin(): Promise<void> {
    const { around } = this
    const startedAt = around.clock.now()
    const cancelled = (): boolean => this.life.gone
    this.life.to('claiming')
    this.lease.renew(startedAt)
    const claimed = claim(
      {
        transport: around.transport,
        changelog: this.changelog,
        outboxPartitions: around.deltaPartitions,
        writerDeadlineMs: around.writerDeadlineMs,
        clock: around.clock,
        births: around.births?.(this.name),
      },
      cancelled,
    )
    this.claiming = claimed.catch(() => undefined)
    const ownership = await claimed
    if (cancelled()) return
    this.life.to('restoring')
    this.ownership = ownership
    const core = new TaskCore({
      ...around,
      kind: this.kind,
      partition: this.id.partition,
      stateGeneration: around.outlets.names.state.generation,
      token: ownership.token,
      tables: around.outlets.tables !== null,
      outsideName: around.outlets.names.outside,
      now: () => around.clock.now(),
      wall: () => around.clock.wall(),
    })
    this.core = core
    await readUpTo(
      around.transport,
      this.changelog,
      ownership.token,
      batch => core.restoreBatch(batch),
      cancelled,
    )
    if (cancelled()) return
    const effects = core.restored()
    this.shown = this.shownMark(core)
    this.delivery = new Delivery({
      ...around,
      writer: ownership.writer,
      blockDelivered: number => core.blockDelivered(number),
      readBlocks: at => readBlocks(around.transport, this.changelog, at),
      shown: this.shown,
    })
    await this.delivery.deliver(effects, this.versionOf(core.lastCommit))
    if (cancelled()) return
    around.metrics
      .histogram('freshet_restore_seconds', { kind: this.kind.name })
      .observe((around.clock.now() - startedAt) / 1000)
    this.life.to('waiting')
    await around.tablesReady(this.kind.tables)
    if (cancelled()) return
    const first = await this.showRestored(core, this.delivery)
    if (cancelled()) return
    await this.input.assign(core, around.startAt, around.transport.topics, cancelled)
    if (cancelled()) return
    this.lastCommitAt = around.clock.now()
    this.life.to('running')
    if (first) this.startCycle(core, first)
    around.wake()
  }

  /**
   * What the last batch's rows show may never have left, and only as long as they are the last ones does a restore know
   * them: so it leaves before anything is appended. Returns the commit it was made with, less what has left.
   */
  private async showRestored(core: TaskCore, delivery: Delivery): Promise<Commit | undefined> {
    const commit = core.commit()
    if (commit === undefined) return undefined
    const { effects } = commit
    const shown = { ...effects, packets: [], records: [], blocks: [] }
    await delivery.deliver(shown, this.versionOf(commit.number), commit)
    return { ...commit, effects: { ...effects, views: [], published: [] } }
  }

  private versionOf(commit: number): string {
    return viewVersion(this.around.generation, (this.ownership as Ownership).token, commit)
  }

  private shownMark(core: TaskCore): ShownMark | undefined {
    const { views } = this.around.outlets
    if (views === null || !core.refills) return undefined
    return new ShownMark({
      ...this.around,
      views,
      core,
      kind: this.kind.name,
      versionOf: commit => this.versionOf(commit),
      onFailure: error => this.lose(error),
    })
  }

  // ---- input

  accept(batch: FetchedBatch): void {
    if (!this.life.gone) this.input.accept(batch)
  }

  /** Works for about `budgetMs`; true where input is left that could be worked on now. */
  step(budgetMs: number): boolean {
    const { core } = this
    if (
      !core ||
      this.draining ||
      (this.life.state !== 'running' && this.life.state !== 'committing')
    )
      return false
    try {
      // what a stage holds already may be as much as one commit takes
      if (core.full) this.maybeCommit(core)
      const more = this.processSlice(core, budgetMs)
      // what a tick makes goes out with the next commit too (C7)
      const work = !this.mustWait(core) && core.tick(budgetMs)
      this.maybeCommit(core)
      return more || work
    } catch (error) {
      this.lose(error)
      return false
    }
  }

  /** The next commit is as large as one may be, and the one before it is not yet out (C7). */
  private mustWait(core: TaskCore): boolean {
    return this.cycleUnderWay !== undefined && core.full
  }

  private processSlice(core: TaskCore, budgetMs: number): boolean {
    const { clock } = this.around
    const until = clock.now() + budgetMs
    let count = 0
    let over = false
    const { left, wait } = this.input.drain(
      core,
      () => !over && !this.blocked && !this.mustWait(core),
      (name, record) => {
        if (name === DELTAS) core.takePacket(record)
        else {
          const waits = core.process(name, record)
          if (waits) return waits
        }
        // a packet holds many events: the clock is looked at after each
        if (name === DELTAS || (++count & 63) === 0) {
          if (core.full) this.maybeCommit(core)
          over = clock.now() > until
        }
        return undefined
      },
    )
    if (wait) this.waitFor(wait)
    return left && !this.blocked && !this.mustWait(core)
  }

  private waitFor(promise: Promise<void>): void {
    this.blocked = true
    promise
      .then(() => {
        this.blocked = false
        this.around.wake()
      })
      .catch(error => this.lose(error))
  }

  // ---- commit

  private maybeCommit(core: TaskCore): void {
    if (this.cycleUnderWay) return
    this.shown?.look()
    const now = this.around.clock.now()
    const idle = now - this.lastCommitAt
    if (idle < this.kind.commitIntervalMs && !core.full && !core.urgent()) return
    const commit = core.commit(idle >= this.around.touchMs)
    if (commit === undefined) return
    this.lastCommitAt = now
    this.startCycle(core, commit)
  }

  private startCycle(core: TaskCore, commit: Commit): void {
    this.life.to('committing')
    this.cycleUnderWay = this.cycle(core, commit)
      .catch(error => this.lose(error))
      .finally(() => {
        this.cycleUnderWay = undefined
        this.around.wake()
      })
  }

  private async cycle(core: TaskCore, commit: Commit): Promise<void> {
    const { around } = this
    const startedAt = around.clock.now()
    this.lease.check(startedAt, `${this.changelog.topic}-${this.changelog.partition}`)
    const { writer } = this.ownership as Ownership
    const { baseOffset } = await writer.append(this.changelog, commit.batch)
    this.lease.renew(startedAt)
    around.metrics
      .histogram('freshet_commit_seconds', { kind: this.kind.name })
      .observe((around.clock.now() - startedAt) / 1000)
    around.metrics
      .counter('freshet_changelog_bytes_total', { kind: this.kind.name })
      .add(commit.batch.sizeBytes)
    const version = this.versionOf(commit.number)
    await (this.delivery as Delivery).deliver(commit.effects, version, commit, baseOffset)
    core.delivered()
    this.committed = commit.positions
    if (this.life.state === 'committing') this.life.to('running')
    this.trim.below(commit.positions.get(DELTAS))
  }

  /** Committed positions of the outside inputs, for lag tools (C6). */
  committedPositions(): { at: TopicPartition; offset: number }[] {
    return this.input.outside(this.committed)
  }

  /** Commits what is open and waits until its effects are out; the task goes on, but where it is the `last`. */
  async commitNow(last = false): Promise<void> {
    while (this.cycleUnderWay) await this.cycleUnderWay
    const { core } = this
    if (!core || this.life.state !== 'running') return
    try {
      const commit = core.commit(false, last)
      if (commit) this.startCycle(core, commit)
    } catch (error) {
      this.lose(error)
    }
    await this.cycleUnderWay
  }

  // ---- end

  /** Commits, delivers, lets go. What does not answer is not waited for: the next owner does it again. */
  async close(): Promise<void> {
    if (this.life.state === 'running' || this.life.state === 'committing') {
      this.draining = true
      this.input.unassign()
      if (!(await within(this.around.clock, COMMIT_LIMIT_MS, this.commitNow(true)))) this.drop()
      if (!this.life.gone) {
        this.life.to('closing')
        await within(this.around.clock, SETTLE_MS, (this.delivery as Delivery).settled())
        this.release()
        this.life.to('closed')
      }
    } else if (!this.life.gone) {
      this.life.to('closing')
      this.release()
      await within(this.around.clock, COMMIT_LIMIT_MS, this.claiming)
      if (this.life.state === 'closing') this.life.to('closed')
    }
  }

  /** Lost: everything in memory is dropped, nothing more is written. */
  drop(): void {
    if (this.life.mayGo('lost')) this.life.to('lost')
    this.release()
  }

  private release(): void {
    this.input.unassign()
    this.input.clear()
    this.delivery?.end()
    this.core?.end()
    this.core = undefined
  }

  /** Whether this ownership has committed anything: what it found is then not what it was opened with. */
  get hasCommitted(): boolean {
    return this.committed.size > 0
  }

  /** Drops everything and tells the worker why. */
  lose(error: unknown): void {
    if (this.life.gone) return
    this.drop()
    this.around.onLost(this, error)
  }
}

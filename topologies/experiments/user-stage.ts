/**
 * In the user task, after the sessions and labels stages: who was exposed to which arm, what came of it, and once a commit
 * how the sums over users changed. docs/experiments.md says what counts.
 *
 *  - E1 A user counts from the first impression that carries the arm which the hash deals; any other arm is counted as
 *       unassigned and changes nothing.
 *  - E2 Sums are those over users of what each of them did: a changed user is counted out as it was and in as it is.
 *  - E3 A change stands under the partition's event time at which it was made, to the interval: sums up to a time are a
 *       function of the record order alone. (What the labels stage finds out between records stands at most that later; how
 *       fast lists were is a matter of the clock.)
 *  - E4 Nothing changes once the partition's event time has reached the experiment's end, but for labels that were final
 *       before and are found out after it.
 *  - E5 Who is removed is counted no further; what was counted stays, as a sum over users that names nobody.
 */
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { Store } from '../../streams/topology/store.ts'
import { statisticsKind } from '../drift/deltas.ts'
import type { ItemTable } from '../items/table.ts'
import type { ActivityEvent, ImpressionEvent, UserEvent } from '../user/event.ts'
import type { LabelFact, LabelSink } from '../user/labels-port.ts'
import type { User, Users } from '../user/user.ts'
import { type Definition, type ExperimentBook, onArm } from './book.ts'
import { builtIn } from './check.ts'
import { DeltaBuffer } from './deltas.ts'
import { Exposed, ExposedUsers } from './exposed.ts'
import { slowMs } from './metrics.ts'

/** Users of experiments that are over, removed in one tick: ~100 us. */
const cleanSlice = 500
/** Outcomes of users are kept so long after the end: late records of it are passed over, and a stop may be looked into. */
const keptAfterEndMs = 3_600_000
/**
 * And so long after a definition is not known any more: whoever puts a broken one mends it, and a user who was dropped and
 * is exposed again would be counted twice.
 */
const keptUnknownMs = 86_400_000
/** Intervals that one packet may hold. An old log, imported at once, has one of its own for nearly every event. */
const maxTimes = 200

declare module '../user/user.ts' {
  interface UserScratch {
    /** The book's version by which no figure of `exploration` counts the user, as of most: two hashes tell. */
    uncounted?: number
  }
}

export interface ExperimentsUserDeps {
  readonly users: Users
  readonly items: Pick<ItemTable, 'catalog'>
  readonly book: ExperimentBook
  readonly intervalMs: number
  readonly watchCapMs: number
}

export interface ExperimentsUserStage extends Stage<UserEvent>, LabelSink {
  /** Removes what is kept of a user. */
  forget(userId: string): void
  /** A user's lists were built `ms` after the record that they answer. */
  listed(userId: string, ms: number): void
}

export function createExperimentsUserStage(
  deps: ExperimentsUserDeps,
  ctx: Pick<TaskContext, 'partitionsOf' | 'metrics'>,
): ExperimentsUserStage {
  return new UserStage(deps, ctx)
}

class UserStage implements ExperimentsUserStage {
  readonly name = 'experiments'
  readonly stores: NonNullable<Stage['stores']>
  private readonly deps: ExperimentsUserDeps
  private readonly ctx: Pick<TaskContext, 'partitionsOf' | 'metrics'>
  private readonly exposed = new ExposedUsers()
  private readonly buffer = new DeltaBuffer()
  /** Counted out, not yet in again: E2. */
  private readonly changed = new Set<Exposed>()
  /** By interval: users whose day after the exposure ends in it. */
  private readonly maturing = new Map<number, Exposed[]>()
  /** Number of the interval that the partition's event time is in: E3. */
  private interval = 0
  private cleaning: IterableIterator<readonly Exposed[]> | undefined
  private cleanedAt = 0
  /** Experiments of exposed users that the book does not have, and the event time at which that was seen. */
  private readonly unknownSince = new Map<string, number>()
  private readonly unassigned
  private readonly gauge

  constructor(deps: ExperimentsUserDeps, ctx: Pick<TaskContext, 'partitionsOf' | 'metrics'>) {
    this.deps = deps
    this.ctx = ctx
    this.stores = [this.exposed.store] as unknown as readonly Store[]
    this.unassigned = ctx.metrics.counter('freshet_experiments_unassigned_total')
    this.gauge = ctx.metrics.gauge('freshet_experiments_users')
  }

  process(event: UserEvent): undefined {
    this.advance()
    const { user } = event
    if (user === null || event.kind === 'erasure') return undefined
    const rows = this.exposed.of(user.id)
    if (rows !== undefined) for (const row of rows) this.outcome(row, event)
    if (event.kind === 'impression') this.expose(user, event)
    return undefined
  }

  /** E1 */
  private expose(user: User, event: ImpressionEvent): void {
    const { experiments } = event.event
    for (const name in experiments) {
      const arm = experiments[name]
      if (name === builtIn && arm === onArm && user.scratch.uncounted === this.deps.book.version)
        continue
      const known = this.exposed.of(user.id)?.find(row => row.experiment === name)
      if (known !== undefined) {
        if (known.arm !== arm) this.unassigned.add()
        continue
      }
      const definition = this.deps.book.get(name)
      if (definition === undefined || definition.armOf(user.id) !== arm) {
        this.unassigned.add()
        continue
      }
      if (event.ts < definition.start || event.ts >= definition.end || this.isOver(definition))
        continue
      if (!definition.measures(user.id, arm)) {
        user.scratch.uncounted = this.deps.book.version
        continue
      }
      const row = new Exposed(user.id, name, arm, event.ts)
      row.lookBack(user.positives)
      this.exposed.add(row)
      this.changed.add(row)
      this.mature(row)
      row.active(event.ts)
      this.shown(row, event)
    }
  }

  private outcome(row: Exposed, event: ActivityEvent): void {
    if (event.ts < row.exposedAt || !this.counts(row, event.ts)) return
    this.touch(row)
    row.active(event.ts)
    if (event.sessionStarted) {
      row.sessions++
      if (event.ts > row.exposedAt && event.ts <= row.returnUntil) row.returned = true
    }
    if (event.closedSessionMs >= 0) {
      row.closedSessions++
      row.closedMs += event.closedSessionMs
    }
    if (event.kind === 'impression') this.shown(row, event)
    else if (event.kind === 'watch') {
      row.watchedMs += event.watchedMs
      if (event.playStarted) row.plays++
      if (event.positive) row.positives++
    } else if (event.event.kind === 'report') row.reports++
  }

  private shown(row: Exposed, event: ImpressionEvent): void {
    row.impressions++
    if (this.deps.items.catalog(event.item)?.safety === 'restricted') row.restricted++
  }

  /** Of an impression that carried the arm. */
  label(fact: LabelFact): void {
    const rows = this.exposed.of(fact.userId)
    if (rows === undefined) return
    this.advance()
    for (const row of rows) {
      if (fact.request.experiments[row.experiment] !== row.arm) continue
      const end = this.deps.book.get(row.experiment)?.end ?? 0
      if (fact.shownAt < row.exposedAt || fact.finalAt >= end) continue
      this.touch(row)
      row.labelled++
      if (fact.clicked) row.clicked++
    }
  }

  listed(userId: string, ms: number): void {
    const rows = this.exposed.of(userId)
    if (rows === undefined) return
    this.advance()
    for (const row of rows) {
      if (!this.counts(row, row.exposedAt)) continue
      this.touch(row)
      row.lists++
      if (ms > slowMs) row.slowLists++
    }
  }

  /** E4 */
  private counts(row: Exposed, ts: number): boolean {
    const definition = this.deps.book.get(row.experiment)
    return definition !== undefined && ts < definition.end && !this.isOver(definition)
  }

  private isOver({ end }: Definition): boolean {
    return this.deps.users.watermark.at >= end
  }

  /** E2 */
  private touch(row: Exposed): void {
    this.exposed.store.touch(row)
    if (this.changed.has(row)) return
    this.changed.add(row)
    this.count(row, -1)
  }

  private count(row: Exposed, by: 1 | -1): void {
    const sums = this.buffer.at(this.timeOf(this.interval), row.experiment, row.arm)
    sums.count(row, by, row.matured ? 'all' : 'now', this.deps.watchCapMs)
  }

  private intervalOf(ts: number): number {
    return Math.floor(ts / this.deps.intervalMs)
  }

  private timeOf(interval: number): number {
    return (interval + 1) * this.deps.intervalMs
  }

  private countIn(): void {
    for (const row of this.changed) this.count(row, 1)
    this.changed.clear()
  }

  /** E3: takes over the partition's event time; what was changed before stands under the time before. */
  private advance(): void {
    const now = this.intervalOf(this.deps.users.watermark.at)
    if (now <= this.interval) return
    this.countIn()
    const due = [...this.maturing.keys()].filter(interval => interval < now).sort((a, b) => a - b)
    for (const interval of due) {
      for (const row of this.maturing.get(interval) ?? []) this.countLater(row, interval, now)
      this.maturing.delete(interval)
    }
    this.interval = now
  }

  private mature(row: Exposed): void {
    row.matured = this.intervalOf(row.returnUntil) < this.interval
    if (!row.matured) this.wait(row)
  }

  private wait(row: Exposed, interval = this.intervalOf(row.returnUntil)): void {
    const waiting = this.maturing.get(interval)
    if (waiting) waiting.push(row)
    else this.maturing.set(interval, [row])
  }

  /** The day after the exposure is over: what counts only then. */
  private countLater(row: Exposed, interval: number, now: number): void {
    if (row.removed) return
    const time = this.timeOf(interval)
    const definition = this.deps.book.get(row.experiment)
    if (definition === undefined) {
      this.wait(row, now)
      return
    }
    // E4; it stays unmarked, so that nothing is counted out that was not counted in
    if (time > definition.end) return
    row.matured = true
    // by itself: under another `experiments.interval` the clock would tell otherwise
    this.exposed.store.touch(row)
    this.buffer.at(time, row.experiment, row.arm).count(row, 1, 'later', this.deps.watchCapMs)
  }

  forget(userId: string): void {
    this.advance()
    for (const row of [...(this.exposed.of(userId) ?? [])]) this.drop(row)
  }

  /** E5 */
  private drop(row: Exposed): void {
    if (this.changed.delete(row)) this.count(row, 1)
    this.exposed.remove(row)
  }

  full(): boolean {
    return this.buffer.times >= maxTimes
  }

  /** Users of experiments that are over, or no longer known, go in slices. */
  tick(): boolean {
    if (this.cleaning === undefined) {
      const hour = Math.floor(this.deps.users.watermark.at / keptAfterEndMs)
      if (hour === this.cleanedAt) return false
      this.cleanedAt = hour
      if ([...this.exposed.counts.keys()].filter(name => this.isDone(name)).length === 0)
        return false
      this.cleaning = this.exposed.all()
    }
    for (let n = 0; n < cleanSlice; n++) {
      const { done, value: rows } = this.cleaning.next()
      if (done) {
        this.cleaning = undefined
        return false
      }
      for (const row of [...rows]) if (this.isDone(row.experiment)) this.drop(row)
    }
    return true
  }

  private isDone(name: string): boolean {
    const { at } = this.deps.users.watermark
    const definition = this.deps.book.get(name)
    if (definition !== undefined) {
      this.unknownSince.delete(name)
      return at >= definition.end + keptAfterEndMs
    }
    const since = this.unknownSince.get(name) ?? at
    this.unknownSince.set(name, since)
    return at >= since + keptUnknownMs
  }

  flush(out: Parameters<NonNullable<Stage['flush']>>[0]): void {
    this.advance()
    this.countIn()
    this.buffer.flush(out, this.ctx.partitionsOf(statisticsKind))
    let users = 0
    for (const count of this.exposed.counts.values()) users += count
    this.gauge.set(users)
  }

  restored(): void {
    this.interval = this.intervalOf(this.deps.users.watermark.at)
    for (const rows of this.exposed.all()) for (const row of rows) if (!row.matured) this.wait(row)
  }
}

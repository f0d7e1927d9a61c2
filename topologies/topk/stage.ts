/**
 * In the user task, last: keeps each user's lists. Users with new events are dirty; lists are built between batches in slices
 * of a few ms, so that features stay fresh under load (order and pace: queue.ts). An item that is withdrawn leaves the lists
 * that hold it (sweep.ts).
 *
 *  - K1 a list shows the user as of at least its newest event when the list was built, and is written once.
 *  - K2 `unfinishedFrom` is never above the newest event of a user whose list was not acknowledged: after a crash those
 *       users are dirty again.
 *  - K3 nothing is written for a user who is gone: the sessions stage has removed the lists.
 *  - K4 who came before anything could be listed has a list soon after something can, without another event.
 *  - K5 lists written again because the view store lost them come a few at a time: who has a new event waits for no more.
 */
import type { ViewWrite } from '../../streams/topology/outbox.ts'
import type { RefillExtent, Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { SampledDraws } from '../evaluation/live/draws.ts'
import type { ItemTable } from '../items/table.ts'
import type { RankingModels } from '../models/scorer.ts'
import type { ServedFeatures } from '../served/features.ts'
import type { UserEvent } from '../user/event.ts'
import type { User, Users } from '../user/user.ts'
import { contextHash, countExplored } from './exploration.ts'
import { ListQueue } from './queue.ts'
import type { Pseudonym, SlateRow } from './slates-row.ts'
import { surfacePolicies, type TopkOptions } from './surfaces.ts'
import { WithdrawalSweep } from './sweep.ts'
import { type ListExperiments, listKey, UserLists } from './user-lists.ts'

/** Kept of a user in memory only, beside what `user.ts` names. */
declare module '../user/user.ts' {
  interface UserScratch {
    /** Where the user stands in the queue of lists (queue.ts). */
    listPlace?: 'ready' | 'resting' | 'owing' | 'urgent'
    listOwedAt?: number
    /** The list waits for an event of the user's (and not only for a withdrawn item). */
    listAnswers?: boolean
    /** Kafka timestamp of the oldest record that the next list answers. */
    listRecordTs?: number
  }
}

/** Lists that are written again because the view store lost them. */
interface ListRefill {
  readonly extent: RefillExtent
  readonly users: IterableIterator<string | undefined>
  /** All of its users were taken. */
  isLast: boolean
  /** Those whose lists are not built. */
  readonly waiting: Set<User>
}

/** A clock of whole ms that may stand still (in a replay): no more lists than this in a slice. */
const listsPerBudgetMs = 4
/** Users whose lists are looked through for withdrawn items, per ms of a slice. */
const usersPerBudgetMs = 500
/** Lists that may wait for the next commit: with a view store that is slow or away they wait unmade (C7). */
const pendingLists = 2048
/** How often one of the users with an empty list is tried again (K4). */
const retryEmptyMs = 2_000
/** Lists of a refill that may wait in the queue at once: some 10 ms of work (K5); with nobody else to wait, many. */
const refillAtOnce = { active: 24, all: 1024 }

export interface TopkDeps {
  readonly users: Users
  readonly options: TopkOptions
  /** Who had an event within it is active: the session gap, ms. */
  readonly activeMs: number
  /** How users are named in the table `slates`; without it no draws are sampled. */
  readonly pseudonym?: (userId: string) => Pseudonym
  /** What ranks, where it is not the blend (models/). */
  readonly models?: RankingModels
  /** Keeps what lists were ranked by. */
  readonly served?: ServedFeatures
  /** Keeps sampled lists until it is known what came of them. */
  readonly evaluated?: SampledDraws
  /** Deals users to the arms of experiments. */
  readonly experiments?: ListExperiments
  /** Told how long after the oldest record that they answer (Kafka timestamp) a user's lists were built, ms, and on which surfaces. */
  readonly onListed?: (user: User, ms: number, surfaces: readonly string[]) => void
}

export function createTopkStage(ctx: TaskContext, deps: TopkDeps): Stage<UserEvent> {
  return new TopkStage(ctx, deps)
}

class TopkStage implements Stage<UserEvent> {
  readonly name = 'topk'
  private readonly ctx: TaskContext
  private readonly deps: TopkDeps
  private readonly lists: UserLists
  /** Keys of the context by which epsilons are dealt. */
  private readonly contextKeys: readonly string[]
  /** Numbers of the surfaces with a budget of explored positions a day. */
  private readonly budgeted: ReadonlyMap<string, number>
  private readonly queue: ListQueue<User>
  private readonly sweep: WithdrawalSweep
  /** Written with the next commit; one list a user and surface, the newest. */
  private readonly pending = new Map<User, readonly ViewWrite[]>()
  /** Of the lists in `pending` alone: a draw that a newer one replaced before it left is no one's list. */
  private readonly sampled = new Map<User, readonly SlateRow[]>()
  /** Users whose lists left with the last commit and are not acknowledged. */
  private inFlight: User[] = []
  /** Users whose list came out empty, the one that was tried longest ago first. */
  private readonly empty = new Set<User>()
  private emptyTriedAt = 0
  private coalescedTold = 0
  private refillOf: ListRefill | undefined
  private readonly metrics

  constructor(ctx: TaskContext, deps: TopkDeps) {
    this.ctx = ctx
    this.deps = deps
    const { options, pseudonym, models, served, evaluated, experiments } = deps
    const items = ctx.table<ItemTable>('items')
    this.lists = new UserLists({
      options,
      items,
      pseudonym,
      served,
      evaluated,
      experiments,
      scorer: models?.scorer,
    })
    this.contextKeys = options['topk.policies'].context
    this.budgeted = new Map(
      surfacePolicies(options)
        .filter(({ explorePerDay }) => explorePerDay < Number.POSITIVE_INFINITY)
        .map(({ name, number }) => [name, number]),
    )
    this.queue = new ListQueue<User>({
      minIntervalMs: this.lists.minIntervalMs,
      oldestFirstAfterMs: options['topk.oldestFirstAfter'],
    })
    this.sweep = new WithdrawalSweep(deps.users, items, {
      sweepMs: options['topk.withdrawalSweep'],
      lifeMs: options['topk.life'],
      activeMs: deps.activeMs,
    })
    this.metrics = {
      built: ctx.metrics.counter('freshet_topk_lists_total'),
      coalesced: ctx.metrics.counter('freshet_topk_coalesced_total'),
      wait: ctx.metrics.histogram('freshet_topk_seconds', { stage: 'wait' }),
    }
  }

  process(event: UserEvent): undefined {
    const { user } = event
    if (user === null || event.kind === 'erasure') return undefined
    const now = this.ctx.now()
    user.scratch.listAnswers = true
    user.scratch.listRecordTs ??= event.recordTs
    if (this.contextKeys.length > 0 && event.ts >= user.lastSeenAt)
      user.scratch.contextHash = contextHash(event.event.context, this.contextKeys)
    if (this.budgeted.size > 0 && event.kind === 'impression' && event.event.explore)
      this.countShown(user, event.ts, event.event.surface)
    if (event.kind === 'feedback' && removes(event.event.kind)) this.queue.markUrgent(user, now)
    else this.markDirty(user, now)
    return undefined
  }

  /** All of the user's lists are to be built. */
  private markDirty(user: User, now: number): void {
    if (user.scratch.surfacesOwed !== undefined) user.scratch.surfacesOwed = undefined
    this.queue.markDirty(user, now)
  }

  private countShown({ scratch }: User, ts: number, surface: string): void {
    const number = this.budgeted.get(surface)
    if (number !== undefined) scratch.explored = countExplored(scratch.explored, ts, number)
  }

  tick(budgetMs: number): boolean {
    const { ctx, queue } = this
    const start = ctx.now()
    const sweeping = this.sweep.step(
      start,
      Math.max(1, Math.floor(budgetMs * usersPerBudgetMs)),
      user => queue.markUrgent(user, start),
      user => this.markDirty(user, start),
    )
    this.retryEmpty(start)
    this.refillSome(start)
    const most = Math.max(1, Math.floor(budgetMs * listsPerBudgetMs))
    for (let n = 0; n < most; n++) {
      if (this.pending.size >= pendingLists) return false
      const now = ctx.now()
      if (now - start > budgetMs) return true
      const user = queue.next(now)
      if (user === undefined) return sweeping
      this.build(user, now)
    }
    return true
  }

  private build(user: User, now: number): void {
    const { lists, queue } = this
    const { scratch } = user
    this.refillOf?.waiting.delete(user)
    if (this.deps.users.get(user.id) !== user) {
      queue.forget(user)
      this.empty.delete(user)
      return
    }
    const answers = scratch.listRecordTs
    const writes = lists.build(user, now, scratch.listPlace === 'urgent')
    this.sample(user, writes)
    const isWhole = scratch.surfacesOwed === undefined
    if (writes.length > 0) {
      this.metrics.wait.observe((now - (scratch.listDirtySince ?? now)) / 1000)
      this.metrics.built.add()
      if (answers !== undefined) this.deps.onListed?.(user, now - answers, lists.builtSurfaces)
      // a surface that is not built now may have a list in this commit already
      const before = this.pending.get(user)
      this.pending.set(user, before === undefined ? writes : merged(before, writes))
    }
    queue.built(user, now)
    if (isWhole) {
      scratch.listRecordTs = undefined
      this.noteEmpty(user, now)
    } else queue.owe(user, now, lists.owedAt(user))
  }

  private sample(user: User, writes: readonly ViewWrite[]): void {
    const { sampled } = this.lists
    const before = this.sampled.get(user)
    if (before === undefined && sampled.length === 0) return
    const keys = new Set(writes.map(({ key }) => key))
    const kept = (before ?? []).filter(({ surface }) => !keys.has(listKey(surface, user.id)))
    this.sampled.set(user, [...kept, ...sampled])
  }

  refill(extent: RefillExtent): void {
    const { users, activeMs } = this.deps
    const since = extent === 'all' ? 0 : users.watermark.at - activeMs
    this.refillOf = { extent, users: users.activeSince(since), isLast: false, waiting: new Set() }
    // what stands in the store now is older than the lists that are known here
    this.sweep.forget(this.ctx.now())
  }

  refilling(): boolean {
    return this.refillOf !== undefined
  }

  /** K5. A number of looks at most: most users may not be active. */
  private refillSome(now: number): void {
    const { refillOf } = this
    if (refillOf === undefined || refillOf.isLast) return
    const most = refillAtOnce[refillOf.extent]
    for (let looks = 0; looks < most && refillOf.waiting.size < most; looks++) {
      const { done, value: userId } = refillOf.users.next()
      if (done) {
        refillOf.isLast = true
        return
      }
      const user = userId === undefined ? undefined : this.deps.users.get(userId)
      if (user === undefined) continue
      refillOf.waiting.add(user)
      this.markDirty(user, now)
    }
  }

  /** K4: one stands for all, so that users who will never have a list cost next to nothing. */
  private retryEmpty(now: number): void {
    if (this.empty.size === 0 || now - this.emptyTriedAt < retryEmptyMs) return
    this.emptyTriedAt = now
    for (const user of this.empty) {
      this.markDirty(user, now)
      return
    }
  }

  private noteEmpty(user: User, now: number): void {
    const wasEmpty = this.empty.delete(user)
    if (this.lists.isEmpty) this.empty.add(user)
    else if (wasEmpty) for (const other of this.empty) this.markDirty(other, now)
  }

  flush(out: Parameters<NonNullable<Stage['flush']>>[0]): void {
    const { users, served, evaluated } = this.deps
    this.inFlight = []
    for (const [user, writes] of this.pending) {
      if (users.get(user.id) !== user) continue
      for (const write of writes) out.view(write)
      served?.left(user.id, out.version)
      evaluated?.left(user.id, out.version)
      this.inFlight.push(user)
    }
    for (const [user, rows] of this.sampled)
      if (users.get(user.id) === user)
        for (const row of rows) out.row('slates', { ...row, list_version: out.version })
    served?.endCommit()
    evaluated?.endCommit()
    this.pending.clear()
    this.sampled.clear()
    if (this.refillOf?.isLast && this.refillOf.waiting.size === 0) this.refillOf = undefined
    this.metrics.coalesced.add(this.queue.coalesced - this.coalescedTold)
    this.coalescedTold = this.queue.coalesced
    this.deps.models?.flush(out)
  }

  delivered(): void {
    // not where a newer list has been made meanwhile: it leaves with the next commit
    for (const user of this.inFlight)
      if (user.scratch.listDirtySince === undefined && !this.pending.has(user))
        user.scratch.listAnswers = false
    this.inFlight = []
  }

  unfinishedFrom(): number | undefined {
    let lowest: number | undefined
    const take = (user: User): void => {
      if (user.scratch.listAnswers !== true) return
      if (lowest === undefined || user.lastOffset < lowest) lowest = user.lastOffset
    }
    for (const user of this.queue.waiting()) take(user)
    for (const user of this.inFlight) take(user)
    return lowest
  }

  resumeUnfinished(from: number): void {
    const now = this.ctx.now()
    for (const user of this.deps.users.values()) {
      if (user.lastOffset < from) continue
      user.scratch.listAnswers = true
      this.markDirty(user, now)
    }
  }
}

/** Writes of one user: the newer one of each key. */
function merged(before: readonly ViewWrite[], writes: readonly ViewWrite[]): readonly ViewWrite[] {
  const keys = new Set(writes.map(({ key }) => key))
  return [...before.filter(({ key }) => !keys.has(key)), ...writes]
}

function removes(kind: string): boolean {
  return kind === 'hide' || kind === 'dislike' || kind === 'report'
}

/**
 * Joins impressions to what came of them and writes them to the table `examples`: the row at once when shown, its label as
 * a newer revision of the same key, as soon as it is certain and once more when it is final.
 */
import type { Feedback, Impression, Watch } from '../../schemas/index.ts'
import type { Outbox, TableRow } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import type { ItemTable } from '../items/table.ts'
import type { ServedFeatures } from '../served/features.ts'
import type { FeedbackEvent, ImpressionEvent, UserEvent, WatchEvent } from '../user/event.ts'
import type { AnswerLook, LabelFact, LabelSink } from '../user/labels-port.ts'
import { hashOfPlay } from '../user/plays.ts'
import type { StoredUser } from '../user/stored-user.ts'
import type { UserTable } from '../user/users.ts'
import { DueMinutes } from './due-minutes.ts'
import { exampleRow } from './example-row.ts'
import {
  entriesOfFeedback,
  findEntry,
  LabelEntry,
  LabelRequest,
  type LabelTimes,
  RETURNING,
  UNPLAYED,
  WAITING,
} from './pending.ts'
import { pseudonym } from './pseudonym.ts'
import { ShareQuantiles } from './quantiles.ts'
import { createLabelStores, type LabelStores } from './rows.ts'
import { type FeedbackWeights, feedbackBit, type Objectives, targetOf } from './target.ts'

const MINUTE = 60_000
/** Impressions looked at in one tick: their rows stay far below a commit's size. */
const SWEEP_SLICE = 1000

export interface LabelsDeps {
  readonly users: UserTable
  readonly times: LabelTimes
  /** How far deadlines are held behind the watermark, ms. */
  readonly slackMs: number
  /** Write `examples`. */
  readonly examples: boolean
  readonly pseudonymKey: string
  readonly pseudonymKeyId: string
  readonly objectives: Objectives
  readonly feedback: FeedbackWeights
  /** Knows what lists were ranked by; without it examples have no features. */
  readonly served?: ServedFeatures
  /** Asked for each impression. */
  readonly answers?: AnswerLook
  /** Get each final label. */
  readonly sinks?: readonly LabelSink[]
  /** Get each final label with its whole target: later than `sinks` where the user's return counts. */
  readonly complete?: readonly LabelSink[]
}

export function createLabelsStage(ctx: TaskContext, deps: LabelsDeps): Stage<UserEvent> {
  return new LabelsStage(ctx, deps)
}

class LabelsStage implements Stage<UserEvent> {
  readonly name = 'labels'
  readonly stores: NonNullable<Stage['stores']>
  private readonly deps: LabelsDeps
  private readonly items: ItemTable
  private readonly rows: LabelStores
  private readonly quantiles = new ShareQuantiles()
  private readonly due = new DueMinutes<LabelEntry>()
  private waitingRows: TableRow[] = []

  constructor(ctx: TaskContext, deps: LabelsDeps) {
    this.deps = deps
    this.items = ctx.table<ItemTable>('items')
    this.rows = createLabelStores(deps.users, this.items)
    this.stores = [this.rows.requests, this.rows.entries, this.quantiles.store]
    deps.users.onRemove.push(user => this.forget(user))
  }

  process(event: UserEvent): undefined {
    if (event.sessionStarted && this.asksReturn) this.cameBack(event)
    if (event.kind === 'impression') this.shown(event)
    else if (event.kind === 'watch') this.watched(event)
    else if (event.kind === 'feedback') this.reacted(event)
    return undefined
  }

  private get asksReturn(): boolean {
    return this.deps.times.returnWithinMs > 0
  }

  /** Event time that has surely passed: L3. */
  private get passed(): number {
    return this.deps.users.watermark.at - this.deps.slackMs
  }

  private shown(event: ImpressionEvent): void {
    const user = event.user as StoredUser | null
    if (user === null) return
    const impression = event.event
    const request = this.requestOf(user, event)
    const entry = new LabelEntry(request, event.item, event.ts, {
      position: impression.position,
      propensity: impression.propensity,
      prediction: impression.score,
      explore: impression.explore,
      source: impression.candidateSource,
      // the sessions stage has counted this one
      timesShown: Math.max(0, user.shown.last7d(event.item, event.ts) - 1),
    })
    request.waiting++
    user.pendingLabels ??= []
    user.pendingLabels.push(entry)
    if (this.deps.answers) entry.answers = this.deps.answers(request, event.item, event.ts)
    this.rows.entries.touch(entry)
    this.enqueue(entry)
    if (this.deps.examples) this.emitShown(entry, event)
  }

  private emitShown(entry: LabelEntry, event: ImpressionEvent): void {
    const { served } = this.deps
    this.emit(entry, null, served?.of(event))
    if (served) entry.features = served.hold(event)
  }

  private requestOf(user: StoredUser, event: ImpressionEvent): LabelRequest {
    const impression: Impression = event.event
    this.endWaits(user, impression.requestId)
    const pending = user.pendingLabels ?? []
    let openedAt = event.ts
    for (let k = pending.length - 1; k >= 0; k--) {
      const { request } = pending[k]
      if (request.fits(impression)) return request
      // another request of the same id must not stand under the same key
      if (request.requestId === impression.requestId && request.openedAt >= openedAt)
        openedAt = request.openedAt + 1
    }
    const request = new LabelRequest(user, openedAt, {
      requestId: impression.requestId,
      policy: impression.policy,
      model: impression.modelVersion,
      surface: impression.surface,
      cohort: impression.cohort,
      listVersion: impression.listVersion ?? '',
      experiments: impression.experiments,
    })
    this.rows.requests.touch(request)
    return request
  }

  /** A request that nothing is waited for in any more takes no impression in, whether or not the sweep has been there: L3. */
  private endWaits(user: StoredUser, requestId: string): void {
    for (let k = (user.pendingLabels?.length ?? 0) - 1; k >= 0; k--) {
      const entry = user.pendingLabels?.[k]
      if (entry?.request.requestId === requestId && this.settle(entry)) this.drop(entry)
    }
  }

  private watched(event: WatchEvent): void {
    const user = event.user as StoredUser | null
    if (user === null || user.pendingLabels === null) return
    const watch: Watch = event.event
    const play = hashOfPlay(watch.playId)
    const entry = findEntry(
      user.pendingLabels,
      play,
      event.item,
      watch.requestId,
      event.ts,
      watch.watchedMs,
      this.deps.times,
      this.passed,
    )
    if (!entry) return
    this.endWait(entry)
    const { watchedMs, durationMs } = entry
    const isNew = entry.play === -1
    entry.play = play
    const certain = entry.hear(event.ts, watch.watchedMs, watch.durationMs, watch.endReason)
    if (isNew) entry.quantile = this.quantiles.add(entry.watchedMs, entry.durationMs)
    else if (entry.watchedMs !== watchedMs || entry.durationMs !== durationMs)
      entry.quantile = this.quantiles.move(watchedMs, durationMs, entry.watchedMs, entry.durationMs)
    this.rows.entries.touch(entry)
    if (certain) this.emitNewer(entry)
    // a play that ends, or falls silent, before the wait for one is over; later ones are found out when looked at
    if (this.dueMinuteOf(entry) < entry.dueMinute) this.enqueue(entry)
  }

  private reacted(event: FeedbackEvent): void {
    const user = event.user as StoredUser | null
    if (user === null || user.pendingLabels === null) return
    const { kind, requestId }: Feedback = event.event
    for (const entry of entriesOfFeedback(user.pendingLabels, event.item, requestId, event.ts)) {
      this.endWait(entry)
      if (this.passed > entry.deadline(this.deps.times)) continue
      entry.marks |= feedbackBit(kind)
      this.rows.entries.touch(entry)
      // who waits for a play has a row to come
      if (entry.state === UNPLAYED) this.emitNewer(entry)
      return
    }
  }

  /** L4: the user opened another session. */
  private cameBack(event: UserEvent): void {
    const user = event.user as StoredUser | null
    if (user === null || user.pendingLabels === null) return
    const { times } = this.deps
    for (const entry of [...user.pendingLabels]) {
      const until = entry.shownAt + times.returnWithinMs
      if (event.ts <= entry.shownAt || event.ts > until || this.passed > until) continue
      entry.markReturned()
      this.rows.entries.touch(entry)
      if (this.settle(entry)) this.drop(entry)
    }
  }

  /** The first minute in which the deadline has surely passed. */
  private dueMinuteOf(entry: LabelEntry): number {
    return Math.floor((entry.deadline(this.deps.times) + this.deps.slackMs) / MINUTE) + 1
  }

  private enqueue(entry: LabelEntry): void {
    entry.dueMinute = this.dueMinuteOf(entry)
    this.due.add(entry, entry.dueMinute)
  }

  tick(): boolean {
    const nowMinute = Math.floor(this.deps.users.watermark.at / MINUTE)
    return this.due.sweep(nowMinute, SWEEP_SLICE, (entry, minute) => {
      // it stands under an earlier minute too
      if (minute === entry.dueMinute) this.sweep(entry)
    })
  }

  private sweep(entry: LabelEntry): void {
    if (entry.removed) return
    if (this.settle(entry)) this.drop(entry)
    else this.enqueue(entry)
  }

  /** Carries out what the time that has passed says of an entry; true: nothing is waited for any more. */
  private settle(entry: LabelEntry): boolean {
    const { times } = this.deps
    this.endWait(entry)
    if (entry.state !== RETURNING) {
      const deadline = entry.deadline(times)
      if (this.passed <= deadline) return false
      if (entry.state !== UNPLAYED) this.finish(entry, deadline)
      if (!this.asksReturn) return true
      entry.state = RETURNING
      this.rows.entries.touch(entry)
    }
    const deadline = entry.deadline(times)
    if (!entry.returned && this.passed <= deadline) return false
    this.emitNewer(entry)
    this.tell(entry, deadline, this.deps.complete)
    return true
  }

  /** L1, L2: no play started in time. The label is final; a watch that names no request may still revise the row. */
  private endWait(entry: LabelEntry): void {
    if (entry.state !== WAITING) return
    const deadline = entry.deadline(this.deps.times)
    if (this.passed <= deadline) return
    this.finish(entry, deadline)
    entry.state = UNPLAYED
    this.rows.entries.touch(entry)
  }

  /** The label is final. */
  private finish(entry: LabelEntry, finalAt: number): void {
    this.emitNewer(entry)
    if (entry.told) return
    entry.told = true
    this.tell(entry, finalAt, this.deps.sinks)
    if (!this.asksReturn) this.tell(entry, finalAt, this.deps.complete)
  }

  private tell(entry: LabelEntry, finalAt: number, sinks: readonly LabelSink[] = []): void {
    if (sinks.length === 0) return
    const { request } = entry
    const fact: LabelFact = {
      userId: request.user.id,
      request,
      item: entry.item,
      explore: entry.explore,
      clicked: entry.clicked,
      completed: entry.completed,
      returned: entry.state === RETURNING ? entry.returned : null,
      watchedMs: entry.watchedMs,
      durationMs: entry.durationMs,
      feedback: entry.feedback,
      prediction: entry.prediction,
      answers: entry.answers,
      positive: entry.positive,
      graded: entry.graded,
      target: this.targetOf(entry),
      position: entry.position,
      propensity: entry.propensity,
      source: entry.source,
      timesShown: entry.timesShown,
      surface: request.surface,
      cohort: request.cohort,
      model: request.model,
      shownAt: entry.shownAt,
      finalAt,
    }
    for (const sink of sinks) sink.label(fact)
  }

  private targetOf(entry: LabelEntry): number | null {
    if (this.asksReturn && entry.state !== RETURNING) return null
    return targetOf(entry, this.deps.objectives, this.deps.feedback)
  }

  private drop(entry: LabelEntry): void {
    const { request } = entry
    const { user } = request
    this.remove(entry)
    const pending = user.pendingLabels ?? []
    const at = pending.indexOf(entry)
    if (at >= 0) pending.splice(at, 1)
    if (pending.length === 0) user.pendingLabels = null
    if (--request.waiting === 0) this.end(request, true)
  }

  private end(request: LabelRequest, isWhole: boolean): void {
    this.rows.requests.remove(request)
    for (const sink of this.deps.sinks ?? []) sink.over?.(request, isWhole)
  }

  /**
   * The user is removed: all that waits goes without a word. A label whose time has come is given to other stages, as the
   * sweep would have: whether it came by before must not matter (L3). Rows that have not left yet never do: L5.
   */
  private forget(user: StoredUser): void {
    const entries = user.pendingLabels ?? []
    for (const entry of entries) {
      if (this.settle(entry)) entry.request.waiting--
      this.remove(entry)
    }
    for (const { request } of entries)
      if (!request.removed) this.end(request, request.waiting === 0)
    user.pendingLabels = null
    if (this.waitingRows.length === 0) return
    const name = pseudonym(user.id, this.deps.pseudonymKey)
    this.waitingRows = this.waitingRows.filter(row => row.user !== name)
  }

  private remove(entry: LabelEntry): void {
    this.rows.entries.remove(entry)
    this.deps.served?.release(entry.features)
    entry.features = ''
  }

  private emitNewer(entry: LabelEntry): void {
    entry.revision++
    const { features } = entry
    this.emit(
      entry,
      entry.positive ? 1 : 0,
      features === '' ? undefined : this.deps.served?.unpack(features),
    )
  }

  private emit(entry: LabelEntry, label: 0 | 1 | null, features?: Float32Array): void {
    if (!this.deps.examples) return
    const { request } = entry
    if (request.pseudonym === '') request.pseudonym = this.pseudonymOf(request.user)
    const row = exampleRow(entry, {
      itemId: this.items.idOf(entry.item),
      userKey: this.deps.pseudonymKeyId,
      label,
      target: label === null ? null : this.targetOf(entry),
      features,
    })
    this.waitingRows.push(row)
  }

  /** That of another pending request of the user where there is one: making it costs more than the rest of the row. */
  private pseudonymOf(user: StoredUser): string {
    for (const { request } of user.pendingLabels ?? [])
      if (request.pseudonym !== '') return request.pseudonym
    return pseudonym(user.id, this.deps.pseudonymKey)
  }

  flush(out: Outbox): void {
    for (const row of this.waitingRows) out.row('examples', row)
    this.waitingRows = []
  }

  restored(): void {
    let restored = 0
    this.rows.restored(entry => {
      this.enqueue(entry)
      restored++
    })
    if (this.deps.examples) this.deps.served?.lost(restored)
  }
}

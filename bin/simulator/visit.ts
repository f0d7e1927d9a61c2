/**
 * One user's visit: pages of a list, plays with heartbeats, feedback; then gone. A visit makes one page at a time, when its
 * time comes, so that a list read then knows what the user has done before.
 */
import type {
  CandidateSource,
  FeedbackDraft,
  FeedbackKind,
  ImpressionDraft,
  ItemDraft,
  WatchDraft,
} from '../../schemas/index.ts'
import type { Drift } from './drift.ts'
import { type Drawn, type LoggingPolicy, loggingPolicy } from './policy.ts'
import { type Catalog, normal, type User } from './population.ts'
import { examined, type Truth } from './truth.ts'

export type SimulatedRecord =
  | { readonly kind: 'Impression'; readonly record: ImpressionDraft }
  | { readonly kind: 'Watch'; readonly record: WatchDraft }
  | { readonly kind: 'Feedback'; readonly record: FeedbackDraft }

/** `at`: when it is sent, ms; the event's own `ts` unless it is late or a double. */
export type SimulatedEvent =
  | (SimulatedRecord & { readonly topic: 'events'; readonly key: string; readonly at: number })
  | {
      readonly topic: 'items'
      readonly kind: 'Item'
      readonly key: string
      readonly at: number
      /** null: the item is withdrawn. */
      readonly record: ItemDraft | null
    }

/** A list as Redis has it (CONTRACT 2). */
export interface ServedList {
  readonly version: string
  readonly policy: string
  readonly model?: string
  readonly experiments?: Readonly<Record<string, string>>
  readonly items: readonly {
    readonly id: string
    readonly score: number
    readonly p: number | null
    readonly src: string
    readonly x?: boolean
  }[]
}

/** Gives the list that would be shown now, or undefined: then the logging policy of the simulator chooses. */
export type ListProvider = (who: {
  readonly userId: string
  readonly cohort: string
  readonly surface: string
}) => ServedList | undefined

export interface Habits {
  readonly surfaces: readonly string[]
  readonly slateSize: number
  readonly heartbeatMs: number
  /** Part of the heartbeats that come twice / that come 5 s to 5 min late. */
  readonly doubledRate: number
  readonly lateRate: number
  readonly drifts: readonly Drift[]
  readonly startTs: number
}

/** What the visits of a world share. */
export interface Stage {
  readonly catalog: Catalog
  readonly truth: Truth
  readonly policy: LoggingPolicy
  readonly habits: Habits
  readonly lists?: ListProvider
  nextEventId(): string
}

interface Shown extends Drawn {
  readonly listIndex: number | null
  readonly list?: ServedList
  readonly src: CandidateSource
  readonly p: number | null
  readonly explore: boolean
}

const sources: ReadonlySet<string> = new Set([
  'popularity',
  'covisit',
  'knn',
  'embedding',
  'content',
  'explore',
])
const hourMs = 3_600_000

export class Visit {
  readonly user: User
  /** When the next event is sent or the next page is opened. */
  at: number
  private readonly stage: Stage
  private readonly random: () => number
  private readonly name: string
  private readonly surface: string
  private readonly context: Readonly<Record<string, string>>
  private readonly seen = new Set<number>()
  private pagesLeft: number
  private pageAt: number
  private page = 0
  private list: ServedList | undefined
  private shownOfList = 0
  /** Made and not yet sent, by time of sending. */
  private pending: SimulatedEvent[] = []
  private sent = 0

  constructor(stage: Stage, user: User, name: string, startTs: number, random: () => number) {
    this.stage = stage
    this.user = user
    this.name = name
    this.random = random
    this.at = startTs
    this.pageAt = startTs
    this.pagesLeft = 1 + Math.floor(-Math.log(1 - random()) * 3)
    const { surfaces } = stage.habits
    this.surface = surfaces[Math.floor(random() * surfaces.length)]
    const context: Record<string, string> = {
      device: user.device,
      hour: String(Math.floor(startTs / hourMs) % 24),
      network: user.network,
    }
    for (const drift of stage.habits.drifts)
      if (
        drift.kind === 'new' &&
        startTs >= stage.habits.startTs + drift.afterMs &&
        random() < 1 / 3
      )
        context[drift.key] = drift.value
    this.context = context
  }

  /** The event that is due at `at`, or nothing where a page was opened; then `at` is what comes next, Infinity at the end. */
  step(): SimulatedEvent | undefined {
    let event: SimulatedEvent | undefined
    if (this.pagesLeft > 0 && this.at === this.pageAt) this.openPage()
    else event = this.pending[this.sent++]
    const next =
      this.sent < this.pending.length ? this.pending[this.sent].at : Number.POSITIVE_INFINITY
    this.at = this.pagesLeft > 0 ? Math.min(next, this.pageAt) : next
    return event
  }

  private openPage(): void {
    const { habits } = this.stage
    this.pending = this.pending.slice(this.sent)
    this.sent = 0
    const shown = this.choose(habits.slateSize)
    const requestId = `${this.name}-${this.page++}`
    let ts = this.pageAt
    for (let position = 0; position < shown.length; position++) {
      this.impress(shown[position], position, shown.length, requestId, ts)
      ts = this.maybePlay(
        shown[position],
        position,
        requestId,
        ts + 400 + Math.floor(this.random() * 800),
      )
    }
    this.pending.sort((a, b) => a.at - b.at) // stable: equal times stay in the order they were made
    this.pageAt = ts + 500 + Math.floor(this.random() * 2000)
    this.pagesLeft = shown.length === 0 ? 0 : this.pagesLeft - 1
  }

  private choose(size: number): Shown[] {
    const { user, stage, surface, seen } = this
    if (this.list === undefined || this.shownOfList >= this.list.items.length) {
      this.list = stage.lists?.({ userId: user.id, cohort: user.cohort, surface })
      this.shownOfList = 0
    }
    const { list } = this
    if (list) {
      const shown: Shown[] = []
      let dropped = false
      while (shown.length < size && this.shownOfList < list.items.length) {
        const listIndex = this.shownOfList++
        const { id, score, p, src, x = false } = list.items[listIndex]
        const slot = stage.catalog.slotOf.get(id)
        if (slot === undefined) {
          dropped = true // not in this world any more: below it the conditional probabilities no longer hold
          continue
        }
        const source = (sources.has(src) ? src : 'other') as CandidateSource
        shown.push({
          slot,
          score,
          propensity: 0,
          source: 'explore',
          listIndex,
          list,
          src: source,
          p: dropped ? null : p,
          explore: x,
        })
      }
      return shown
    }
    return stage.policy
      .draw(user.index, size, this.random, slot => seen.has(slot))
      .map(drawn => ({
        ...drawn,
        listIndex: null,
        src: drawn.source,
        p: drawn.propensity,
        explore: false,
      }))
  }

  private impress(
    shown: Shown,
    position: number,
    slateSize: number,
    requestId: string,
    ts: number,
  ): void {
    const { list, slot, listIndex } = shown
    this.seen.add(slot)
    this.send(ts, {
      kind: 'Impression',
      record: {
        ...this.common(ts, slot),
        requestId,
        position,
        slateSize,
        policy: list?.policy ?? loggingPolicy,
        modelVersion: list?.model ?? '',
        listVersion: list?.version ?? null,
        listIndex,
        candidateSource: shown.src,
        score: shown.score,
        propensity: shown.p,
        explore: shown.explore,
      },
    })
  }

  /** Plays the item or not; gives the time when the viewer goes on. */
  private maybePlay(shown: Shown, position: number, requestId: string, ts: number): number {
    const { stage, random, user } = this
    const { truth, habits } = stage
    const { slot } = shown
    const like = truth.like(user.index, slot)
    if (random() >= examined(position) * truth.plays(like, slot, ts)) return ts
    const { durationMs } = stage.catalog.slots[slot]
    const liked = random() < truth.likes(like, slot, ts)
    const { ratio, skipped } = this.watchedPart(liked, durationMs, ts)
    const finished = ratio >= 1
    const watchedMs = Math.round(ratio * durationMs)
    const playId = `${requestId}-${position}`
    if (random() < 0.25) this.feedback(ts, slot, requestId, 'click')
    let seq = 0
    for (let heard = habits.heartbeatMs; heard < watchedMs; heard += habits.heartbeatMs)
      this.heartbeat(ts + heard, slot, requestId, playId, seq++, heard, 'none')
    const end = ts + watchedMs
    const endReason = finished ? 'finished' : skipped ? 'skipped' : 'left'
    this.heartbeat(end, slot, requestId, playId, seq, watchedMs, endReason)
    const kind = this.reaction(liked, skipped)
    if (kind) this.feedback(end + 200, slot, requestId, kind)
    return end + 300
  }

  /** A liked play reaches min(30 s, half) or the end, another one does not (topologies: what a positive is); then drift. */
  private watchedPart(
    liked: boolean,
    durationMs: number,
    ts: number,
  ): { ratio: number; skipped: boolean } {
    const { random, stage } = this
    const enough = Math.min(30_000, durationMs / 2) / durationMs
    const skipped = !liked && random() < 0.5
    let ratio = skipped ? (random() * 1900) / durationMs : enough * (0.07 + 0.9 * random())
    if (liked) ratio = random() < 0.5 ? 1 : enough + (1 - enough) * random()
    for (const drift of stage.habits.drifts) {
      if (ts < stage.habits.startTs + drift.afterMs) continue
      if (drift.kind === 'scale') ratio *= drift.amount
      if (drift.kind === 'shift') ratio += drift.amount
    }
    return { ratio: Math.min(1, Math.max(0, ratio)), skipped }
  }

  private reaction(liked: boolean, skipped: boolean): FeedbackKind | undefined {
    const draw = this.random()
    if (liked)
      return draw < 0.08
        ? 'like'
        : draw < 0.1
          ? 'save'
          : draw < 0.115
            ? 'share'
            : draw < 0.12
              ? 'follow'
              : undefined
    if (skipped)
      return draw < 0.03 ? 'dislike' : draw < 0.05 ? 'hide' : draw < 0.052 ? 'report' : undefined
    return undefined
  }

  private heartbeat(
    ts: number,
    slot: number,
    requestId: string,
    playId: string,
    seq: number,
    watchedMs: number,
    endReason: 'none' | 'finished' | 'skipped' | 'left',
  ): void {
    const { random, stage } = this
    const { durationMs } = stage.catalog.slots[slot]
    const watch: SimulatedRecord = {
      kind: 'Watch',
      record: {
        ...this.common(ts, slot),
        requestId,
        playId,
        seq,
        watchedMs,
        durationMs,
        endReason,
      },
    }
    const late = random() < stage.habits.lateRate
    const at = late ? ts + Math.floor(5000 * 60 ** random()) : ts
    this.send(at, watch)
    if (random() < stage.habits.doubledRate) this.send(at + Math.floor(random() * 10_000), watch)
  }

  private feedback(ts: number, slot: number, requestId: string, kind: FeedbackKind): void {
    this.send(ts, { kind: 'Feedback', record: { ...this.common(ts, slot), requestId, kind } })
  }

  private common(ts: number, slot: number) {
    const { user, surface, context, list, stage } = this
    return {
      eventId: stage.nextEventId(),
      userId: user.id,
      itemId: stage.catalog.slots[slot].id,
      ts,
      surface,
      cohort: user.cohort,
      context,
      experiments: list?.experiments ?? noExperiments,
      consent: user.consent,
    }
  }

  private send(at: number, event: SimulatedRecord): void {
    this.pending.push({ topic: 'events', key: this.user.id, at, ...event })
  }
}

const noExperiments: Readonly<Record<string, string>> = {}

/** The number of a visit's own dice. */
export const visitSeed = (seed: number, visit: number): string => `visit:${seed}:${visit}`

/** Hours until a user may come again: log-normal around 6 h. */
export const restMs = (random: () => number): number =>
  Math.round(6 * hourMs * Math.exp(0.8 * normal(random)))

/**
 * One user's visit: pages of a list, plays with heartbeats, feedback; then gone. A visit makes one page at a time, when its
 * time comes, so that a list read then knows what the user has done before.
 */
import type { CandidateSource, EndReason, FeedbackKind } from '../../schemas/index.ts'
import { type Drift, drifted, strength } from './drift.ts'
import { type LoggingPolicy, loggingPolicy } from './policy.ts'
import { type Catalog, type CatalogSlot, normal, type User } from './population.ts'
import type { ListProvider, ServedList, SimulatedEvent } from './traffic.ts'
import { examined, type Truth } from './truth.ts'

export interface Habits {
  readonly surfaces: readonly string[]
  readonly slateSize: number
  /** The list is read anew for each page; else it is read once a visit and paged through. */
  readonly freshPages: boolean
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

interface Shown {
  readonly slot: number
  /** As it was when the page was opened: the slot may be filled anew meanwhile. */
  readonly item: CatalogSlot
  readonly score: number
  readonly listIndex: number | null
  readonly list: ServedList | undefined
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
  private page: readonly Shown[] = []
  private position = 0
  private requestId = ''
  private pages = 0
  /** When the viewer does the next thing: looks at the next item. */
  private actAt: number
  private list: ServedList | undefined
  private shownOfList = 0
  /** Heartbeats and feedback that are made and not yet sent, by time of sending. Few: a visit plans one play ahead. */
  private readonly pending: SimulatedEvent[] = []

  constructor(stage: Stage, user: User, name: string, startTs: number, random: () => number) {
    this.stage = stage
    this.user = user
    this.name = name
    this.random = random
    this.at = startTs
    this.actAt = startTs
    this.pagesLeft = 1 + Math.floor(-Math.log(1 - random()) * 3)
    const { surfaces } = stage.habits
    this.surface = surfaces[Math.floor(random() * surfaces.length)]
    const context: Record<string, string> = {
      device: user.device,
      hour: String(Math.floor(startTs / hourMs) % 24),
      network: user.network,
    }
    for (const drift of stage.habits.drifts)
      if (drift.kind === 'new') {
        const part = strength(drift, startTs - stage.habits.startTs)
        if (part > 0 && random() < part / 3) context[drift.key] = drift.value
      }
    this.context = context
  }

  /** The event that is due at `at`, or nothing where a list had no item; then `at` is what comes next, Infinity at the end. */
  step(): SimulatedEvent | undefined {
    const { pending } = this
    const acts = this.pagesLeft > 0 && this.at === this.actAt
    const event = acts ? this.act() : pending.shift()
    const next = pending.length > 0 ? pending[0].at : Number.POSITIVE_INFINITY
    this.at = this.pagesLeft > 0 ? Math.min(next, this.actAt) : next
    return event
  }

  /** Looks at the next item, on a new page where the last one is through, and plays it or not. */
  private act(): SimulatedEvent | undefined {
    const { random } = this
    if (this.position >= this.page.length) {
      this.page = this.choose(this.stage.habits.slateSize)
      this.position = 0
      this.requestId = `${this.name}-${this.pages++}`
      if (this.page.length === 0) {
        this.pagesLeft = 0
        return undefined
      }
    }
    const shown = this.page[this.position]
    const event = this.impression(shown, this.position, this.actAt)
    const looked = this.actAt + 400 + Math.floor(random() * 800)
    this.actAt = this.maybePlay(shown, this.position, looked)
    this.position++
    if (this.position === this.page.length) {
      this.actAt += 500 + Math.floor(random() * 2000)
      this.pagesLeft--
    }
    return event
  }

  private choose(size: number): Shown[] {
    const { user, stage, surface, seen } = this
    const { freshPages } = stage.habits
    if (freshPages || this.list === undefined || this.shownOfList >= this.list.items.length) {
      this.list = stage.lists?.({
        userId: user.id,
        cohort: user.cohort,
        surface,
        ts: this.actAt,
      })
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
          item: stage.catalog.slots[slot],
          score,
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
      .map(({ slot, propensity, source }, position) => ({
        slot,
        item: stage.catalog.slots[slot],
        score: this.prediction(slot, position),
        listIndex: null,
        list: undefined,
        src: source,
        p: propensity,
        explore: false,
      }))
  }

  /** The log-odds that a model which knows this world, but not its drifts, gives a positive at the position. */
  private prediction(slot: number, position: number): number {
    const { stage, user, actAt } = this
    const { drifts, startTs } = stage.habits
    const p = examined(position) * stage.truth.undrifted(user.index, slot, actAt)
    return drifted(drifts, 'prediction', Math.log(p / (1 - p)), actAt - startTs)
  }

  private impression(shown: Shown, position: number, ts: number): SimulatedEvent {
    const { user, stage, surface, context } = this
    const { list, slot } = shown
    this.seen.add(slot)
    return {
      topic: 'events',
      key: user.id,
      at: ts,
      kind: 'Impression',
      record: {
        eventId: stage.nextEventId(),
        userId: user.id,
        requestId: this.requestId,
        itemId: shown.item.id,
        ts,
        position,
        slateSize: this.page.length,
        surface,
        cohort: user.cohort,
        context,
        policy: list ? list.policy : loggingPolicy,
        modelVersion: list?.model ?? '',
        listVersion: list ? list.version : null,
        listIndex: shown.listIndex,
        candidateSource: shown.src,
        score: shown.score,
        propensity: shown.p,
        explore: shown.explore,
        experiments: list?.experiments ?? noExperiments,
        consent: user.consent,
      },
    }
  }

  /** Plays the item or not; gives the time when the viewer goes on. */
  private maybePlay(shown: Shown, position: number, ts: number): number {
    const { stage, random, user } = this
    const { truth, habits } = stage
    const { slot } = shown
    const like = truth.like(user.index, slot)
    if (random() >= examined(position) * truth.plays(like, slot, ts)) return ts
    const { durationMs } = shown.item
    const liked = random() < truth.likes(like, slot, ts)
    const { ratio, skipped } = this.watchedPart(liked, durationMs, ts)
    const watchedMs = Math.round(ratio * durationMs)
    const playId = `${this.requestId}-${position}`
    if (random() < 0.25) this.feedback(ts, shown, 'click')
    let seq = 0
    for (let heard = habits.heartbeatMs; heard < watchedMs; heard += habits.heartbeatMs)
      this.heartbeat(ts + heard, shown, playId, seq++, heard, 'none')
    const end = ts + watchedMs
    const endReason = ratio >= 1 ? 'finished' : skipped ? 'skipped' : 'left'
    this.heartbeat(end, shown, playId, seq, watchedMs, endReason)
    const kind = this.reaction(liked, skipped)
    if (kind) this.feedback(end + 200, shown, kind)
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
    const { drifts, startTs } = stage.habits
    ratio = drifted(drifts, 'watched_ratio', ratio, ts - startTs)
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
    shown: Shown,
    playId: string,
    seq: number,
    watchedMs: number,
    endReason: EndReason,
  ): void {
    const { random, stage, user } = this
    const { habits } = stage
    const { item } = shown
    const late = random() < habits.lateRate
    const event: SimulatedEvent = {
      topic: 'events',
      key: user.id,
      at: late ? ts + Math.floor(5000 * 60 ** random()) : ts,
      kind: 'Watch',
      record: {
        eventId: stage.nextEventId(),
        userId: user.id,
        itemId: item.id,
        ts,
        requestId: this.requestId,
        playId,
        seq,
        watchedMs,
        durationMs: item.durationMs,
        surface: this.surface,
        cohort: user.cohort,
        context: this.context,
        experiments: shown.list?.experiments ?? noExperiments,
        consent: user.consent,
        endReason,
      },
    }
    this.send(event)
    if (random() < habits.doubledRate)
      this.send({ ...event, at: event.at + Math.floor(random() * 10_000) })
  }

  private feedback(ts: number, shown: Shown, kind: FeedbackKind): void {
    const { user, stage } = this
    this.send({
      topic: 'events',
      key: user.id,
      at: ts,
      kind: 'Feedback',
      record: {
        eventId: stage.nextEventId(),
        userId: user.id,
        itemId: shown.item.id,
        ts,
        requestId: this.requestId,
        kind,
        value: 1,
        surface: this.surface,
        cohort: user.cohort,
        context: this.context,
        experiments: shown.list?.experiments ?? noExperiments,
        consent: user.consent,
      },
    })
  }

  /** Keeps `pending` sorted; what is due at the same time stays in the order it was made. */
  private send(event: SimulatedEvent): void {
    const { pending } = this
    let i = pending.length
    while (i > 0 && pending[i - 1].at > event.at) i--
    pending.splice(i, 0, event)
  }
}

const noExperiments: Readonly<Record<string, string>> = {}

/** The number of a visit's own dice. */
export const visitSeed = (seed: number, visit: number): string => `visit:${seed}:${visit}`

/** Hours until a user may come again: log-normal around 6 h. */
export const restMs = (random: () => number): number =>
  Math.round(6 * hourMs * Math.exp(0.8 * normal(random)))

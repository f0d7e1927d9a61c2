/**
 * The closed loop: viewers of a simulated world read their lists from what the recommender writes, choose by the world's truth,
 * and what they do goes back into it. The recommender is the one that runs live (replay/lockstep), at its real intervals.
 *  - Q1 The same settings give the same report.
 *  - Q2 The recommender sees events and the catalog alone, never the truth.
 */
import { createWorld, type SimulatedEvent, type World } from '../../../bin/simulator/world.ts'
import { type Lockstep, openLockstep } from '../../../replay/lockstep/lockstep.ts'
import { hash53, randomFrom } from '../../../streams/serde/hash.ts'
import type { TopologyOptions } from '../../../topologies/options.ts'
import { coverage, gini, NewItemCurve } from './exposure.ts'
import { Lists } from './lists.ts'
import { PageRewards, type Policies } from './rewards.ts'

export interface LoopSettings {
  readonly seed: number
  readonly options: TopologyOptions
  /** Events (not counting the catalog) until the end. */
  readonly events: number
  readonly ratePerSecond: number
  /** Users and items; the default world's where absent. */
  readonly users?: number
  readonly items?: number
  /** Events between two points of the report. */
  readonly every: number
  readonly onPoint?: (point: Point) => void
}

/** What happened in the events up to `events`, since the point before. */
export interface Point extends Policies {
  readonly events: number
  readonly days: number
  /** Pages with a list, and without any. */
  readonly pages: number
  readonly unlisted: number
  /** Part of the pages that were the user's own list. */
  readonly own: number
  readonly coverage: number
  readonly gini: number
}

export interface LoopReport {
  readonly points: readonly Point[]
  /** New items of high quality: how often shown, and their fair share, by impressions they had had. */
  readonly newItems: readonly { from: number; shown: number; fair: number }[]
  readonly refused: number
}

const START = Date.UTC(2026, 0, 5)
const PAGE = 10
const HOUR_MS = 3_600_000
const VIEWERS = 200
/** A new item is of high quality if it is among this part of the catalog, over all viewers. */
const HIGH = 0.1
const STEPS = [0, 100, 200, 500, 1_000, 2_000, 4_000]
const TOPOLOGIES = 'sessions,labels,popularity,covisit,learner,topk'

export async function closedLoop(settings: LoopSettings): Promise<LoopReport> {
  const lists = new Lists()
  const lockstep = await openLockstep({
    options: settings.options,
    topologies: TOPOLOGIES,
    without: [],
    pace: 'asynchronous',
    startAt: START,
    onView: (write, at) => lists.write(write, at),
  })
  return new Loop(settings, lockstep, lists).run()
}

class Loop {
  private readonly settings: LoopSettings
  private readonly lockstep: Lockstep
  private readonly lists: Lists
  private readonly world: World
  private readonly rewards: PageRewards
  private readonly curve = new NewItemCurve(STEPS)
  private readonly dice: () => number
  private readonly consent: ReadonlyMap<string, string>
  private readonly live = new Set<string>()
  private shown = new Map<string, number>()
  private readonly positives = new Set<string>()
  /** Where an item stood on a page: by request and item. */
  private readonly positions = new Map<string, number>()
  private pages = { listed: 0, own: 0, unlisted: 0 }
  private rankedAt = Number.NEGATIVE_INFINITY
  private fresh: string[] = []

  constructor(settings: LoopSettings, lockstep: Lockstep, lists: Lists) {
    const { seed, users, items } = settings
    this.settings = settings
    this.lockstep = lockstep
    this.lists = lists
    this.dice = randomFrom(hash53(`loop:${seed}`))
    this.world = createWorld({
      seed,
      users,
      items,
      startTs: START,
      freshPages: true,
      lists: who => this.read(who),
    })
    this.consent = new Map(this.world.users.map(({ id, consent }) => [id, consent]))
    this.rewards = new PageRewards(
      this.world.truth,
      this.world.users.slice(0, VIEWERS).map(({ id }) => id),
    )
  }

  run(): LoopReport {
    const { events, every, ratePerSecond, onPoint } = this.settings
    const points: Point[] = []
    let sent = 0
    for (const event of this.world.events({ ratePerSecond })) {
      this.send(event)
      if (event.topic === 'items') continue
      this.note(event)
      if (++sent % every !== 0) continue
      const point = this.point(sent, event.at)
      points.push(point)
      onPoint?.(point)
      if (sent >= events) break
    }
    return { points, newItems: this.curve.steps(), refused: this.lockstep.refused.length }
  }

  /** The list that a viewer is shown, its page counted. */
  private read(who: { userId: string; cohort: string; surface: string; ts: number }) {
    this.lockstep.advance(who.ts)
    const list = this.lists.read(who, this.dice())
    if (list === undefined) {
      this.pages.unlisted++
      return undefined
    }
    this.rankAgain(who.ts)
    this.pages.listed++
    if ('user' in list && list.user === who.userId) this.pages.own++
    const page = list.items
      .slice(0, PAGE)
      .map(({ id }) => id)
      .filter(id => this.live.has(id))
    const open = this.rewards.page(who.userId, page, who.ts)
    this.curve.page(page, this.fairPage(open))
    return list
  }

  /** The page of the same draw (Plackett-Luce at the same temperature) by the true log chances. */
  private fairPage(open: readonly { itemId: string; reward: number }[]): string[] {
    const temperature = this.settings.options['topk.temperature']
    // what is far below the best is never drawn at this temperature
    return open
      .slice(0, 10 * PAGE)
      .map(({ itemId, reward }) => ({
        itemId,
        key: Math.log(reward) - temperature * Math.log(-Math.log(this.dice())),
      }))
      .sort((a, b) => b.key - a.key)
      .slice(0, PAGE)
      .map(({ itemId }) => itemId)
  }

  private rankAgain(ts: number): void {
    if (ts - this.rankedAt < HOUR_MS) return
    this.rankedAt = ts
    this.rewards.rank(ts)
    const { ranked } = this.rewards
    const high = new Set(ranked.slice(0, Math.floor(ranked.length * HIGH)))
    for (const id of this.fresh) if (high.has(id)) this.curve.follow(id)
    this.fresh = []
  }

  private send(event: SimulatedEvent): void {
    const { lockstep, live } = this
    if (event.topic === 'events') {
      const body = JSON.stringify({ type: event.kind.toLowerCase(), ...event.record })
      lockstep.send('events', event.key, Buffer.from(body), event.at)
      return
    }
    lockstep.sendItem(event.key, event.record, event.at)
    if (event.record === null) live.delete(event.key)
    else live.add(event.key)
    if (event.record !== null && event.at > START) this.fresh.push(event.key)
  }

  /** What a viewer did, for the policies that are compared. */
  private note(event: SimulatedEvent): void {
    if (event.topic === 'items') return
    const { userId, itemId } = event.record
    if (event.kind === 'Impression') {
      const { position = 0, requestId } = event.record
      this.shown.set(itemId, (this.shown.get(itemId) ?? 0) + 1)
      this.positions.set(`${requestId} ${itemId}`, position)
      this.rewards.informed.shown(userId, itemId, position)
      return
    }
    const isFull = this.consent.get(userId) === 'full'
    if (event.kind === 'Feedback') {
      const { kind } = event.record
      // of those without full consent the recommender keeps nothing, so nothing leaves their lists
      if (isFull && (kind === 'hide' || kind === 'dislike' || kind === 'report'))
        this.rewards.done(userId, itemId)
      return
    }
    const { watchedMs, durationMs = 0, playId, endReason, requestId } = event.record
    const isFinished = endReason === 'finished'
    if (isFinished && isFull) this.rewards.done(userId, itemId)
    if (!isFinished && watchedMs < Math.min(30_000, durationMs / 2)) return
    if (this.positives.has(playId)) return
    this.positives.add(playId)
    this.rewards.positive(itemId)
    const position = this.positions.get(`${requestId} ${itemId}`)
    if (position !== undefined) this.rewards.informed.positive(userId, itemId, position)
  }

  private point(events: number, at: number): Point {
    const { listed, own, unlisted } = this.pages
    const counts = [...this.live].map(id => this.shown.get(id) ?? 0)
    this.pages = { listed: 0, own: 0, unlisted: 0 }
    this.shown = new Map()
    return {
      events,
      days: (at - START) / (24 * HOUR_MS),
      ...this.rewards.take(),
      unlisted,
      own: own / listed,
      coverage: coverage(counts),
      gini: gini(counts),
    }
  }
}

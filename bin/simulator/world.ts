/**
 * A population with a known truth, for `freshet simulate`, the demo and benches. Everything is a function of the seed and
 * the options (and of the lists, where a provider gives some): the same seed gives the same events.
 *  - W1 Events come in the order in which they are sent (`at`); that is event time, but for late and doubled heartbeats.
 *  - W2 An impression's propensity is exact, or null where a list says null.
 *  - W3 watchedMs of a play never falls with its heartbeat's number.
 *  - W4 The load is steady: as many visits run at once as it takes for `ratePerSecond`, from the first second on. A user
 *       makes about an event in four seconds while there, so a world gives at most a fifth of its users a second.
 */
import { FreshetError } from '../../streams/errors.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { type Drift, parseDrift } from './drift.ts'
import { LoggingPolicy } from './policy.ts'
import { Catalog, Users } from './population.ts'
import type { ListProvider, SimulatedEvent } from './traffic.ts'
import { Truth } from './truth.ts'
import { restMs, type Stage, Visit, visitSeed } from './visit.ts'

export type { ListProvider, ServedList, SimulatedEvent } from './traffic.ts'

export interface WorldOptions {
  readonly seed: number
  /** Default 5,000. */
  readonly users?: number
  /** Default 2,000. */
  readonly items?: number
  /** Event time of the first event, ms. */
  readonly startTs: number
  /** `home` alone by default. */
  readonly surfaces?: readonly string[]
  /** Items on a page; default 10. */
  readonly slateSize?: number
  /** A list is read for each page instead of once a visit; default false. */
  readonly freshPages?: boolean
  /** Between heartbeats; default 10 s. */
  readonly heartbeatMs?: number
  /** Parts of the heartbeats that come twice and late; default 0.01 each. */
  readonly doubledRate?: number
  readonly lateRate?: number
  /** Parts of the users: logged out (0.1), with consent `contextual` (0.07) and `none` (0.03). */
  readonly anonymous?: number
  readonly contextual?: number
  readonly none?: number
  /** Part of the catalog that is withdrawn and replaced by new items each day; default 0.01. */
  readonly churnPerDay?: number
  /** Drifts as `parseDrift` reads them. */
  readonly drift?: readonly string[]
  readonly lists?: ListProvider
}

export interface Pace {
  /** Events a second of event time; default: three visits a user and day. */
  readonly ratePerSecond?: number
  /**
   * Event time that is lived through unseen before the first event (default 0). All visits begin at once, and short plays
   * end first: without a warm-up of some 2 min the first minutes differ from the later ones, as a drift would.
   */
  readonly warmUpMs?: number
}

export interface World {
  readonly truth: Truth
  readonly users: readonly {
    readonly id: string
    readonly cohort: string
    readonly consent: string
  }[]
  /** Parsed drifts, to be announced. */
  readonly drifts: readonly Drift[]
  /**
   * The catalog first, then events without end, at about the pace asked for. Once a world: what is watched changes with it. Errors: CALL_INVALID at the second call.
   */
  events(pace?: Pace): Generator<SimulatedEvent, never>
}

const dayMs = 86_400_000
const eventsOfVisit = 80
/** Until the visits themselves have shown it. */
const firstGuessPerSecond = 0.25

/** Errors: OPTION_INVALID for a drift. */
export function createWorld(options: WorldOptions): World {
  const { seed, startTs, users: userCount = 5_000, items = 2_000 } = options
  const { anonymous = 0.1, contextual = 0.07, none = 0.03, churnPerDay = 0.01 } = options
  const drifts = (options.drift ?? []).map(parseDrift)
  const users = new Users(seed, userCount, { anonymous, contextual, none })
  const catalog = new Catalog(seed, items, startTs)
  const truth = new Truth(users, catalog, drifts, startTs)
  let ids = 0
  const stage: Stage = {
    catalog,
    truth,
    policy: new LoggingPolicy(truth, catalog),
    lists: options.lists,
    nextEventId: () => `s${seed}-${(ids++).toString(36)}`,
    habits: {
      surfaces: options.surfaces ?? ['home'],
      slateSize: options.slateSize ?? 10,
      freshPages: options.freshPages ?? false,
      heartbeatMs: options.heartbeatMs ?? 10_000,
      doubledRate: options.doubledRate ?? 0.01,
      lateRate: options.lateRate ?? 0.01,
      drifts,
      startTs,
    },
  }
  let begun = false

  function* events(pace: Pace = {}): Generator<SimulatedEvent, never> {
    if (begun)
      throw new FreshetError('CALL_INVALID', 'the events of a simulated world can be had once')
    begun = true
    const rate = pace.ratePerSecond ?? (userCount * 3 * eventsOfVisit) / (dayMs / 1000)
    const random = randomFrom(hash53(`arrivals:${seed}`))
    const churnEveryMs = dayMs / Math.max(1e-9, items * churnPerDay)
    const restedAt = new Float64Array(userCount)
    const here = new Uint8Array(userCount)
    const heap: Visit[] = []
    let visits = 0
    let sent = 0
    let visitSeconds = 0
    let nextChurn = startTs + churnEveryMs
    let second = startTs - (pace.warmUpMs ?? 0)

    for (let slot = 0; slot < items; slot++) yield itemEvent(slot, startTs)
    for (;;) {
      const due = heap.length > 0 ? heap[0].at : Number.POSITIVE_INFINITY
      if (nextChurn <= Math.min(due, second)) {
        const slot = Math.floor(random() * items)
        const at = Math.round(nextChurn)
        yield { topic: 'items', kind: 'Item', key: catalog.slots[slot].id, at, record: null }
        catalog.fill(slot, at)
        yield itemEvent(slot, at)
        nextChurn += churnEveryMs
      } else if (second <= due) {
        const perVisit = visitSeconds > 2000 ? sent / visitSeconds : firstGuessPerSecond
        const wanted = Math.floor(rate / perVisit + random())
        for (let missing = wanted - heap.length; missing > 0; missing--) arrive(second)
        visitSeconds += heap.length
        second += 1000
      } else {
        const visit = heap[0]
        const event = visit.step()
        if (visit.at === Number.POSITIVE_INFINITY) leave(visit, due)
        sink(heap, 0)
        if (event) {
          sent++
          if (event.at >= startTs) yield event
        }
      }
    }

    function arrive(from: number): void {
      const at = from + Math.floor(random() * 1000)
      let user = users.draw(random)
      for (let tries = 0; tries < 12 && (here[user.index] || restedAt[user.index] > at); tries++)
        user = users.draw(random)
      if (here[user.index]) return // all that were asked are here already: this second stays below the rate
      here[user.index] = 1
      const number = visits++
      const dice = randomFrom(hash53(visitSeed(seed, number)))
      heap.push(new Visit(stage, user, `v${seed}-${number.toString(36)}`, at, dice))
      rise(heap, heap.length - 1)
    }

    function leave(visit: Visit, at: number): void {
      here[visit.user.index] = 0
      restedAt[visit.user.index] = at + restMs(random)
      const last = heap.pop()
      if (last && heap.length > 0) heap[0] = last
    }
  }

  function itemEvent(slot: number, at: number): SimulatedEvent {
    const record = catalog.record(slot)
    return { topic: 'items', kind: 'Item', key: record.itemId, at, record }
  }

  return { truth, users: users.all, drifts, events }
}

/** A binary heap by `at`. */
function rise(heap: Visit[], from: number): void {
  let i = from
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (heap[parent].at <= heap[i].at) return
    ;[heap[parent], heap[i]] = [heap[i], heap[parent]]
    i = parent
  }
}

function sink(heap: Visit[], from: number): void {
  let i = from
  for (;;) {
    let least = i
    for (const child of [2 * i + 1, 2 * i + 2])
      if (child < heap.length && heap[child].at < heap[least].at) least = child
    if (least === i) return
    ;[heap[least], heap[i]] = [heap[i], heap[least]]
    i = least
  }
}

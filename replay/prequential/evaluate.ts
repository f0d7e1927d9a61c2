/**
 * Prequential evaluation: each user's first positive on an item is predicted by what was known just before, and learnt
 * afterwards, over a whole log in time order, by the recommender itself (in lockstep).
 *
 *  - Q1 Nothing of an event is known when it is predicted, but when it happens and to whom. Items are candidates if they had
 *       an event before or stand in the catalog, are not among the user's earlier items, and (`activeWithinMs`) had an event
 *       within that time. An item that was known and is no candidate for lack of a recent event is a miss, and counts; the
 *       first event of an item stands apart (`newItems`).
 *  - Q2 Rows that are not positive are no events here: they are neither learnt nor do they make an item seen. A user's later
 *       positives on the same item are learnt as further views, and not predicted.
 *  - Q3 Users without a history are predicted like all others.
 *  - Q4 All users are learnt from: a holdout is a yardstick for what lists cause, and in a log none of them were shown.
 */
import { FreshetError } from '../../streams/errors.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import type { ImportedLog } from '../import/import.ts'
import { type Lockstep, openLockstep } from '../lockstep/lockstep.ts'
import { blendRanker } from './blend-ranker.ts'
import { type Part, parts, Sums } from './metrics.ts'
import {
  covisitRanker,
  decayedRanker,
  embeddingRanker,
  popularityRanker,
  type Question,
  type Ranker,
} from './rankers.ts'
import {
  Recalled,
  type RecalledReport,
  type RetrievedRanker,
  retrievedRanker,
} from './retrieved-ranker.ts'
import { TopTen } from './top.ts'

export interface PrequentialSettings {
  readonly log: ImportedLog
  readonly options: TopologyOptions
  /** 1: everything at once after each event. More: real intervals, in event time. */
  readonly partitions: number
  /** Undefined: all known items are candidates. */
  readonly activeWithinMs?: number
  /** Predicts every n-th of the events that can be; all are learnt. */
  readonly scoreEvery: number
  readonly progress?: (done: number, total: number) => void
}

export interface PrequentialRun {
  /** Positive rows. */
  readonly events: number
  /** Ids by number, as sums have them. */
  readonly users: readonly string[]
  /** Predictions by user. */
  readonly predicted: Record<Part, number[]>
  /** By name of the ranker; `decayed <half-life in ms>` for each half-life. */
  readonly sums: ReadonlyMap<string, Sums>
  /** Items known at the end. */
  readonly items: number
  readonly retrieval: Record<Part, RecalledReport>
  /** Wall time, ms: of all predictions by the blend, by the lists' own candidates, by all other rankers, and of learning. */
  readonly timeMs: Readonly<Record<'blend' | 'retrieved' | 'others' | 'learning', number>>
  readonly halfLivesMs: readonly number[]
}

/** Catalog rows come this long before the first event. */
const CATALOG_BEFORE_MS = 60_000
const PROGRESS_EVERY = 256

/** Errors: CALL_INVALID for a log without a positive row; BUG for one that the topologies refuse. */
export async function evaluatePrequential(settings: PrequentialSettings): Promise<PrequentialRun> {
  const { log } = settings
  const { events, order } = await look(log)
  const startAt = log.from - CATALOG_BEFORE_MS
  const { partitions } = settings
  const options = { ...settings.options, 'explore.holdout': 0 }
  const lockstep = await openLockstep({ options, partitions, startAt })
  return new Evaluation(settings, lockstep, events, order).run()
}

/** How many positives there are, and the rank of every id among all. */
async function look(log: ImportedLog): Promise<{ events: number; order: Map<string, number> }> {
  const ids = new Set<string>()
  let events = 0
  for (const { itemId } of log.positives()) {
    events++
    ids.add(itemId)
  }
  if (events === 0)
    throw new FreshetError(
      'CALL_INVALID',
      `none of the ${log.events} rows is positive (${log.positive}): nothing can be predicted; --positive says which rows are`,
    )
  for (const record of log.records()) {
    if (record.topic !== 'items') break
    ids.add(record.key)
  }
  const sorted = [...ids].sort((a, b) => (a < b ? -1 : 1))
  return { events, order: new Map(sorted.map((id, rank) => [id, rank])) }
}

interface Seen {
  readonly number: number
  /** By rank of the id. */
  readonly ranks: Set<number>
}

class Evaluation implements Question {
  // ---- the question at hand
  user: Question['user']
  at = 0
  number = 0
  candidates = new Int32Array(1024)
  count = 0
  /** By item of the table. */
  readonly order: Int32Array
  /** By item: the number of the last question that it is a candidate of. */
  private readonly asked: Uint32Array

  private readonly settings: PrequentialSettings
  private readonly lockstep: Lockstep
  private readonly events: number
  private readonly rankOfId: ReadonlyMap<string, number>
  /** By rank of the id: the item's index in the table, -1 before it is known; and when it had its last event. */
  private readonly itemOfRank: Int32Array
  private readonly lastEventAt: Float64Array
  /** By rank: the number of the last question whose user has seen it. */
  private readonly seenBy: Uint32Array
  private readonly known: number[] = []
  private readonly users = new Map<string, Seen>()
  private readonly predicted: Record<Part, number[]> = { all: [], secondHalf: [], newItems: [] }
  private readonly rankers: readonly { readonly ranker: Ranker; readonly sums: Sums }[]
  private readonly top = new TopTen()
  private readonly retrieved: RetrievedRanker
  private readonly recalled: Record<Part, Recalled> = {
    all: new Recalled(),
    secondHalf: new Recalled(),
    newItems: new Recalled(),
  }
  private readonly timeMs = { blend: 0, retrieved: 0, others: 0 }

  constructor(
    settings: PrequentialSettings,
    lockstep: Lockstep,
    events: number,
    rankOfId: ReadonlyMap<string, number>,
  ) {
    this.settings = settings
    this.lockstep = lockstep
    this.events = events
    this.rankOfId = rankOfId
    const size = rankOfId.size
    this.order = new Int32Array(size)
    this.asked = new Uint32Array(size)
    this.itemOfRank = new Int32Array(size).fill(-1)
    this.lastEventAt = new Float64Array(size).fill(Number.NEGATIVE_INFINITY)
    this.seenBy = new Uint32Array(size)
    const { items } = lockstep
    this.retrieved = retrievedRanker(items, lockstep.options)
    const all = [
      blendRanker(items),
      this.retrieved,
      popularityRanker(items),
      ...items.halfLivesMs.map((_, h) => decayedRanker(items, h)),
      covisitRanker(items),
      embeddingRanker(items),
    ]
    this.rankers = all.map(ranker => ({ ranker, sums: new Sums() }))
  }

  isCandidate(item: number): boolean {
    return this.asked[item] === this.number
  }

  run(): PrequentialRun {
    const { lockstep, settings, events } = this
    const { log, scoreEvery, progress } = settings
    const startedAt = performance.now()
    this.sendCatalog()
    let n = 0
    let firsts = 0
    for (const play of log.positives()) {
      if (n % PROGRESS_EVERY === 0) progress?.(n, events)
      const rank = this.rankOfId.get(play.itemId) as number
      const seen = this.userOf(play.userId)
      lockstep.advance(play.ts)
      if (!seen.ranks.has(rank)) {
        if (firsts++ % scoreEvery === 0) this.predict(play, rank, seen, n >= events / 2)
        seen.ranks.add(rank)
      }
      const id = `${n++}`
      lockstep.sendEvent({ ...play, ...{ type: 'watch', eventId: id, playId: id } })
      if (lockstep.refused.length > 0)
        throw new FreshetError('BUG', `event ${id} was refused: ${lockstep.refused[0]}`)
      this.learnOf(play.itemId, rank)
      this.lastEventAt[rank] = play.ts
    }
    const { recalled, timeMs } = this
    const predicting = timeMs.blend + timeMs.retrieved + timeMs.others
    return {
      events,
      users: [...this.users.keys()],
      predicted: this.predicted,
      sums: new Map(this.rankers.map(({ ranker, sums }) => [ranker.name, sums])),
      items: this.known.length,
      retrieval: {
        all: recalled.all.report,
        secondHalf: recalled.secondHalf.report,
        newItems: recalled.newItems.report,
      },
      timeMs: { ...timeMs, learning: performance.now() - startedAt - predicting },
      halfLivesMs: lockstep.items.halfLivesMs,
    }
  }

  private sendCatalog(): void {
    const { lockstep, settings } = this
    const { log } = settings
    for (const record of log.records()) {
      if (record.topic !== 'items') break
      lockstep.sendItem(record.key, record.record, lockstep.now)
      this.learnOf(record.key, this.rankOfId.get(record.key) as number)
    }
    lockstep.advance(log.from)
  }

  private learnOf(itemId: string, rank: number): void {
    if (this.itemOfRank[rank] >= 0) return
    const item = this.lockstep.items.index(itemId)
    this.itemOfRank[rank] = item
    this.order[item] = rank
    this.known.push(rank)
  }

  private userOf(userId: string): Seen {
    const known = this.users.get(userId)
    if (known) return known
    const seen = { number: this.users.size, ranks: new Set<number>() }
    this.users.set(userId, seen)
    for (const part of parts) this.predicted[part].push(0)
    return seen
  }

  private predict(
    { userId, ts }: { readonly userId: string; readonly ts: number },
    rank: number,
    { number, ranks }: Seen,
    isSecondHalf: boolean,
  ): void {
    this.ask(userId, ts, ranks)
    // unknown: no item of the table, and so nowhere in a list
    const target = this.itemOfRank[rank]
    const counted = this.partsOf(rank, isSecondHalf)
    for (const part of counted) this.predicted[part][number]++
    const { top, timeMs } = this
    let isInTen = false
    for (const { ranker, sums } of this.rankers) {
      const { name } = ranker
      const startedAt = performance.now()
      ranker.rank(this, top)
      const took = performance.now() - startedAt
      timeMs[name === 'blend' || name === 'retrieved' ? name : 'others'] += took
      const place = top.placeOf(target)
      if (name === 'blend') isInTen = place > 0
      for (const part of counted) sums.add(part, number, place, top.items, top.size)
    }
    for (const part of counted) this.recalled[part].add(this.retrieved, target, isInTen)
  }

  private partsOf(rank: number, isSecondHalf: boolean): readonly Part[] {
    if (this.lastEventAt[rank] === Number.NEGATIVE_INFINITY) return ['newItems']
    return isSecondHalf ? ['all', 'secondHalf'] : ['all']
  }

  private ask(userId: string, ts: number, seen: ReadonlySet<number>): void {
    const { known, seenBy, itemOfRank, lastEventAt, asked } = this
    const { activeWithinMs = Number.POSITIVE_INFINITY } = this.settings
    const oldest = ts - activeWithinMs
    const question = ++this.number
    this.user = this.lockstep.user(userId)
    this.at = ts
    for (const rank of seen) seenBy[rank] = question
    if (known.length > this.candidates.length) this.candidates = new Int32Array(2 * known.length)
    let n = 0
    for (const rank of known) {
      if (seenBy[rank] === question || lastEventAt[rank] < oldest) continue
      const item = itemOfRank[rank]
      asked[item] = question
      this.candidates[n++] = item
    }
    this.count = n
  }
}

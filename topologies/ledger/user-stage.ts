/**
 * In the user task, behind sessions: tells the ledger of every label, list, session and return once it is final. What it
 * tells is told once, with the commit that holds it, and never taken back.
 *
 * Of labels: what came of the impression and where it was shown is a function of the input's order. What the catalog, the
 * counts of items and a soft store say of it (new, restricted, novelty, repeats) is as the process knows it then.
 */
import { type ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { hash53, partitionOfText } from '../../streams/serde/hash.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { statisticsKind } from '../drift/deltas.ts'
import type { ItemTable } from '../items/table.ts'
import { feedbackBit } from '../labels/target.ts'
import type { UserEvent } from '../user/event.ts'
import type { LabelFact, LabelSink, ShownRequest } from '../user/labels-port.ts'
import type { StoredUser } from '../user/stored-user.ts'
import type { UserTable } from '../user/users.ts'
import { DimsTable } from './dims.ts'
import { EndedSessions } from './ended-sessions.ts'
import { emptyLabelled, PacketWriter, type SentDims, sentDims } from './packets.ts'
import { type Gain, ndcgAt, reciprocalRank } from './ranking.ts'
import { bucketCount, fineUnit, noveltyUnit } from './sums.ts'

/** Store numbers in the task kind `user`. On the log for ever. */
const userStores = { sessions: 45, gains: 46 } as const

const minuteMs = 60_000
/** An item is new for so long after it was published. */
const newForMs = 7 * 86_400_000
const ranks = 10
const hideBits = feedbackBit('hide') | feedbackBit('dislike')
const reportBit = feedbackBit('report')
const itemSeed = 0x17e4
const creatorSeed = 0x2c91

declare module '../user/labels-port.ts' {
  interface RequestScratch {
    ledger?: RequestOfUser
  }
}

/** What was watched of a request so far; a row only of requests of which anything was. */
interface GainsRow extends Row {
  readonly key: Buffer
  readonly gains: Gain[]
}

/** What is derived from a request once, kept by it. */
interface RequestOfUser {
  readonly dims: SentDims
  readonly bucket: number
  readonly userHash: number
  gains: GainsRow | null
}

export interface LedgerUserDeps {
  readonly users: UserTable
  readonly items: ItemTable
  /** As labels: how far ends of sessions are held behind the watermark, ms. */
  readonly slackMs: number
  /** Most of a play that counts as watch time, ms. */
  readonly watchCapMs: number
}

export function createLedgerUserStage(
  ctx: Pick<TaskContext, 'partition' | 'partitionsOf' | 'metrics'>,
  deps: LedgerUserDeps,
): Stage<UserEvent> & LabelSink {
  return new LedgerUserStage(ctx, deps)
}

const userHashOf = (userId: string): number => hash53(`bucket ${userId}`)

class LedgerUserStage implements Stage<UserEvent>, LabelSink {
  readonly name = 'ledger'
  readonly stores: NonNullable<Stage['stores']>
  private readonly ctx: Pick<TaskContext, 'partitionsOf'>
  private readonly deps: LedgerUserDeps
  private readonly packets = new PacketWriter()
  private readonly dims = new DimsTable(sentDims)
  private readonly sessions: EndedSessions
  private readonly gains: Store<GainsRow>
  /** At restore, until their request speaks. */
  private readonly restoredGains = new Map<string, GainsRow>()
  private readonly hashes: ItemHashes
  private readonly one = emptyLabelled()
  private readonly key = new ByteWriter(256)
  private readonly sessionsGauge

  constructor(
    ctx: Pick<TaskContext, 'partition' | 'partitionsOf' | 'metrics'>,
    deps: LedgerUserDeps,
  ) {
    this.ctx = ctx
    this.deps = deps
    this.hashes = new ItemHashes(deps.items)
    this.sessionsGauge = ctx.metrics.gauge('freshet_ledger_sessions', {
      partition: `${ctx.partition}`,
    })
    this.sessions = new EndedSessions(
      userStores.sessions,
      deps.users,
      deps.slackMs,
      this.packets,
      this.dims,
      userId => userHashOf(userId) % bucketCount,
    )
    this.gains = new Store<GainsRow>({
      id: userStores.gains,
      name: 'ledger-gains',
      write: 'exact',
      writeKey: (row, w) => w.raw(row.key),
      writeValue(row, w) {
        for (const { position, gain, positive } of row.gains)
          w.uint(position)
            .uint(gain)
            .u8(positive ? 1 : 0)
      },
      restore: (key, value) => this.restoreGains(key, value),
    })
    this.stores = [this.sessions.store, this.gains] as unknown as NonNullable<Stage['stores']>
  }

  process(event: UserEvent): undefined {
    const { users } = this.deps
    if (event.kind === 'erasure') this.sessions.forget(event.userId)
    else if (event.user !== null) this.sessions.take(event, event.user as StoredUser)
    this.sessions.see(users.watermark.at)
    return undefined
  }

  label(fact: LabelFact): void {
    const { one, hashes } = this
    const { items, watchCapMs } = this.deps
    const request = this.requestOf(fact.request)
    const { item, graded, shownAt, watchedMs, feedback, prediction } = fact
    const entry = items.catalog(item)
    const watched = Math.min(watchedMs, watchCapMs)
    one.clicked = fact.clicked
    one.positive = fact.positive
    one.completed = fact.completed
    one.explored = fact.explore
    one.repeated = fact.timesShown > 0
    one.reported = (feedback & reportBit) !== 0
    one.hidden = (feedback & hideBits) !== 0
    one.catalogued = entry !== undefined
    one.isNew = entry !== undefined && shownAt - entry.publishedAt < newForMs
    one.restricted = entry?.safety === 'restricted'
    one.watchedMs = watched
    one.weightedMs = graded === null ? watched : Math.round(watched * graded)
    one.graded = graded === null ? -1 : Math.round(graded / fineUnit)
    one.novelty = Math.round(surprise(items, item) / noveltyUnit)
    one.badScore = prediction !== null && !Number.isFinite(prediction)
    one.score = prediction === null || one.badScore ? Number.NaN : prediction
    one.item = hashes.item(item)
    one.creator = entry === undefined || entry.creator < 0 ? 0 : hashes.creator(entry.creator)
    one.hash = impressionHash(request.userHash, one.item, shownAt, fact.position)
    this.packets.label(request.dims, Math.floor(shownAt / minuteMs), request.bucket, one)
    const gain = graded === null ? (fact.positive ? 1 / fineUnit : 0) : one.graded
    if ((gain > 0 || fact.positive) && fact.request.requestId !== '')
      this.gain(fact.request, request, { position: fact.position, gain, positive: fact.positive })
  }

  /** A request without an id is no list: impressions of several pages stand in it. */
  over(shown: ShownRequest, isWhole: boolean): void {
    if (shown.requestId === '') return
    const request = this.requestOf(shown)
    const row = request.gains ?? this.takeRestored(shown)
    if (isWhole) {
      const gains = row?.gains ?? []
      this.packets.request(
        request.dims,
        Math.floor(shown.openedAt / minuteMs),
        request.bucket,
        Math.round(ndcgAt(ranks, gains) / fineUnit),
        Math.round(reciprocalRank(gains) / fineUnit),
      )
    }
    if (row) this.gains.remove(row)
    request.gains = null
  }

  private gain(shown: ShownRequest, request: RequestOfUser, gain: Gain): void {
    request.gains ??= this.takeRestored(shown) ?? {
      dirty: false,
      removed: false,
      key: Buffer.from(this.keyOf(shown)),
      gains: [],
    }
    request.gains.gains.push(gain)
    this.gains.touch(request.gains)
  }

  private requestOf(shown: ShownRequest): RequestOfUser {
    const { scratch } = shown
    if (scratch.ledger) return scratch.ledger
    const userHash = userHashOf(shown.user.id)
    scratch.ledger = {
      dims: this.dims.of(shown),
      bucket: userHash % bucketCount,
      userHash,
      gains: null,
    }
    return scratch.ledger
  }

  private keyOf({ user, requestId, openedAt }: ShownRequest): Buffer {
    return this.key.reset().string(user.id).string(requestId).uint(openedAt).bytes()
  }

  private takeRestored(shown: ShownRequest): GainsRow | undefined {
    if (this.restoredGains.size === 0) return undefined
    const name = this.keyOf(shown).toString('latin1')
    const row = this.restoredGains.get(name)
    this.restoredGains.delete(name)
    return row
  }

  private restoreGains(key: ByteReader, value: ByteReader | null): void {
    const bytes = Buffer.from(key.raw(key.left))
    const name = bytes.toString('latin1')
    if (value === null) {
      this.restoredGains.delete(name)
      return
    }
    const gains: Gain[] = []
    while (value.left > 0)
      gains.push({ position: value.uint(), gain: value.uint(), positive: value.u8() === 1 })
    this.restoredGains.set(name, { dirty: false, removed: false, key: bytes, gains })
  }

  tick(): boolean {
    return this.sessions.tick()
  }

  full(): boolean {
    return this.packets.isFull
  }

  flush(out: Parameters<NonNullable<Stage['flush']>>[0]): void {
    this.sessionsGauge.set(this.sessions.size)
    this.packets.flush(out, ledgerPartition(this.ctx.partitionsOf(statisticsKind)))
  }

  restored(): void {
    this.sessions.restored()
  }
}

/** The ledger's sums over policies, surfaces and arms need all of it in one task. */
function ledgerPartition(partitions: number): number {
  return partitionOfText('ledger', partitions)
}

/** -log2 of the item's share of all positives, each item with one more than it has. */
function surprise(items: ItemTable, item: number): number {
  const { counted } = items
  return Math.max(
    0,
    Math.log2((counted.positives + counted.items + 1) / (items.positives(item) + 1)),
  )
}

/** Mixes what an impression is told by to 53 bits; parts are below 2^53. */
function impressionHash(user: number, item: number, at: number, position: number): number {
  let h = (user % 4294967296) | 0
  let l = Math.floor(user / 4294967296) | 0
  for (const part of [
    item % 4294967296,
    item / 4294967296,
    at % 4294967296,
    at / 4294967296,
    position,
  ]) {
    h = Math.imul(h ^ (part | 0), 0x9e3779b1)
    h ^= h >>> 15
    l = Math.imul(l ^ h, 0x85ebca6b)
    l ^= l >>> 13
  }
  h = Math.imul(h ^ (l >>> 16), 0xc2b2ae35)
  h ^= h >>> 16
  return (l & 0x1fffff) * 4294967296 + (h >>> 0)
}

/** Hashes of items and creators by index: an index says nothing in another process. */
class ItemHashes {
  private readonly names: ItemTable
  private items: Float64Array = new Float64Array(1024)
  private creators: Float64Array = new Float64Array(1024)

  constructor(names: ItemTable) {
    this.names = names
  }

  item(index: number): number {
    if (index >= this.items.length) this.items = grown(this.items, index)
    const known = this.items[index]
    if (known !== 0) return known
    this.items[index] = hash53(this.names.idOf(index), itemSeed)
    return this.items[index]
  }

  creator(index: number): number {
    if (index >= this.creators.length) this.creators = grown(this.creators, index)
    const known = this.creators[index]
    if (known !== 0) return known
    this.creators[index] = hash53(this.names.creatorName(index), creatorSeed)
    return this.creators[index]
  }
}

function grown(array: Float64Array, index: number): Float64Array {
  const larger = new Float64Array(Math.max(index + 1, array.length * 2))
  larger.set(array)
  return larger
}

/** A small item table and users, for tests and the bench. */

import { silentLogger } from '../../streams/log.ts'
import { noMetrics } from '../../streams/metrics.ts'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { TaskContext } from '../../streams/topology/stage.ts'
import { BlendWeights } from '../blend/weights.ts'
import type { CatalogEntry, ItemTable, Neighbours } from '../items/table.ts'
import { vectorDimension } from '../learner/rows.ts'
import type { User, UserScratch, Users } from '../user/user.ts'

const d = vectorDimension

export interface FakeWorld {
  readonly items: number
  readonly seed: number
  /** Share of items without counts, neighbours, vectors: 1 is a world where nothing happened. */
  readonly bare?: number
  readonly nearest?: (query: Float32Array, n: number) => readonly number[]
}

export class FakeItems implements ItemTable {
  readonly size: number
  readonly halfLivesMs = [0.1, 1, 12, 96, 720].map(hours => hours * 3_600_000)
  readonly dimension = d
  readonly context: Float32Array
  readonly output: Float32Array
  readonly bias: Float32Array
  readonly news: number[] = []
  readonly catalogs = new Map<number, CatalogEntry>()
  countedUntil = 1_700_000_000_000
  private readonly counts: Float64Array[]
  private readonly rows: (Neighbours | undefined)[] = []
  readonly contentLength = 16
  readonly contents: Float32Array
  private readonly gone = new Map<number, number>()
  private readonly restricted = new Set<number>()
  private readonly byCount = new Map<number, number[]>()
  private readonly lists = new Map<string, number[]>()
  private readonly search: FakeWorld['nearest']

  constructor({ items, seed, bare = 0, nearest }: FakeWorld) {
    const random = randomFrom(hash53('world', seed))
    this.size = items
    this.search = nearest
    this.context = Float32Array.from({ length: items * d }, () => random() - 0.5)
    this.output = Float32Array.from({ length: items * d }, () => random() - 0.5)
    this.bias = Float32Array.from({ length: items }, () => random() - 0.5)
    this.contents = new Float32Array(items * this.contentLength)
    this.counts = this.halfLivesMs.map(() =>
      Float64Array.from({ length: items }, () => (random() < bare ? 0 : 1 / (0.001 + random()))),
    )
    for (let i = 0; i < items; i++) {
      const known = random() >= bare
      if (known) {
        this.rows[i] = {
          items: Int32Array.from({ length: 64 }, () => Math.floor(random() * items)),
          weights: Float32Array.from({ length: 64 }, (_, k) => 10 / (1 + k)),
          next: Float32Array.from({ length: 64 }, (_, k) => (k % 3) / (1 + k)),
          recent: Float32Array.from({ length: 64 }, (_, k) => 2 / (1 + k)),
          asOf: this.countedUntil,
          size: 64,
        }
        const vector = Float32Array.from({ length: 16 }, () => random() - 0.5)
        const norm = Math.hypot(...vector)
        this.contents.set(
          vector.map(x => x / norm),
          i * this.contentLength,
        )
      }
      this.catalogs.set(i, {
        itemId: this.idOf(i),
        title: '',
        creator: Math.floor(random() * Math.max(1, items / 10)),
        topics: [Math.floor(random() * 12)],
        language: 'en',
        regions: [],
        publishedAt: this.countedUntil - i * 60_000,
        expiresAt: null,
        durationMs: 0,
        safety: 'ok',
        attributes: {},
      })
    }
  }

  withdraw(index: number): void {
    this.gone.set(index, this.countedUntil)
    this.news.push(index)
  }
  /** As the item task has it: withdrawn by the clock. */
  expire(index: number, at: number): void {
    this.catalogs.set(index, { ...this.catalogs.get(index)!, expiresAt: at })
    this.withdraw(index)
  }
  restrict(index: number): void {
    this.catalogs.set(index, { ...this.catalogs.get(index)!, safety: 'restricted' })
    this.restricted.add(index)
    this.news.push(index)
  }
  /** Published again. */
  restore(index: number): void {
    this.gone.delete(index)
  }
  leftAt(index: number): number {
    return this.gone.get(index) ?? (this.restricted.has(index) ? this.countedUntil : 0)
  }
  index(itemId: string): number {
    return Number(itemId)
  }
  idOf(index: number): string {
    return String(index).padStart(7, '0')
  }
  catalog(index: number): CatalogEntry | undefined {
    return this.catalogs.get(index)
  }
  withdrawnAt(index: number): number {
    return this.gone.get(index) ?? 0
  }
  listable(index: number): boolean {
    return !this.gone.has(index)
  }
  creatorName(creator: number): string {
    return `c${creator}`
  }
  topicName(topic: number): string {
    return `t${topic}`
  }
  impressions(index: number): number {
    return index % 7
  }
  positives(index: number): number {
    return index % 3
  }
  rate(): number {
    return 0.1
  }
  readonly blend = new BlendWeights()
  readonly betaPrior = { a: 1, b: 19 }
  decayed(h: number, index: number): number {
    return this.counts[h][index]
  }
  decayedSum(h: number): number {
    return this.counts[h].reduce((sum, count) => sum + count, 0)
  }
  get counted(): { positives: number; most: number; items: number } {
    return { positives: this.size, most: 2, items: this.size }
  }
  firstPositiveAt(index: number): number {
    return this.countedUntil - 3_600_000 * (1 + (index % 1_000))
  }
  lastPositiveAt(index: number): number {
    return this.countedUntil - 60_000 * (index % 100)
  }
  popular(h: number, n: number): readonly number[] {
    let order = this.byCount.get(h)
    if (order === undefined) {
      const counts = this.counts[h]
      order = [...counts.keys()].filter(i => counts[i] > 0).sort((a, b) => counts[b] - counts[a])
      this.byCount.set(h, order)
    }
    return this.cached(`popular ${h} ${n}`, () => order.slice(0, n))
  }
  neighbours(index: number): Neighbours | undefined {
    return this.rows[index]
  }
  hasVector(index: number): boolean {
    return this.rows[index] !== undefined
  }
  content(index: number): Float32Array | undefined {
    const at = this.contentAt(index)
    return at < 0 ? undefined : this.contents.subarray(at, at + this.contentLength)
  }
  contentAt(index: number): number {
    return this.rows[index] === undefined ? -1 : index * this.contentLength
  }
  nearest(query: Float32Array, n: number): readonly number[] {
    if (this.search) return this.search(query, n)
    const dot = (i: number) => query.reduce((sum, x, k) => sum + x * this.output[i * d + k], 0)
    const all = [...this.bias.keys()].map(i => ({ i, dot: dot(i) }))
    return all
      .sort((a, b) => b.dot - a.dot)
      .slice(0, n)
      .map(({ i }) => i)
  }
  nearestContent(taste: ArrayLike<number>, n: number): readonly number[] {
    const cosine = (i: number) => {
      const vector = this.content(i)
      return vector ? vector.reduce((sum, x, k) => sum + x * taste[k], 0) : -Infinity
    }
    const all = Array.from({ length: this.size }, (_, i) => ({ i, cosine: cosine(i) }))
    return all
      .filter(({ cosine }) => cosine > -Infinity)
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, n)
      .map(({ i }) => i)
  }
  newest(n: number): readonly number[] {
    return this.cached(`newest ${n}`, () =>
      Array.from({ length: Math.min(n, this.size) }, (_, i) => i),
    )
  }
  private cached(name: string, make: () => number[]): number[] {
    const known = this.lists.get(name)
    if (known !== undefined) return known
    const list = make()
    this.lists.set(name, list)
    return list
  }
}

/** Of the only task of a kind, which reads `items` as its table. */
export function contextOf(
  kind: string,
  items: unknown,
  clock: { readonly now: number },
): TaskContext {
  return {
    kind,
    partition: 0,
    partitionsOf: () => 1,
    now: () => clock.now,
    table: <T>(): T => items as T,
    metrics: noMetrics,
    log: silentLogger,
  }
}

export interface FakeUser extends User {
  lastOffset: number
  lastSeenAt: number
  scratch: UserScratch
}

/** `history` newest first; `excluded` items may never be listed. */
export function fakeUser(
  id: string,
  history: readonly number[],
  excluded: ReadonlySet<number> = new Set(history),
  shown: (item: number) => number = () => 0,
): FakeUser {
  return {
    id,
    session: {} as User['session'],
    positives: {
      length: history.length,
      item: k => history[k],
      at: k => 1_700_000_000_000 - k * 1_000,
    },
    excludes: item => excluded.has(item),
    shown: { last24h: shown, last7d: shown, unwatched: () => [] },
    creatorWeight: () => 1,
    lastSeenAt: 1_700_000_000_000,
    cohort: '',
    surface: 'home',
    lastOffset: 0,
    scratch: {},
  }
}

export class FakeUsers implements Users {
  readonly watermark = { at: 0 }
  private readonly byId = new Map<string, User>()
  add<U extends User>(user: U): U {
    this.byId.set(user.id, user)
    return user
  }
  remove(userId: string): void {
    this.byId.delete(userId)
  }
  get(userId: string): User | undefined {
    return this.byId.get(userId)
  }
  values(): IterableIterator<User> {
    return this.byId.values()
  }
  *activeSince(ts: number): IterableIterator<string | undefined> {
    for (const user of this.byId.values()) yield user.lastSeenAt >= ts ? user.id : undefined
  }
  get size(): number {
    return this.byId.size
  }
}

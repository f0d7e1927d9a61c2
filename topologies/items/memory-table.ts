/**
 * The item table in memory: dense arrays by item index that grow, fed with the rows of item tasks and of the learner.
 *
 *  - M1 A table made from a compacted changelog equals one that saw every row: each row holds whole values, and what is
 *    kept over rows (rankings, the prior, `countedUntil`) depends on the last values alone. Only `news`
 *    tells of the past.
 *  - M2 Typed arrays given out by getters are replaced when the table grows: read them anew at each use.
 */
import type { OptionValues } from '../../streams/options.ts'
import type { ByteReader } from '../../streams/serde/bytes.ts'
import type { FollowedTable, TableSpec } from '../../streams/topology/stage.ts'
import { BlendWeights } from '../blend/weights.ts'
import { learnerStores, readVectorKey, readVectorRow, vectorDimension } from '../learner/rows.ts'
import { DecayedSums, halfLivesMs, logScore } from '../popularity/decay.ts'
import { emptyItemCounts, readCounts } from '../popularity/rows.ts'
import { ResponseWeights } from '../response/weights.ts'
import { readCatalogValue } from './catalog-rows.ts'
import { Contents } from './contents.ts'
import { loadGraphs } from './hnsw.ts'
import { Names } from './names.ts'
import { type GraphFactory, Nearest } from './nearest.ts'
import { NeighbourRows } from './neighbour-rows.ts'
import type { itemOptions } from './options.ts'
import { Ranking } from './ranking.ts'
import { RatePrior } from './rate-prior.ts'
import { itemStores } from './stores.ts'
import type { CatalogEntry, ItemTable, Neighbours } from './table.ts'

export type ItemTableOptions = Pick<
  OptionValues<typeof itemOptions>,
  'catalog.required' | 'ann.bruteForceBelow' | 'ann.moved'
>

/** The table `items`, followed by every process. */
export function itemTableSpec(
  options: ItemTableOptions,
  attributes: readonly string[] = [],
): TableSpec {
  return {
    name: 'items',
    follows: ['item', 'learner'],
    create: ctx => new MemoryItemTable(options, loadGraphs(ctx.log), attributes),
  }
}

/** Of an index in `tallies`. */
const first = 0
const newest = 1
const decayed = 2
const tally = decayed + halfLivesMs.length
/** e^(rate x ms) = 2^(ms / half-life), and costs a fifth of it. */
const decayRates = halfLivesMs.map(halfLife => Math.LN2 / halfLife)

/** As many as lists ask for at most, so that a ranking is hardly ever made anew. */
const RANKED = 1_024

export class MemoryItemTable implements ItemTable, FollowedTable {
  readonly dimension = vectorDimension
  readonly halfLivesMs = halfLivesMs
  readonly news: number[] = []
  countedUntil = 0
  readonly blend = new BlendWeights()
  readonly response = new ResponseWeights()
  context = new Float32Array(0)
  output = new Float32Array(0)
  bias = new Float32Array(0)

  private readonly items = new Names()
  private readonly creators = new Names()
  private readonly topics = new Names()
  private readonly catalogRequired: 'auto' | 'true' | 'false'
  /** Attributes of items that are kept. */
  private readonly attributes: readonly string[]
  private readonly entries: (CatalogEntry | undefined)[] = []
  /** By index: until when it may be listed, ms; -Infinity where it is withdrawn or blocked, NaN while it is unknown. */
  private listableUntil = new Float64Array(0)
  private catalogSeen = false
  private readonly contentVectors: Contents
  private readonly neighbourRows = new NeighbourRows((r, size) => this.indexFrom(r, size))

  private capacity = 0
  private withdrawn = new Float64Array(0)
  /** When an item became restricted, of the few that once were not. */
  private readonly restrictedAt = new Map<number, number>()
  private shown = new Uint32Array(0)
  private liked = new Uint32Array(0)
  /**
   * `tally` numbers an index: times of the first and of the newest positive, decayed positives as of the newest. Side by
   * side, since who asks for one asks for all: 200 random items a positive that is learnt, each a cache miss.
   */
  private tallies = new Float64Array(0)
  private readonly sums = new DecayedSums(halfLivesMs)
  readonly counted = { positives: 0, most: 0, items: 0 }
  private vectorSeen = new Uint8Array(0)

  private readonly byDecayed: readonly Ranking[]
  private readonly byPublication: Ranking
  private readonly ratePrior = new RatePrior()
  private readonly vectors: Nearest
  private readonly counts = emptyItemCounts()

  /** `graphs` undefined: nearest vectors are always found by looking at all. */
  constructor(
    options: ItemTableOptions,
    graphs: GraphFactory | undefined,
    attributes: readonly string[] = [],
  ) {
    this.catalogRequired = options['catalog.required']
    this.attributes = attributes
    const before = (a: number, b: number): boolean => this.items.nameOf(a) < this.items.nameOf(b)
    this.byDecayed = halfLivesMs.map(() => new Ranking(RANKED, before))
    this.byPublication = new Ranking(RANKED, before)
    const ann = { bruteForceBelow: options['ann.bruteForceBelow'], moved: options['ann.moved'] }
    this.vectors = new Nearest(vectorDimension, ann, graphs)
    this.contentVectors = new Contents(ann, graphs)
    this.grow(1024)
  }

  // ---- identity

  get size(): number {
    return this.items.size
  }

  index(itemId: string): number {
    const index = this.items.index(itemId)
    if (index >= this.capacity) this.grow(index + 1)
    return index
  }

  /** As `index`, for an id that stands as the next `size` bytes of a row or packet; they are passed over. */
  indexFrom(r: ByteReader, size: number): number {
    if (size > r.left) throw new RangeError(`a row is cut: an id of ${size} bytes, ${r.left} left`)
    const index = this.items.indexOfBytes(r.buffer, r.position, r.position + size)
    r.position += size
    if (index >= this.capacity) this.grow(index + 1)
    return index
  }

  idOf(index: number): string {
    return this.items.nameOf(index)
  }

  creatorName(creator: number): string {
    return this.creators.nameOf(creator)
  }

  topicName(topic: number): string {
    return this.topics.nameOf(topic)
  }

  // ---- catalog

  catalog(index: number): CatalogEntry | undefined {
    return this.entries[index]
  }

  withdrawnAt(index: number): number {
    return this.withdrawn[index]
  }

  leftAt(index: number): number {
    return this.withdrawn[index] || (this.restrictedAt.get(index) ?? 0)
  }

  listable(index: number, now: number): boolean {
    const until = this.listableUntil[index]
    if (!Number.isNaN(until)) return until > now
    return (
      this.catalogRequired === 'false' || (this.catalogRequired === 'auto' && !this.catalogSeen)
    )
  }

  get contents(): Float32Array {
    return this.contentVectors.vectors
  }

  get contentLength(): number {
    return this.contentVectors.length
  }

  content(index: number): Float32Array | undefined {
    return this.contentVectors.get(index)
  }

  contentAt(index: number): number {
    return this.contentVectors.at(index)
  }

  nearestContent(taste: ArrayLike<number>, n: number): readonly number[] {
    return this.contentVectors.nearest(taste, n)
  }

  newest(n: number): readonly number[] {
    return this.byPublication.best(n)
  }

  // ---- counts

  impressions(index: number): number {
    return this.shown[index]
  }

  positives(index: number): number {
    return this.liked[index]
  }

  get betaPrior(): { readonly a: number; readonly b: number } {
    return this.ratePrior.prior
  }

  rate(index: number): number {
    const { a, b } = this.ratePrior.prior
    const n = this.shown[index]
    return (Math.min(this.liked[index], n) + a) / (n + a + b)
  }

  decayed(h: number, index: number, now: number): number {
    const at = index * tally
    const value = this.tallies[at + decayed + h]
    return value === 0 ? 0 : value * Math.exp((this.tallies[at + newest] - now) * decayRates[h])
  }

  decayedSum(h: number, now: number): number {
    return this.sums.at(h, now)
  }

  firstPositiveAt(index: number): number {
    return this.tallies[index * tally + first]
  }

  lastPositiveAt(index: number): number {
    return this.tallies[index * tally + newest]
  }

  popular(h: number, n: number): readonly number[] {
    return this.byDecayed[h].best(n)
  }

  // ---- neighbours and vectors

  neighbours(index: number): Neighbours | undefined {
    return this.neighbourRows.get(index)
  }

  hasVector(index: number): boolean {
    return this.vectorSeen[index] === 1
  }

  nearest(query: Float32Array, n: number): readonly number[] {
    return this.vectors.search(query, n, this.output)
  }

  // ---- rows

  apply(
    kind: string,
    _partition: number,
    store: number,
    key: ByteReader,
    value: ByteReader | null,
  ): void {
    if (kind === 'learner') {
      if (store === learnerStores.vectors) this.applyVector(key, value)
      else if (store === learnerStores.blend) this.blend.read(value)
      else if (store === learnerStores.response) this.response.apply(key, value)
    } else if (store === itemStores.counts) this.applyCounts(key, value)
    else if (store === itemStores.neighbours)
      this.neighbourRows.apply(this.indexFrom(key, key.left), value)
    else if (store === itemStores.catalog) this.applyCatalog(key, value)
  }

  batchApplied(): void {
    this.vectors.work(this.output)
    this.contentVectors.work()
  }

  private applyCatalog(key: ByteReader, value: ByteReader | null): void {
    if (value === null) return
    const itemId = key.rawString()
    const index = this.index(itemId)
    const { item, content, withdrawnAt, restrictedAt = 0 } = readCatalogValue(value)
    const wasOut = this.withdrawn[index] !== 0
    const wasRestrictedAt = this.restrictedAt.get(index) ?? 0
    this.withdrawn[index] = withdrawnAt
    if (restrictedAt > 0) this.restrictedAt.set(index, restrictedAt)
    else this.restrictedAt.delete(index)
    if (wasOut !== (withdrawnAt !== 0) || restrictedAt > wasRestrictedAt) this.news.push(index)
    // a tombstone alone is no catalog
    if (item) this.catalogSeen = true
    if (item)
      this.entries[index] = {
        itemId,
        title: item.title,
        creator: item.creatorId === '' ? -1 : this.creators.index(item.creatorId),
        topics: item.topics.map(topic => this.topics.index(topic)),
        language: item.language,
        regions: item.regions,
        publishedAt: item.publishedAt,
        expiresAt: item.expiresAt,
        durationMs: item.durationMs,
        safety: item.safety,
        attributes: kept(item.attributes, this.attributes),
      }
    this.contentVectors.set(index, content, withdrawnAt === 0)
    this.listableUntil[index] = listableUntil(this.entries[index], withdrawnAt)
    this.byPublication.update(index, item && withdrawnAt === 0 ? item.publishedAt : Number.NaN)
  }

  private applyCounts(key: ByteReader, value: ByteReader | null): void {
    if (value === null) return
    const index = this.indexFrom(key, key.left)
    const { counts } = this
    readCounts(value, counts)
    if (counts.newestAt > this.countedUntil) this.countedUntil = counts.newestAt
    const { tallies } = this
    const place = index * tally
    const before = this.liked[index]
    this.ratePrior.replace(this.shown[index], before, counts.impressions, counts.positives)
    this.shown[index] = counts.impressions
    // decayed counts change with positives alone; most rows are impressions
    if (before === counts.positives) return
    this.liked[index] = counts.positives
    tallies[place + first] = counts.firstMinute * 60_000
    this.counted.positives += counts.positives - before
    if (before === 0) this.counted.items++
    if (counts.positives > this.counted.most) this.counted.most = counts.positives
    const at = counts.decayedMinute * 60_000
    const atBefore = tallies[place + newest]
    tallies[place + newest] = at
    for (let h = 0; h < halfLivesMs.length; h++) {
      this.sums.add(h, -tallies[place + decayed + h], atBefore)
      this.sums.add(h, counts.decayed[h], at)
      tallies[place + decayed + h] = counts.decayed[h]
      this.byDecayed[h].update(index, logScore(counts.decayed[h], at, halfLivesMs[h]))
    }
  }

  private applyVector(key: ByteReader, value: ByteReader | null): void {
    const index = this.index(readVectorKey(key))
    const at = index * vectorDimension
    if (value === null) {
      this.vectorSeen[index] = 0
      this.context.fill(0, at, at + vectorDimension)
      this.output.fill(0, at, at + vectorDimension)
      this.bias[index] = 0
      this.vectors.removed(index)
      return
    }
    this.bias[index] = readVectorRow(value, this.context, this.output, at)
    this.vectorSeen[index] = 1
    this.vectors.moved(index, this.output)
  }

  private grow(size: number): void {
    const capacity = Math.max(size, this.capacity * 2)
    this.capacity = capacity
    this.withdrawn = copyInto(new Float64Array(capacity), this.withdrawn)
    this.shown = copyInto(new Uint32Array(capacity), this.shown)
    this.liked = copyInto(new Uint32Array(capacity), this.liked)
    this.tallies = copyInto(new Float64Array(capacity * tally), this.tallies)
    this.listableUntil = copyInto(new Float64Array(capacity).fill(Number.NaN), this.listableUntil)
    this.vectorSeen = copyInto(new Uint8Array(capacity), this.vectorSeen)
    this.context = copyInto(new Float32Array(capacity * vectorDimension), this.context)
    this.output = copyInto(new Float32Array(capacity * vectorDimension), this.output)
    this.bias = copyInto(new Float32Array(capacity), this.bias)
  }
}

function listableUntil(entry: CatalogEntry | undefined, withdrawnAt: number): number {
  if (withdrawnAt !== 0 || entry?.safety === 'blocked') return Number.NEGATIVE_INFINITY
  return entry === undefined ? Number.NaN : (entry.expiresAt ?? Number.POSITIVE_INFINITY)
}

const noAttributes: Readonly<Record<string, string>> = {}

function kept(
  attributes: Readonly<Record<string, string>>,
  keys: readonly string[],
): Readonly<Record<string, string>> {
  const found = keys.filter(key => attributes[key] !== undefined)
  return found.length === 0
    ? noAttributes
    : Object.fromEntries(found.map(key => [key, attributes[key]]))
}

function copyInto<T extends { set(from: T): void }>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

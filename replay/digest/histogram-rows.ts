/**
 * The integer counts of a statistic task's rows by window, whenever windows closed and whatever of it was summed up yet:
 * counts that wait (by place) are added to those of windows (by segment), for the whole and for each segment.
 *
 *  - H1 Windows that may have been forgotten are left out: those that ended a grace before the newest watermark heard.
 *  - H2 Of a category's names those beyond 64, and of a dimension's values those beyond 16, have no place of their own, by
 *       order of arrival: where there are so many, the names count as one, and the dimension's segments are left out.
 *  - H3 What is of the machine is left out: how long lists took, and features as they were served. So are references, samples
 *       and figures, which are of windows as they stood when they closed.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { type Histogram, maxNames, otherName } from '../../topologies/drift/histogram.ts'
import { Pending } from '../../topologies/drift/pending.ts'
import {
  type Dimension,
  dimensions,
  dimensionsOf,
  maxValues,
  SegmentValues,
} from '../../topologies/drift/segments.ts'
import { statisticsState } from '../../topologies/drift/state.ts'
import {
  featureSubjects,
  numberSubject,
  numberSubjects,
  shardCount,
  sizes,
  subject as subjectNumber,
} from '../../topologies/drift/subjects.ts'
import { Watermark } from '../../topologies/drift/watermark.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import type { ExactRow } from './digest.ts'

export type HistogramOptions = Pick<TopologyOptions, 'drift.grace' | 'drift.segments'>

/** H3 */
const ofTheMachine: ReadonlySet<string> = new Set([
  numberSubjects[subjectNumber.latency].name,
  ...featureSubjects.map(({ name }) => name),
])

interface WindowSum {
  readonly key: readonly unknown[]
  missing: number
  /** By bin or name, by shard. */
  readonly cells: Map<string, Int32Array>
}

export class HistogramRows {
  private readonly options: HistogramOptions
  private readonly watermark = new Watermark(1, () => 0)
  private readonly segments = new SegmentValues([])
  private readonly state
  private readonly pending = new Pending()
  private readonly stores = new Map<number, Store<Row>>()

  constructor(options: HistogramOptions) {
    this.options = options
    this.state = statisticsState(this.watermark, this.segments)
    const { windowStore, progressStore } = this.state
    for (const store of [windowStore, progressStore, this.pending.store] as unknown as Store<Row>[])
      this.stores.set(store.spec.id, store)
  }

  take({ store, key, value }: ExactRow): void {
    this.stores.get(store)?.spec.restore(new ByteReader(key), new ByteReader(value))
  }

  /** The newest watermark of any source, ms. */
  get newest(): number {
    return Math.max(0, ...[...this.watermark.sources.values()].map(({ watermark }) => watermark))
  }

  /** All rows were given. */
  end(histogram: (text: string) => void): void {
    const waiting = this.pending.takeEnded(() => true, Number.POSITIVE_INFINITY)
    const named = this.namedDimensions(waiting.map(({ block }) => block.place))
    const oldest = this.newest - this.options['drift.grace']
    const isKept = (end: number): boolean => end >= oldest
    const sums = new Map<string, WindowSum>()
    const add = (
      subject: string,
      segment: string,
      size: number,
      at: number,
      from: Histogram,
    ): void => {
      const { ms } = sizes[size]
      const start = Math.floor(at / ms) * ms
      if (ofTheMachine.has(subject) || !isKept(start + ms)) return
      const key = [subject, segment, size, start]
      const name = JSON.stringify(key)
      const sum = sums.get(name) ?? { key, missing: 0, cells: new Map() }
      sums.set(name, sum)
      addTo(sum, from)
    }
    for (const { subject, block, histogram: counts } of waiting)
      for (const size of block.size === 0 ? sizes.keys() : [block.size]) {
        add(subject, '', size, block.start, counts)
        for (const dimension of named)
          if (block.place[dimension] !== '')
            add(subject, `${dimension}=${block.place[dimension]}`, size, block.start, counts)
      }
    for (const row of this.state.windows.values()) {
      const dimension = row.segment.slice(0, row.segment.indexOf('=')) as Dimension
      if (row.segment !== '' && !named.includes(dimension)) continue
      add(row.subject, row.segment, row.size, row.start, row.unpacked())
    }
    for (const sum of sums.values()) {
      const text = textOf(sum)
      if (text !== undefined) histogram(text)
    }
  }

  /** Those that windows are split by, and all of whose values have segments of their own: H2. */
  private namedDimensions(places: readonly Readonly<Record<Dimension, string>>[]): Dimension[] {
    const watched = dimensionsOf(this.options['drift.segments'])
    return dimensions.filter(dimension => {
      const values = new Set(this.segments.seen[dimension])
      for (const place of places) if (place[dimension] !== '') values.add(place[dimension])
      return watched.includes(dimension) && values.size < maxValues
    })
  }
}

function addTo(sum: WindowSum, histogram: Histogram): void {
  const { names, missing } = histogram
  sum.missing += missing
  histogram.forEach((bin, shard, count) => {
    const name = names === null ? String(bin) : names[bin]
    let shards = sum.cells.get(name)
    if (shards === undefined) {
      shards = new Int32Array(shardCount)
      sum.cells.set(name, shards)
    }
    shards[shard] += count
  })
}

/** Undefined: nothing is counted in it. A change that was taken back leaves an empty row, or none. */
function textOf({ key, missing, cells }: WindowSum): string | undefined {
  const filled = [...cells].filter(([, shards]) => shards.some(count => count !== 0))
  if (filled.length === 0 && missing === 0) return undefined
  const isOverfull = cells.has(otherName) || filled.length > maxNames
  const isOfNames = numberSubject(String(key[0])) === undefined
  const counts =
    isOfNames && isOverfull ? [[otherName, together(cells.values())] as const] : filled.sort(byName)
  return JSON.stringify([...key, missing, counts.map(([name, shards]) => [name, [...shards]])])
}

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  a < b ? -1 : 1

function together(all: Iterable<Int32Array>): Int32Array {
  const sum = new Int32Array(shardCount)
  for (const shards of all)
    shards.forEach((count, shard) => {
      sum[shard] += count
    })
  return sum
}

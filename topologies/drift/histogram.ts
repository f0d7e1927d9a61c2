/**
 * Integer counts by bin and user-hash shard. For categories the bins are names, in order of first sight, at most
 * `maxNames`; later names share the bin `otherName`.
 */
import type { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import { shardCount } from './subjects.ts'

const maxNames = 64
const otherName = '~other'

export class Histogram {
  /** null: numbers, with bins by edge. */
  readonly names: string[] | null
  /** counts[bin * 16 + shard] */
  counts: Int32Array
  /** Rows that had no value. */
  missing = 0

  constructor(bins: number, names: string[] | null) {
    this.names = names
    this.counts = new Int32Array(bins * shardCount)
  }

  static numbers(bins: number): Histogram {
    return new Histogram(bins, null)
  }

  static categories(): Histogram {
    return new Histogram(0, [])
  }

  get bins(): number {
    return this.counts.length / shardCount
  }

  add(bin: number, shard: number, by: number): void {
    this.counts[bin * shardCount + shard] += by
  }

  /** The bin of a category; a new one where there is room. */
  binOfName(name: string): number {
    const names = this.names as string[]
    let bin = names.indexOf(name)
    if (bin >= 0) return bin
    const full = names.length >= maxNames
    if (full) {
      bin = names.indexOf(otherName)
      if (bin >= 0) return bin
    }
    names.push(full ? otherName : name)
    const larger = new Int32Array(this.counts.length + shardCount)
    larger.set(this.counts)
    this.counts = larger
    return names.length - 1
  }

  merge(other: Histogram): void {
    this.missing += other.missing
    for (let bin = 0; bin < other.bins; bin++) {
      const to = other.names ? this.binOfName(other.names[bin]) : bin
      for (let shard = 0; shard < shardCount; shard++)
        this.add(to, shard, other.counts[bin * shardCount + shard])
    }
  }

  /** Counts by bin. */
  totals(): number[] {
    return Array.from({ length: this.bins }, (_, bin) => {
      let sum = 0
      for (let shard = 0; shard < shardCount; shard++) sum += this.counts[bin * shardCount + shard]
      return sum
    })
  }

  get n(): number {
    let sum = 0
    for (const count of this.counts) sum += count
    return sum
  }

  /** Counts by shard and group, where `groupOf` puts each bin into one of `groups` groups. */
  fold(groups: number, groupOf: (bin: number) => number): Float64Array[] {
    const shards = Array.from({ length: shardCount }, () => new Float64Array(groups))
    for (let bin = 0; bin < this.bins; bin++) {
      const group = groupOf(bin)
      for (let shard = 0; shard < shardCount; shard++)
        shards[shard][group] += this.counts[bin * shardCount + shard]
    }
    return shards
  }

  write(w: ByteWriter): void {
    w.uint(this.missing).uint(this.names ? this.names.length + 1 : 0)
    for (const name of this.names ?? []) w.string(name)
    w.uint(this.bins)
    for (const count of this.counts) w.int(count)
  }

  static read(r: ByteReader): Histogram {
    const missing = r.uint()
    const named = r.uint()
    const names = named === 0 ? null : Array.from({ length: named - 1 }, () => r.string())
    const histogram = new Histogram(r.uint(), names)
    for (let i = 0; i < histogram.counts.length; i++) histogram.counts[i] = r.int()
    histogram.missing = missing
    return histogram
  }
}

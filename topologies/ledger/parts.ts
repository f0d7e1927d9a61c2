/**
 * What the ledger holds of a window, but for what the smaller windows within it hold (slots.ts): sums of each combination of dims by bucket of users (`Cell`), samples of scores by model
 * (`ScoreSample`), and how often items were shown (`Exposure`). Each is a row of its own, and says up to which packet it
 * holds what came (`upTo`): later packets are in the journal (journal.ts).
 */
import { ByteReader, type ByteWriter, ByteWriter as Writer } from '../../streams/serde/bytes.ts'
import type { Row } from '../../streams/topology/store.ts'
import { ScoreSums } from '../calibration/sums.ts'
import { BottomK } from '../drift/bottom-k.ts'
import type { Base } from './bases.ts'
import type { Slot } from './slots.ts'
import { bucketCount, sumCount } from './sums.ts'

/** Rows that a sample of scores holds; up to it what is made of it is exact. */
export const sampleSize = 5_000

/** What the journal needs of them. */
export interface Part extends Row {
  readonly slot: Slot
  /** Number of the newest packet that its row holds. */
  upTo: number
  /** Changed since its row was written. */
  changed: boolean
  /** Of its row, about. */
  readonly bytes: number
}

const scratch = new Writer(8192)

type Buckets = (Float64Array | undefined)[]

export class Cell implements Part {
  dirty = false
  removed = false
  upTo = 0
  changed = false
  readonly slot: Slot
  readonly base: Base
  /** null while it is packed: a window that was written may never change again, and unpacked takes ten times as much. */
  private buckets: Buckets | null = new Array(bucketCount)
  private scored: ScoreSums | null = null
  private packed: Buffer | null = null

  constructor(slot: Slot, base: Base) {
    this.slot = slot
    this.base = base
  }

  get bytes(): number {
    return this.packed?.length ?? 2_000
  }

  /** Of the bucket, by `sum`. */
  sums(bucket: number): Float64Array {
    const buckets = this.unpacked()
    let sums = buckets[bucket]
    if (sums === undefined) {
      sums = new Float64Array(sumCount)
      buckets[bucket] = sums
    }
    return sums
  }

  scores(): ScoreSums {
    this.unpacked()
    this.scored ??= new ScoreSums()
    return this.scored
  }

  /** What is there, bucket by bucket; gives the scores. A packed cell stays so. */
  read(bucket: (bucket: number, sums: Float64Array) => void): ScoreSums | null {
    const { buckets, scored } = this.buckets
      ? { buckets: this.buckets, scored: this.scored }
      : this.decode()
    for (let b = 0; b < bucketCount; b++) {
      const sums = buckets[b]
      if (sums) bucket(b, sums)
    }
    return scored
  }

  /** Adds what another cell holds. */
  merge(other: Cell): void {
    const scored = other.read((bucket, sums) => {
      const into = this.sums(bucket)
      for (let k = 0; k < sumCount; k++) into[k] += sums[k]
    })
    if (scored) this.scores().merge(scored)
  }

  pack(): void {
    if (this.buckets === null) return
    scratch.reset()
    this.writeSums(scratch, this.buckets)
    this.packed = scratch.copy()
    this.buckets = null
    this.scored = null
  }

  write(w: ByteWriter): void {
    if (this.packed) w.raw(this.packed)
    else this.writeSums(w, this.unpacked())
  }

  static read(slot: Slot, base: Base, r: ByteReader): Cell {
    const cell = new Cell(slot, base)
    cell.packed = Buffer.from(r.raw(r.left))
    cell.buckets = null
    return cell
  }

  private unpacked(): Buckets {
    if (this.buckets) return this.buckets
    const { buckets, scored } = this.decode()
    this.buckets = buckets
    this.scored = scored
    this.packed = null
    return buckets
  }

  private decode(): { buckets: Buckets; scored: ScoreSums | null } {
    const r = new ByteReader(this.packed as Buffer)
    const buckets: Buckets = new Array(bucketCount)
    let scored: ScoreSums | null = null
    if (r.u8() === 1) {
      scored = new ScoreSums()
      scored.read(r)
    }
    while (r.left > 0) {
      const bucket = r.u8()
      const sums = new Float64Array(sumCount)
      let filled = r.uint()
      for (let k = 0; filled !== 0; k++, filled >>>= 1) if (filled & 1) sums[k] = r.uint()
      buckets[bucket] = sums
    }
    return { buckets, scored }
  }

  /** Scores where there are any, then of each bucket which sums are not 0, and these. */
  private writeSums(w: ByteWriter, buckets: Readonly<Buckets>): void {
    w.u8(this.scored ? 1 : 0)
    this.scored?.write(w)
    for (let b = 0; b < bucketCount; b++) {
      const sums = buckets[b]
      if (!sums) continue
      let filled = 0
      for (let k = 0; k < sumCount; k++) if (sums[k] !== 0) filled |= 1 << k
      w.u8(b).uint(filled)
      for (let k = 0; k < sumCount; k++) if (sums[k] !== 0) w.uint(sums[k])
    }
  }
}

/** A uniform sample of a model's scores in a window: score, and number of the base x 2 + label. */
export class ScoreSample implements Part {
  dirty = false
  removed = false
  upTo = 0
  changed = false
  readonly slot: Slot
  readonly model: string
  readonly rows: BottomK

  constructor(slot: Slot, model: string, rows = new BottomK(sampleSize, 2)) {
    this.slot = slot
    this.model = model
    this.rows = rows
  }

  get bytes(): number {
    return this.rows.size * 23
  }
}

/** Rows of a window's exposures, by the item's hash: none is large. */
export const exposureParts = 16

/** How often the items of one part were shown, under one (policy, arms, surface). By the item's number in this process. */
export class Exposure implements Part {
  dirty = false
  removed = false
  upTo = 0
  changed = false
  readonly slot: Slot
  readonly base: Base
  readonly part: number
  /** Items in order of first sight, how often each was shown, and where it stands. */
  readonly items: number[] = []
  readonly counts: number[] = []
  private readonly places = new Map<number, number>()

  /** `base`: any of those that share policy, arms and surface: the first of them. */
  constructor(slot: Slot, base: Base, part: number) {
    this.slot = slot
    this.base = base
    this.part = part
  }

  get bytes(): number {
    return this.counts.length * 18
  }

  /** Counts impressions. False: the item is not here yet. Hot: one look-up. */
  again(item: number, times: number): boolean {
    const place = this.places.get(item)
    if (place === undefined) return false
    this.counts[place] += times
    return true
  }

  add(item: number, count: number): void {
    this.places.set(item, this.items.length)
    this.items.push(item)
    this.counts.push(count)
  }
}

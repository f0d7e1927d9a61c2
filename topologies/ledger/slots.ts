/** The windows of the ledger: by size and start, each with what it holds, and when it is written and forgotten. */
import type { Row } from '../../streams/topology/store.ts'
import { sizes } from '../drift/subjects.ts'
import type { Base } from './bases.ts'
import { Cell, Exposure, exposureParts, type Part, ScoreSample } from './parts.ts'

/** Items of a window that are counted apart; beyond it how exposures spread is not told. */
const mostItems = 200_000
/** Models of a window of whose scores a sample is kept. */
const mostModels = 8

export class Slot implements Row {
  dirty = false
  removed = false
  readonly size: number
  /** Number of the window: start / size. */
  readonly number: number
  /** Of the rows that were written last; 0: none. */
  revision = 0
  /** What was known when it was written last (quality/metrics.ts). */
  level = 0
  /** Changed since it was written. */
  changed = false
  /** More items were shown than are counted. */
  isCrowded = false
  /** No label can come any more: samples and exposures were let go. */
  isSettled = false
  /** Processing time, ms. */
  writtenAt = Number.NEGATIVE_INFINITY
  readonly cells = new Map<number, Cell>()
  readonly samples = new Map<string, ScoreSample>()
  readonly exposures = new Map<number, Exposure>()
  private items = 0

  constructor(size: number, number: number) {
    this.size = size
    this.number = number
  }

  get start(): number {
    return this.number * sizes[this.size].ms
  }

  get end(): number {
    return (this.number + 1) * sizes[this.size].ms
  }

  cell(base: Base): Cell {
    let cell = this.cells.get(base.number)
    if (cell === undefined) {
      cell = new Cell(this, base)
      this.put(cell)
    }
    return cell
  }

  put(cell: Cell): void {
    this.cells.set(cell.base.number, cell)
    cell.base.holds++
  }

  /** Undefined: there are too many models. */
  sample(model: string): ScoreSample | undefined {
    let sample = this.samples.get(model)
    if (sample === undefined) {
      if (this.samples.size >= mostModels) return undefined
      sample = new ScoreSample(this, model)
      this.samples.set(model, sample)
    }
    return sample
  }

  /** Where an item of this hash is counted. */
  exposure(base: Base, hash: number): Exposure {
    const part = hash % exposureParts
    const key = base.shownUnder.number * exposureParts + part
    let exposure = this.exposures.get(key)
    if (exposure === undefined) {
      exposure = new Exposure(this, base.shownUnder, part)
      this.putExposure(exposure)
    }
    return exposure
  }

  putExposure(exposure: Exposure): void {
    this.exposures.set(exposure.base.number * exposureParts + exposure.part, exposure)
    exposure.base.holds++
    this.items += exposure.counts.size
  }

  /** Counts an impression of the item of this number. */
  show(exposure: Exposure, item: number): void {
    const { counts } = exposure
    const count = counts.get(item)
    if (count !== undefined) counts.set(item, count + 1)
    else if (this.items < mostItems) {
      counts.set(item, 1)
      this.items++
    } else this.isCrowded = true
  }

  /** Lets go of what only labels change; gives what it was. */
  settle(): Part[] {
    this.isSettled = true
    const parts: Part[] = [...this.samples.values(), ...this.exposures.values()]
    for (const { base } of this.exposures.values()) base.holds--
    this.samples.clear()
    this.exposures.clear()
    return parts
  }

  /** Lets go of all; gives what it was. */
  clear(): Part[] {
    const parts: Part[] = [...this.settle(), ...this.cells.values()]
    for (const { base } of this.cells.values()) base.holds--
    this.cells.clear()
    return parts
  }
}

export class Slots {
  private readonly bySize = sizes.map(() => new Map<number, Slot>())

  get(size: number, number: number): Slot | undefined {
    return this.bySize[size].get(number)
  }

  make(size: number, number: number): Slot {
    const slot = new Slot(size, number)
    this.bySize[size].set(number, slot)
    return slot
  }

  delete(slot: Slot): void {
    this.bySize[slot.size].delete(slot.number)
  }

  *values(): IterableIterator<Slot> {
    for (const slots of this.bySize) yield* slots.values()
  }

  get count(): number {
    return this.bySize.reduce((sum, slots) => sum + slots.size, 0)
  }
}

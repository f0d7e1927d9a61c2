/**
 * The windows of the ledger: by size and start, each with what it holds, and when it is written and forgotten.
 *
 * What is told is added to the smallest window that is still held. When that goes, its sums are added to the next larger one
 * (`foldInto`); what a window comes to is what it holds itself and what the windows within it hold (`within`). So a label is
 * one addition and not three.
 */
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
    return this.exposureOf(base.shownUnder, hash % exposureParts)
  }

  private exposureOf(base: Base, part: number): Exposure {
    let exposure = this.exposures.get(base.number * exposureParts + part)
    if (exposure === undefined) {
      exposure = new Exposure(this, base, part)
      this.putExposure(exposure)
    }
    return exposure
  }

  putExposure(exposure: Exposure): void {
    this.exposures.set(exposure.base.number * exposureParts + exposure.part, exposure)
    exposure.base.holds++
    this.items += exposure.items.length
  }

  /** Counts impressions of the item of this number. */
  show(exposure: Exposure, item: number, times = 1): void {
    if (exposure.again(item, times)) return
    if (this.items >= mostItems) {
      this.isCrowded = true
      return
    }
    exposure.add(item, times)
    this.items++
  }

  /** Lets go of what only labels change: adds it to the larger window, if that still asks for it. `changed` is told of its parts. */
  settle(larger: Slot | undefined, changed: (part: Part) => void): Part[] {
    this.isSettled = true
    const parts: Part[] = [...this.samples.values(), ...this.exposures.values()]
    if (larger && !larger.isSettled) {
      for (const { model, rows } of this.samples.values()) {
        const into = larger.sample(model)
        if (!into) continue
        into.rows.merge(rows)
        changed(into)
      }
      for (const { base, part, items, counts } of this.exposures.values()) {
        const into = larger.exposureOf(base, part)
        items.forEach((item, k) => {
          larger.show(into, item, counts[k])
        })
        changed(into)
      }
      larger.isCrowded ||= this.isCrowded
    }
    for (const { base } of this.exposures.values()) base.holds--
    this.samples.clear()
    this.exposures.clear()
    return parts
  }

  /** Lets go of all, and adds it to the larger window; gives what it was. */
  foldInto(larger: Slot | undefined, changed: (part: Part) => void): Part[] {
    const parts: Part[] = [...this.settle(larger, changed), ...this.cells.values()]
    for (const cell of this.cells.values()) {
      if (larger) {
        const into = larger.cell(cell.base)
        into.merge(cell)
        changed(into)
      }
      cell.base.holds--
    }
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

  /** The window of the next size around this one. */
  larger(slot: Slot): Slot | undefined {
    const size = slot.size + 1
    return size < sizes.length ? this.get(size, Math.floor(slot.start / sizes[size].ms)) : undefined
  }

  /** The window and those within it that are held. */
  within(slot: Slot): Slot[] {
    const list = [slot]
    for (let size = 0; size < slot.size; size++)
      for (const each of this.bySize[size].values())
        if (each.start >= slot.start && each.end <= slot.end) list.push(each)
    return list
  }

  /** Smaller ones first. */
  *values(): IterableIterator<Slot> {
    for (const slots of this.bySize) yield* slots.values()
  }

  get count(): number {
    return this.bySize.reduce((sum, slots) => sum + slots.size, 0)
  }
}

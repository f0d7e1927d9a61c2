/** State of the ledger in the statistic task: bases, windows, their parts and the journal; exact, restored from the changelog. */
import { ByteReader } from '../../streams/serde/bytes.ts'
import { Store } from '../../streams/topology/store.ts'
import { BottomK } from '../drift/bottom-k.ts'
import { type Base, Bases } from './bases.ts'
import { type Dims, readDims, writeDims } from './dims.ts'
import { Journal, type Packet } from './journal.ts'
import { Cell, Exposure, type Part, ScoreSample, sampleSize } from './parts.ts'
import { type Slot, Slots } from './slots.ts'

/** Store numbers in the task kind `statistics`. On the log for ever. */
const stores = { bases: 50, slots: 51, cells: 52, shown: 53, journal: 54 } as const

const crowded = 1
const settled = 2
const changed = 4

/** Items by hash, numbered in order of first sight in this process. */
export class ItemNumbers {
  private readonly byHash = new Map<number, number>()
  readonly hashes: number[] = []
  /** Hash of the item's creator, as it was heard last; 0: not known. */
  readonly creators: number[] = []

  of(hash: number, creator: number): number {
    let number = this.byHash.get(hash)
    if (number === undefined) {
      number = this.hashes.push(hash) - 1
      this.creators.push(creator)
      this.byHash.set(hash, number)
    } else if (creator !== 0) this.creators[number] = creator
    return number
  }
}

type ShownPart = ScoreSample | Exposure

/** `journalBytes`: below it no sums are written. */
export function ledgerState(journalBytes: number) {
  const bases = new Bases()
  const slots = new Slots()
  const items = new ItemNumbers()
  /** Rows as they stand on the log, until all are read. */
  const restoredBases = new Map<number, Dims>()
  const restoredParts = new Map<string, { key: ByteReader; value: ByteReader; store: number }>()

  const baseStore = new Store<Base>({
    id: stores.bases,
    name: 'ledger-bases',
    write: 'exact',
    writeKey: (row, w) => w.uint(row.number),
    writeValue: (row, w) => writeDims(row, w),
    restore(key, value) {
      const number = key.uint()
      if (value === null) restoredBases.delete(number)
      else restoredBases.set(number, readDims(value))
    },
  })
  const slotStore = new Store<Slot>({
    id: stores.slots,
    name: 'ledger-windows',
    write: 'exact',
    writeKey: (row, w) => w.u8(row.size).uint(row.number),
    writeValue: (row, w) =>
      w
        .uint(row.revision)
        .u8(row.level)
        .u8(
          (row.isCrowded ? crowded : 0) |
            (row.isSettled ? settled : 0) |
            (row.changed ? changed : 0),
        ),
    restore(key, value) {
      const size = key.u8()
      const number = key.uint()
      const known = slots.get(size, number)
      if (value === null) {
        if (known) slots.delete(known)
        return
      }
      const slot = known ?? slots.make(size, number)
      slot.revision = value.uint()
      slot.level = value.u8()
      const flags = value.u8()
      slot.isCrowded = (flags & crowded) !== 0
      slot.isSettled = (flags & settled) !== 0
      slot.changed = (flags & changed) !== 0
    },
  })
  const hold = (store: number) => (key: ByteReader, value: ByteReader | null) => {
    const held = copyOf(key)
    const name = `${store} ${held.buffer.toString('latin1')}`
    if (value === null) restoredParts.delete(name)
    else restoredParts.set(name, { key: held, value: copyOf(value), store })
  }
  const cellStore = new Store<Cell>({
    id: stores.cells,
    name: 'ledger-cells',
    write: 'exact',
    writeKey: ({ slot, base }, w) => w.u8(slot.size).uint(slot.number).uint(base.number),
    writeValue(row, w) {
      w.uint(row.upTo)
      row.write(w)
    },
    restore: hold(stores.cells),
  })
  const shownStore = new Store<ShownPart>({
    id: stores.shown,
    name: 'ledger-shown',
    write: 'exact',
    writeKey(row, w) {
      w.u8(row.slot.size).uint(row.slot.number)
      if (row instanceof ScoreSample) w.u8(0).string(row.model)
      else w.u8(1).uint(row.base.number).u8(row.part)
    },
    writeValue(row, w) {
      w.uint(row.upTo)
      if (row instanceof ScoreSample) row.rows.write(w)
      else
        row.items.forEach((item, k) => {
          w.f64(items.hashes[item]).f64(items.creators[item]).uint(row.counts[k])
        })
    },
    restore: hold(stores.shown),
  })
  const touch = (part: Part): void => {
    if (part instanceof Cell) cellStore.touch(part)
    else shownStore.touch(part as ShownPart)
  }
  const journal = new Journal(stores.journal, journalBytes, touch)

  const restoreCell = (slot: Slot, key: ByteReader, value: ByteReader): number => {
    const base = bases.at(key.uint())
    if (!base) return 0
    const upTo = value.uint()
    const cell = Cell.read(slot, base, value)
    cell.upTo = upTo
    slot.put(cell)
    return upTo
  }

  const restoreShown = (slot: Slot, key: ByteReader, value: ByteReader): number => {
    const upTo = value.uint()
    if (key.u8() === 0) {
      const model = key.string()
      const sample = new ScoreSample(slot, model, BottomK.read(value, sampleSize))
      sample.upTo = upTo
      slot.samples.set(model, sample)
      return upTo
    }
    const base = bases.at(key.uint())
    if (!base) return 0
    const exposure = new Exposure(slot, base, key.u8())
    exposure.upTo = upTo
    while (value.left > 0) {
      const item = items.of(value.f64(), value.f64())
      exposure.add(item, value.uint())
    }
    slot.putExposure(exposure)
    return upTo
  }

  return {
    bases,
    slots,
    items,
    journal,
    baseStore,
    slotStore,
    stores: [
      baseStore,
      slotStore,
      cellStore,
      shownStore,
      journal.store,
    ] as unknown as readonly Store<never>[],
    /** Takes parts out of the changelog. */
    remove(parts: readonly Part[]): void {
      for (const part of parts) {
        journal.forget(part)
        // what was never written has no row to take out
        if (part.upTo === 0) part.removed = true
        else if (part instanceof Cell) cellStore.remove(part)
        else shownStore.remove(part as ShownPart)
      }
    },
    /** All rows are read: gives the packets that are to be applied again. */
    restored(): readonly Packet[] {
      for (const number of [...restoredBases.keys()].sort((a, b) => a - b))
        bases.put(number, restoredBases.get(number) as Dims)
      restoredBases.clear()
      let newest = 0
      for (const { key, value, store } of restoredParts.values()) {
        const slot = slots.get(key.u8(), key.uint())
        if (!slot) continue
        const restore = store === stores.cells ? restoreCell : restoreShown
        newest = Math.max(newest, restore(slot, key, value))
      }
      restoredParts.clear()
      return journal.restored(newest)
    },
  }
}

export type LedgerState = ReturnType<typeof ledgerState>

/** What is left of a row, in bytes of its own: the log's buffer is not held for it. */
function copyOf(r: ByteReader): ByteReader {
  return new ByteReader(Buffer.from(r.raw(r.left)))
}

/**
 * The labels that were given, as the statistic task has summed them up (ledger): by day and bucket of users, all policies,
 * surfaces and cohorts together, of which it names only so many. Sums stand in rows of windows, and what came since those
 * were written in a journal of packets, which is added here.
 *
 *  - G1 Days that may have been forgotten are left out: those over for a week and a day by the newest watermark.
 *  - G2 Columns that depend on what the process knew of an item then are left out (in the catalog, new, restricted, repeats,
 *       novelty), and scores.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { sizes } from '../../topologies/drift/subjects.ts'
import { readPacketDims, readRecords } from '../../topologies/ledger/packets.ts'
import type { Slot } from '../../topologies/ledger/slots.ts'
import { ledgerState } from '../../topologies/ledger/state.ts'
import { addLabel, sum } from '../../topologies/ledger/sums.ts'
import type { ExactRow } from './digest.ts'

const minuteMs = sizes[0].ms
const dayMs = sizes[2].ms
/** Days are held for longer (`heldMs` of the ledger's stage). */
const heldMs = 8 * dayMs

const columns = [
  sum.impressions,
  sum.clicks,
  sum.positives,
  sum.completions,
  sum.watchedMs,
  sum.weightedMs,
  sum.graded,
  sum.gradedKnown,
  sum.explored,
  sum.reported,
  sum.hidden,
]

export class GivenLabels {
  private readonly state = ledgerState(0)
  private readonly stores = new Map<number, Store<Row>>()

  constructor() {
    for (const store of this.state.stores as unknown as Store<Row>[])
      this.stores.set(store.spec.id, store)
  }

  take({ store, key, value }: ExactRow): void {
    this.stores.get(store)?.spec.restore(new ByteReader(key), new ByteReader(value))
  }

  /** All rows were given. `newest`: the newest watermark that the task has heard. */
  end(newest: number, label: (text: string) => void): void {
    this.addJournal()
    const sums = new Map<string, number[]>()
    for (const slot of this.state.slots.values()) {
      const day = Math.floor(slot.start / dayMs)
      if ((day + 1) * dayMs + heldMs < newest) continue
      for (const cell of slot.cells.values())
        cell.read((bucket, held) => {
          const name = JSON.stringify(['given', day, bucket])
          const before = sums.get(name)
          sums.set(
            name,
            columns.map((column, k) => held[column] + (before?.[k] ?? 0)),
          )
        })
    }
    for (const [name, values] of sums)
      if (values.some(value => value !== 0)) label(`${name} ${JSON.stringify(values)}`)
  }

  /** As the ledger's stage does when it is restored. */
  private addJournal(): void {
    const { bases, slots } = this.state
    const smallestAt = (minute: number): Slot | undefined => {
      for (const [size, { ms }] of sizes.entries()) {
        const slot = slots.get(size, Math.floor((minute * minuteMs) / ms))
        if (slot) return slot
      }
      return undefined
    }
    for (const { number, bases: numbers, payload } of this.state.restored()) {
      const r = new ByteReader(payload)
      readPacketDims(r)
      readRecords(r, {
        label(dims, minute, bucket, one) {
          const base = bases.at(numbers[dims])
          const cell = base && smallestAt(minute)?.cell(base)
          if (cell && number > cell.upTo) addLabel(cell.sums(bucket), one)
        },
        session: () => undefined,
        returned: () => undefined,
        request: () => undefined,
      })
    }
  }
}

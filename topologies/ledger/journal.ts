/**
 * How the ledger's sums stand on the changelog without a row of each changed cell in each commit, which at a few events a
 * cell and second would cost more than all else.
 *
 *  - J1 A packet is appended to the journal as it came, in the commit that takes it in.
 *  - J2 Once the journal is large, the rows of all parts that changed are written, some with each commit; each row says up
 *       to which packet it holds what came. When the last of them is written, the packets from before the round are removed.
 *  - J3 At restore the packets that stand are applied again, to each part those beyond what its row holds: the sums are what
 *       they were.
 *  - J4 A round begins when the journal holds twice as much as the last round wrote, so writing sums costs at most half as
 *       many bytes again as came in, at any rate.
 */
import { type Row, Store } from '../../streams/topology/store.ts'
import type { Part } from './parts.ts'

/** Of parts written with one commit. */
const bytesACommit = 512 * 1024

export interface Packet extends Row {
  readonly number: number
  /** Numbers of the bases that its dims were counted under. */
  readonly bases: readonly number[]
  readonly payload: Buffer
}

export class Journal {
  readonly store: Store<Packet>
  /** Of the newest packet. */
  number = 0
  /** Of the packets since the last commit. */
  newBytes = 0
  private packets = new Map<number, Packet>()
  private bytes = 0
  private readonly changed = new Set<Part>()
  /** The round under way. */
  private toWrite: Part[] = []
  private roundEnds = 0
  private roundBytes = 0
  private lastRoundBytes = 0
  private readonly touch: (part: Part) => void
  private readonly leastBytes: number

  /** `touch` marks the row of a part to be written; no round begins below `leastBytes`. */
  constructor(storeId: number, leastBytes: number, touch: (part: Part) => void) {
    this.touch = touch
    this.leastBytes = leastBytes
    this.store = new Store<Packet>({
      id: storeId,
      name: 'ledger-journal',
      write: 'exact',
      writeKey: (row, w) => w.uint(row.number),
      writeValue(row, w) {
        w.uint(row.bases.length)
        for (const base of row.bases) w.uint(base)
        w.raw(row.payload)
      },
      restore: (key, value) => {
        const number = key.uint()
        this.packets.delete(number)
        if (value === null) return
        const bases = Array.from({ length: value.uint() }, () => value.uint())
        const payload = Buffer.from(value.raw(value.left))
        this.packets.set(number, { dirty: false, removed: false, number, bases, payload })
      },
    })
  }

  append(bases: readonly number[], payload: Buffer): number {
    const number = ++this.number
    const packet = { dirty: false, removed: false, number, bases, payload }
    this.packets.set(number, packet)
    this.bytes += payload.length
    this.newBytes += payload.length
    this.store.touch(packet)
    return number
  }

  /** The part was changed by the newest packet. Hot. */
  change(part: Part): void {
    if (part.changed) return
    part.changed = true
    this.changed.add(part)
  }

  /** Writes the part's row with this commit: something was added to it that stands in no packet. */
  write(part: Part): void {
    part.upTo = this.number
    part.changed = false
    this.changed.delete(part)
    this.touch(part)
  }

  /** The part is gone. */
  forget(part: Part): void {
    this.changed.delete(part)
  }

  /** With each commit. */
  committed(): void {
    this.newBytes = 0
  }

  /** With a commit: J2. */
  flush(): void {
    if (this.toWrite.length === 0) {
      if (this.bytes < Math.max(this.leastBytes, 2 * this.lastRoundBytes)) return
      this.toWrite = [...this.changed]
      this.roundEnds = this.number
      this.roundBytes = 0
    }
    let left = bytesACommit
    while (left > 0) {
      const part = this.toWrite.pop()
      if (!part) break
      if (part.removed || !part.changed) continue
      this.write(part)
      left -= part.bytes
      this.roundBytes += part.bytes
    }
    if (this.toWrite.length === 0) this.endRound()
  }

  private endRound(): void {
    this.lastRoundBytes = this.roundBytes
    for (const packet of this.packets.values()) {
      if (packet.number > this.roundEnds) break
      this.bytes -= packet.payload.length
      this.packets.delete(packet.number)
      this.store.remove(packet)
    }
  }

  /** At restore: the packets that stand, oldest first. */
  restored(newest: number): readonly Packet[] {
    const packets = [...this.packets.values()].sort((a, b) => a.number - b.number)
    this.packets = new Map(packets.map(packet => [packet.number, packet]))
    this.number = Math.max(newest, packets.at(-1)?.number ?? 0)
    this.bytes = packets.reduce((sum, { payload }) => sum + payload.length, 0)
    return packets
  }
}

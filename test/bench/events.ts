/**
 * The peers' workload as freshet's records: 100,000 users of whom 20,000 are active at a time, sessions of 20 events in the
 * mean, 20,000 items by Zipf 1.1, half impressions and half watches, 1% up to 30 s late. Seeded.
 */
import type { Encoder } from '../../schemas/index.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import type { OutsideRecord } from '../../streams/transport/port.ts'

export interface Workload {
  readonly users: number
  readonly items: number
  readonly active: number
  readonly seed: number
  /** Event time of the first event, ms; a millisecond passes an event unless `msPerEvent` says otherwise. */
  readonly startTs: number
  readonly msPerEvent: number
}

export const peersWorkload: Workload = {
  users: 100_000,
  items: 20_000,
  active: 20_000,
  seed: 42,
  startTs: 1_795_435_200_000,
  msPerEvent: 1,
}

const pad = (prefix: string, n: number, width: number): string =>
  prefix + String(n).padStart(width, '0')

export class EventSource {
  private readonly workload: Workload
  private readonly encoder: Encoder
  private readonly random: () => number
  private readonly cumulative: Float64Array
  private readonly slotUser: Int32Array
  private readonly slotPosition: Int32Array
  private count = 0

  constructor(workload: Workload, encoder: Encoder) {
    this.workload = workload
    this.encoder = encoder
    this.random = randomFrom(workload.seed)
    this.cumulative = new Float64Array(workload.items)
    let sum = 0
    for (let i = 0; i < workload.items; i++) {
      sum += 1 / (i + 1) ** 1.1
      this.cumulative[i] = sum
    }
    for (let i = 0; i < workload.items; i++) this.cumulative[i] /= sum
    this.slotUser = new Int32Array(workload.active)
    this.slotPosition = new Int32Array(workload.active)
    for (let slot = 0; slot < workload.active; slot++) this.renew(slot)
  }

  private renew(slot: number): void {
    this.slotUser[slot] = Math.floor(this.random() * this.workload.users)
    this.slotPosition[slot] = 0
  }

  private item(): number {
    const x = this.random()
    let low = 0
    let high = this.cumulative.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.cumulative[middle] < x) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The next event; `timestamp` is left to the producer. */
  next(): OutsideRecord {
    const { random, workload } = this
    const slot = Math.floor(random() * workload.active)
    const userId = pad('u', this.slotUser[slot], 7)
    let ts = workload.startTs + Math.floor(this.count * workload.msPerEvent)
    if (random() < 0.01) ts -= Math.floor(random() * 30_000)
    const common = {
      eventId: `e${workload.seed}-${this.count++}`,
      userId,
      itemId: pad('i', this.item(), 6),
      ts,
      consent: 'full' as const,
    }
    const requestId = `r${slot}-${this.slotUser[slot]}-${this.slotPosition[slot]}`
    const durationMs = 5_000 + Math.floor(random() * 60_000)
    const value =
      random() < 0.5
        ? this.encoder.encode('Watch', {
            ...common,
            playId: `p${this.count}`,
            watchedMs: Math.floor(random() * durationMs),
            durationMs,
          })
        : this.encoder.encode('Impression', {
            ...common,
            requestId,
            position: this.slotPosition[slot],
          })
    this.slotPosition[slot]++
    if (random() < 1 / 20) this.renew(slot)
    return { key: Buffer.from(userId), value }
  }
}

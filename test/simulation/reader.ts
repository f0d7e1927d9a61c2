/** The log reader of a process: positions move only by what `poll` gives out; a position that is lost ends every poll. */
import type { FetchedBatch, LogReader, TopicPartition } from '../../streams/transport/port.ts'
import type { BrokerLog } from './broker-log.ts'
import type { Surroundings } from './client.ts'
import type { Scheduled } from './scheduler.ts'

interface Part {
  readonly log: BrokerLog
  offset: number
  paused: boolean
  seen: boolean
}

export class VirtualReader implements LogReader {
  private readonly around: Surroundings
  private readonly parts = new Map<string, Part>()
  private readonly wake: () => void
  private polling: { timer: Scheduled; end: () => void } | undefined
  private closed = false

  constructor(around: Surroundings) {
    this.around = around
    this.wake = () => this.arrived()
  }

  assign(at: TopicPartition, offset: number): void {
    this.unassign(at)
    const log = this.around.broker.log(at)
    this.parts.set(log.name, { log, offset, paused: false, seen: false })
    this.around.broker.watch(log, this.wake)
    this.arrived()
  }

  unassign(at: TopicPartition): void {
    const log = this.around.broker.log(at)
    if (this.parts.delete(log.name)) this.around.broker.unwatch(log, this.wake)
  }

  pause(at: TopicPartition): void {
    const part = this.parts.get(`${at.topic}-${at.partition}`)
    if (part) part.paused = true
  }

  resume(at: TopicPartition): void {
    const part = this.parts.get(`${at.topic}-${at.partition}`)
    if (part) part.paused = false
    this.arrived()
  }

  highWatermark(at: TopicPartition): number | undefined {
    const part = this.parts.get(`${at.topic}-${at.partition}`)
    return part?.seen ? part.log.highWatermark : undefined
  }

  poll(maxWaitMs: number): Promise<FetchedBatch[]> {
    const { process, rng } = this.around
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.polling = undefined
        try {
          resolve(this.take())
        } catch (error) {
          reject(error)
        }
      }
      const waitMs = this.hasMore() ? rng.int(0, 3) : this.idleMs(maxWaitMs)
      this.polling = { timer: process.later(waitMs, 'poll', end), end }
    })
  }

  async close(): Promise<void> {
    this.closed = true
    for (const { log } of this.parts.values()) this.around.broker.unwatch(log, this.wake)
    this.parts.clear()
    this.arrived()
  }

  private idleMs(maxWaitMs: number): number {
    const { rng, stretch, onGapEnd } = this.around
    if (maxWaitMs === 0) return rng.int(0, 2)
    if (stretch() > 1) onGapEnd(this.wake)
    return rng.int(maxWaitMs, 2 * maxWaitMs) * stretch()
  }

  private hasMore(): boolean {
    for (const part of this.parts.values())
      if (!part.paused && part.offset < part.log.highWatermark) return true
    return false
  }

  /** Something may be there: the poll under way ends soon. */
  private arrived(): void {
    const { polling } = this
    if (!polling) return
    const { process, broker, rng } = this.around
    const soon = broker.scheduler.now + rng.int(0, 3)
    if (polling.timer.at <= soon) return
    process.cancel(polling.timer)
    polling.timer = process.later(soon - broker.scheduler.now, 'poll', polling.end)
  }

  private take(): FetchedBatch[] {
    const { process, network, rng } = this.around
    if (this.closed || this.parts.size === 0 || !network.reachable(process, 'log')) return []
    const taken: FetchedBatch[] = []
    const parts = [...this.parts.values()]
    const first = parts.length > 1 ? rng.int(0, parts.length - 1) : 0
    for (let i = 0; i < parts.length; i++) {
      const part = parts[(first + i) % parts.length]
      if (part.paused || rng.chance(0.1)) continue
      const limit = rng.chance(0.5) ? rng.int(1, 3) : 40
      const { batches, nextOffset } = part.log.read(part.offset, limit)
      part.offset = nextOffset
      part.seen = true
      for (const batch of batches) taken.push(batch)
    }
    return taken
  }
}

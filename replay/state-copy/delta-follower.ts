/** Keeps what comes in delta partitions from an offset on, in memory, for as long as a copy takes. */
import { FreshetError } from '../../streams/errors.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import type { ReadResult, TopicPartition, Transport } from '../../streams/transport/port.ts'
import { type FoundPacket, packetsOf } from './packets.ts'

const READ = { maxBytes: 4 << 20, maxWaitMs: 50 }
const PAUSE_MS = 100

interface Followed {
  readonly kind: string
  readonly at: TopicPartition
  offset: number
}

export class DeltaFollower {
  private readonly transport: Pick<Transport, 'read' | 'topics'>
  private readonly names: TopicNames
  private readonly followed: Followed[] = []
  private readonly found: FoundPacket[] = []
  private running: Promise<void> | undefined
  private stopped = false
  private failure: unknown

  constructor(transport: Pick<Transport, 'read' | 'topics'>, names: TopicNames) {
    this.transport = transport
    this.names = names
  }

  follow(kind: string, partition: number, offset: number): void {
    this.followed.push({ kind, at: { topic: this.names.deltas(kind), partition }, offset })
    this.running ??= this.run().catch(error => {
      this.failure = error
    })
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      for (const one of this.followed) await this.read(one)
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }

  /** All that stands there now. What was trimmed before it was read is passed over: whether it is missed is found out later. */
  private async read(one: Followed): Promise<void> {
    const { at, kind } = one
    const [{ start, end }] = await this.transport.topics.offsets([at])
    one.offset = Math.max(one.offset, start)
    while (one.offset < end) {
      const part = await this.part(one)
      if (part === undefined) return
      for (const { records } of part.batches)
        this.found.push(...packetsOf(kind, at.partition, records))
      if (part.nextOffset <= one.offset) return
      one.offset = part.nextOffset
    }
  }

  /** undefined: it was trimmed this moment. */
  private part({ at, offset }: Followed): Promise<ReadResult | undefined> {
    return this.transport.read(at, offset, READ).catch(error => {
      if (error instanceof FreshetError && error.code === 'POSITION_LOST') return undefined
      throw error
    })
  }

  /** What came up to now. */
  async end(): Promise<readonly FoundPacket[]> {
    await this.close()
    if (this.failure !== undefined) throw this.failure
    for (const one of this.followed) await this.read(one)
    return this.found
  }

  async close(): Promise<void> {
    this.stopped = true
    await this.running
  }
}

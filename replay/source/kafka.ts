/**
 * A replay's records out of the live topics (or the embedded log), partition by partition, over one reader: no group, no
 * commits, nothing that the live system notices but the load.
 *
 *  - K1 A partition ends exactly at `to`, although compaction or control records may have left holes there: the position moves
 *       over whole batches (T4).
 *  - K2 At most WAITING_BYTES wait in all partitions together, but one answer of a broker for each; one that is full is paused.
 *  - K3 What the log no longer has is POSITION_LOST, and named; nothing is passed over.
 */
import { type Clock, systemClock } from '../../streams/clock.ts'
import { FreshetError } from '../../streams/errors.ts'
import type { TopicNames } from '../../streams/runtime/names.ts'
import type {
  FetchedBatch,
  LogReader,
  TopicPartition,
  Transport,
} from '../../streams/transport/port.ts'
import type { RecordSource, SourceRecord } from '../shadow/source.ts'

const WAITING_BYTES = 64 << 20
const LEAST_BYTES = 1 << 20
const POLL_MS = 500
/** Records handed over at a time, about. */
const RUN_RECORDS = 1024
/** A partition below its end from which nothing comes for so long, while all is well, is held back by an open transaction. */
const PATIENCE_MS = 60_000

interface Part {
  readonly at: TopicPartition
  readonly to: number
  readonly batches: FetchedBatch[]
  bytes: number
  isPaused: boolean
  failure: unknown
}

/** `patienceMs`: see PATIENCE_MS. */
export function kafkaSource(
  transport: Transport,
  names: TopicNames,
  { clock = systemClock, patienceMs = PATIENCE_MS }: { clock?: Clock; patienceMs?: number } = {},
): RecordSource {
  const shared: Shared[] = []
  return {
    async *read(topic, partition, from, upTo) {
      if (upTo <= from) return
      const at = { topic: names.outside(topic), partition }
      const end = await checkRange(transport, at, from, upTo)
      const to = Math.min(upTo, end)
      if (to <= from) return
      // a reader has each partition once
      let one = shared.find(each => !each.has(at))
      if (one === undefined) {
        one = new Shared(transport, clock, patienceMs)
        shared.push(one)
      }
      yield* one.read(at, from, to)
    },
    async close() {
      for (const one of shared) await one.close()
    },
  }
}

class Shared {
  private readonly transport: Transport
  private readonly reader: LogReader
  private readonly clock: Clock
  private readonly patienceMs: number
  private readonly parts = new Map<string, Part>()
  private polling: Promise<void> | undefined

  constructor(transport: Transport, clock: Clock, patienceMs: number) {
    this.transport = transport
    this.reader = transport.reader()
    this.clock = clock
    this.patienceMs = patienceMs
  }

  has(at: TopicPartition): boolean {
    return this.parts.has(nameOf(at))
  }

  async *read(at: TopicPartition, from: number, to: number): AsyncGenerator<SourceRecord[]> {
    const part: Part = { at, to, batches: [], bytes: 0, isPaused: false, failure: undefined }
    this.parts.set(nameOf(at), part)
    this.reader.assign(at, from)
    try {
      for (let position = from; position < to; ) {
        if (part.batches.length === 0) await this.fill(part, position)
        let run: SourceRecord[] = []
        while (part.batches.length > 0 && run.length < RUN_RECORDS && position < to) {
          const batch = part.batches.shift() as FetchedBatch
          part.bytes -= bytesOf(batch)
          position = batch.nextOffset
          if (run.length === 0 && position <= to) run = batch.records
          else for (const record of batch.records) if (record.offset < to) run.push(record)
        }
        this.pauseWhereFull(part)
        if (run.length > 0) yield run
      }
    } finally {
      this.reader.unassign(at)
      this.parts.delete(nameOf(at))
    }
  }

  async close(): Promise<void> {
    await this.reader.close()
  }

  /** Waits until a batch of this partition is there. */
  private async fill(part: Part, position: number): Promise<void> {
    let since = this.clock.now()
    while (part.batches.length === 0) {
      this.polling ??= this.poll().finally(() => {
        this.polling = undefined
      })
      await this.polling
      if (part.failure !== undefined) throw await this.lossOf(part, position)
      if (this.transport.waiting() !== undefined) since = this.clock.now()
      if (part.batches.length === 0 && this.clock.now() - since > this.patienceMs)
        throw new FreshetError(
          'DEPENDENCY_UNREACHABLE',
          `${nameOf(part.at)} gives nothing from offset ${position} on, and is to be read up to ${part.to - 1}: a producer's transaction is open there; once it is over (transaction.timeout.ms ends it), \`freshet replay resume\` goes on`,
        )
    }
  }

  private async poll(): Promise<void> {
    try {
      for (const batch of await this.reader.poll(POLL_MS)) {
        const part = this.parts.get(nameOf(batch))
        if (part === undefined) continue
        part.batches.push(batch)
        part.bytes += bytesOf(batch)
      }
    } catch (error) {
      // the reader does not say whose it is: a replay ends with it in any case
      for (const part of this.parts.values()) part.failure = error
    }
    for (const part of this.parts.values()) this.pauseWhereFull(part)
  }

  /** Retention may pass a reader by: what is gone is said by the log as it stands then. */
  private async lossOf(part: Part, position: number): Promise<unknown> {
    const { failure } = part
    if (!(failure instanceof FreshetError) || failure.code !== 'POSITION_LOST') return failure
    await checkRange(this.transport, part.at, position, part.to)
    return failure
  }

  private pauseWhereFull(part: Part): void {
    const most = Math.max(LEAST_BYTES, WAITING_BYTES / this.parts.size)
    const isFull = part.bytes > (part.isPaused ? most / 4 : most)
    if (isFull === part.isPaused) return
    part.isPaused = isFull
    if (isFull) this.reader.pause(part.at)
    else this.reader.resume(part.at)
  }
}

/**
 * Gives the log's end. `to` may be Infinity: wherever it ends.
 * Errors: TOPIC_MISSING; POSITION_LOST where [from, to) is not all on the log, which names what is gone.
 */
async function checkRange(
  transport: Transport,
  at: TopicPartition,
  from: number,
  to: number,
): Promise<number> {
  const described = (await transport.topics.describe([at.topic])).get(at.topic)
  if (described === undefined || at.partition >= described.partitions)
    throw new FreshetError(
      'TOPIC_MISSING',
      described === undefined
        ? `topic ${at.topic} is not there, and the replay reads it; was it removed?`
        : `${nameOf(at)} is not there: the topic has ${described.partitions} partitions; was it made anew?`,
    )
  const [{ start, end }] = await transport.topics.offsets([at])
  if (from < start)
    throw new FreshetError(
      'POSITION_LOST',
      `${nameOf(at)}: the log begins at ${start}, and the replay goes on at ${from}: offsets ${from} to ${Math.min(start, to) - 1} (${Math.min(start, to) - from}) were deleted before they were read; raise the topic's retention, or replay from an archive that has them`,
      undefined,
      at,
    )
  if (to > end && to !== Number.POSITIVE_INFINITY)
    throw new FreshetError(
      'POSITION_LOST',
      `${nameOf(at)}: the log ends at ${end}, and the replay reads up to ${to - 1}: the topic was made anew or lost its newest records; begin another replay`,
      undefined,
      at,
    )
  return end
}

const nameOf = ({ topic, partition }: TopicPartition): string => `${topic}-${partition}`

function bytesOf(batch: FetchedBatch): number {
  let bytes = 0
  for (const { key, value } of batch.records)
    bytes += 100 + (key?.length ?? 0) + (value?.length ?? 0)
  return bytes
}

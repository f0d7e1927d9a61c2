/**
 * The log reader: one fetch loop a broker, each a long poll that answers as soon as a record is there, into a bounded
 * buffer that `poll` empties. While the caller works on one answer the next is already being fetched.
 *
 *  - A position moves only by whole batches that were decoded; an answer to a position that has changed since is dropped.
 *  - At most BUFFER_BYTES are fetched and not yet polled (C7), as they came over the wire. What came for a partition before
 *    it was paused, an answer at most, does not count: one that waits must not keep the others from being fetched.
 *  - An error that ends a partition (POSITION_LOST, a refusal) is thrown by every `poll` until it is unassigned.
 *  - A position below the log's end that does not move for `stallMs` gets new connections, counted and logged.
 */
import type { FreshetError } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import type { Counter } from '../../metrics.ts'
import type { FetchedBatch, LogReader, TopicPartition } from '../port.ts'
import { decodeRecordSet } from '../record-batch.ts'
import { Cluster, type ClusterContext, nameOf } from './cluster.ts'
import { codeName, isRetriable, OFFSET_OUT_OF_RANGE, refusal, retriable } from './codes.ts'
import { callError } from './connections.ts'
import { explainOutOfRange, listOffsets } from './offsets.ts'
import { type FetchedPart, fetchRequest, LATEST } from './protocol.ts'
import { noProgress } from './read.ts'
import { isOutage, Signal } from './waits.ts'

const ANSWER_BYTES = 4 * 1024 * 1024
const PARTITION_BYTES = 1024 * 1024
const BUFFER_BYTES = 2 * ANSWER_BYTES
/** Also the longest that a newly assigned or resumed partition waits for the poll under way without it. */
const LONG_POLL_MS = 100
const WATCH_EVERY_MS = 5000

interface Part extends TopicPartition {
  offset: number
  paused: boolean
  maxBytes: number
  readonly verifyChecksum: boolean
  highWatermark: number | undefined
  buffered: FetchedBatch[]
  bufferedBytes: number
  failure: FreshetError | undefined
  /** When it last moved, came, was emptied or was found to be at the end. */
  movedAt: number
}

export interface ReaderOptions {
  readonly log: Logger
  readonly rebuilds: Counter
  /** Without an advance for this long below the end, connections are made anew. */
  readonly stallMs: number
}

export class KafkaLogReader implements LogReader {
  private readonly cluster: Cluster
  /** Other connections than the ones it watches. */
  private readonly control: Cluster
  private readonly context: ClusterContext
  private readonly options: ReaderOptions
  private readonly parts = new Map<string, Part>()
  private readonly loops = new Map<number, Promise<void>>()
  private readonly changed = new Signal()
  private readonly arrived = new Signal()
  /** Of partitions that are not paused. */
  private bufferedBytes = 0
  private turn = 0
  private arranging: Promise<void> | undefined
  private readonly watch: NodeJS.Timeout
  private watching = false

  constructor(context: ClusterContext, control: Cluster, options: ReaderOptions) {
    this.context = context
    this.cluster = new Cluster(context)
    this.control = control
    this.options = options
    this.watch = setInterval(
      () => void this.checkStalls(),
      Math.min(WATCH_EVERY_MS, options.stallMs),
    ).unref()
  }

  assign(at: TopicPartition, offset: number, verifyChecksum = false): void {
    this.unassign(at)
    this.parts.set(nameOf(at), {
      topic: at.topic,
      partition: at.partition,
      offset,
      paused: false,
      maxBytes: PARTITION_BYTES,
      verifyChecksum,
      highWatermark: undefined,
      buffered: [],
      bufferedBytes: 0,
      failure: undefined,
      movedAt: this.context.clock.now(),
    })
    this.arrange()
  }

  unassign(at: TopicPartition): void {
    const part = this.parts.get(nameOf(at))
    if (!part) return
    this.parts.delete(nameOf(at))
    if (!part.paused) this.bufferedBytes -= part.bufferedBytes
    this.changed.fire()
  }

  pause(at: TopicPartition): void {
    const part = this.parts.get(nameOf(at))
    if (!part || part.paused) return
    part.paused = true
    this.bufferedBytes -= part.bufferedBytes
    this.changed.fire()
  }

  resume(at: TopicPartition): void {
    const part = this.parts.get(nameOf(at))
    if (!part?.paused) return
    part.paused = false
    this.bufferedBytes += part.bufferedBytes
    part.movedAt = this.context.clock.now()
    this.changed.fire()
    this.arrived.fire()
  }

  highWatermark(at: TopicPartition): number | undefined {
    return this.parts.get(nameOf(at))?.highWatermark
  }

  async poll(maxWaitMs: number): Promise<FetchedBatch[]> {
    const until = performance.now() + maxWaitMs
    for (;;) {
      const batches = this.take()
      const left = until - performance.now()
      if (batches.length > 0 || left <= 0 || this.cluster.closed) return batches
      await this.arrived.wait(left)
    }
  }

  async close(): Promise<void> {
    clearInterval(this.watch)
    this.cluster.close()
    this.parts.clear()
    this.bufferedBytes = 0
    this.changed.fire()
    this.arrived.fire()
    await Promise.all([...this.loops.values(), this.arranging])
  }

  private take(): FetchedBatch[] {
    let taken: FetchedBatch[] = []
    for (const part of this.parts.values()) {
      if (part.failure) throw part.failure
      if (part.paused || part.buffered.length === 0) continue
      taken = taken.length === 0 ? part.buffered : taken.concat(part.buffered)
      part.buffered = []
      this.bufferedBytes -= part.bufferedBytes
      part.bufferedBytes = 0
      part.movedAt = this.context.clock.now()
    }
    if (taken.length > 0) this.changed.fire()
    return taken
  }

  /** Finds leaders for partitions without one and starts the loops of brokers that have none yet. */
  private arrange(): void {
    this.changed.fire()
    this.arranging ??= this.findLeaders()
  }

  private async findLeaders(): Promise<void> {
    const wait = this.context.waits.open()
    // a caller often assigns many partitions in one go: ask for them together
    await Promise.resolve()
    try {
      while (!this.cluster.closed) {
        const lost = this.leaderless()
        if (lost.length > 0) {
          try {
            await this.cluster.lead([...new Set(lost.map(part => part.topic))])
          } catch (error) {
            const failure = callError('asking for the leaders', error)
            if (isOutage(failure)) {
              await this.context.clock.sleep(wait.failing('the brokers', failure))
              continue
            }
            for (const part of lost) this.fail(part, failure)
            return
          }
        }
        for (const part of this.parts.values()) this.startLoop(this.cluster.leaderOf(part))
        const still = this.leaderless()
        if (still.length === 0) return
        const missing = retriable('metadata names no leader')
        await this.context.clock.sleep(wait.failing(`the leader of ${nameOf(still[0])}`, missing))
      }
    } finally {
      wait.over()
      // in the same turn as the last look: an assignment after it must start a search of its own
      this.arranging = undefined
    }
  }

  private leaderless(): Part[] {
    return [...this.parts.values()].filter(
      part => !part.failure && this.cluster.leaderOf(part) === undefined,
    )
  }

  private startLoop(leader: number | undefined): void {
    this.changed.fire()
    if (leader === undefined || this.loops.has(leader)) return
    this.loops.set(leader, this.fetchFrom(leader))
  }

  private async fetchFrom(leader: number): Promise<void> {
    const wait = this.context.waits.open()
    while (!this.cluster.closed) {
      const wanted = this.bufferedBytes < BUFFER_BYTES - ANSWER_BYTES ? this.wantedFrom(leader) : []
      if (wanted.length === 0) {
        wait.over()
        await this.changed.wait(1000)
        continue
      }
      try {
        const failed = await this.fetch(leader, wanted)
        if (failed === undefined) wait.over()
        else
          await this.context.clock.sleep(
            wait.failing(`the leader of ${nameOf(failed)}`, failed.reason),
          )
      } catch (error) {
        if (this.cluster.closed) break
        const failure = callError(`fetching from broker ${this.cluster.addressOf(leader)}`, error)
        if (isOutage(failure)) {
          for (const part of wanted) {
            this.cluster.forgetLeader(part)
            // an outage that is waited for is no stall
            part.movedAt = this.context.clock.now()
          }
          await this.context.clock.sleep(
            wait.failing(`broker ${this.cluster.addressOf(leader)}`, failure),
          )
          this.arrange()
        } else for (const part of wanted) this.fail(part, failure)
      }
    }
    wait.over()
  }

  /** Those of a broker that are to be fetched; each answer begins with another one, so that none starves. */
  private wantedFrom(leader: number): Part[] {
    const wanted: Part[] = []
    for (const part of this.parts.values())
      if (!part.paused && !part.failure && this.cluster.leaderOf(part) === leader) wanted.push(part)
    if (wanted.length < 2) return wanted
    const first = this.turn++ % wanted.length
    return [...wanted.slice(first), ...wanted.slice(0, first)]
  }

  /** Fetches and takes in one answer; returns a partition that could not be read for now, with the reason. */
  private async fetch(
    leader: number,
    wanted: readonly Part[],
  ): Promise<(TopicPartition & { reason: string }) | undefined> {
    const link = await this.cluster.link(leader)
    const asked = new Map(wanted.map(part => [nameOf(part), { part, offset: part.offset }]))
    const answer = await link
      .send(fetchRequest(wanted, { maxBytes: ANSWER_BYTES, maxWaitMs: LONG_POLL_MS }))
      .catch((error: unknown) => {
        this.cluster.drop(link)
        throw error
      })
    if (answer.errorCode !== 0)
      throw retriable(`fetching from ${link.address}: ${codeName(answer.errorCode)}`)
    let failed: (TopicPartition & { reason: string }) | undefined
    for (const found of answer.parts) {
      const { part, offset } = asked.get(nameOf(found)) ?? {}
      if (!part || this.parts.get(nameOf(found)) !== part || part.offset !== offset) continue
      if (found.errorCode === 0) this.takeIn(part, found)
      else if (found.errorCode === OFFSET_OUT_OF_RANGE || isRetriable(found.errorCode)) {
        failed = { topic: part.topic, partition: part.partition, reason: codeName(found.errorCode) }
        await this.lookInto(part, found.errorCode)
      } else this.fail(part, refusal(found.errorCode, `reading ${nameOf(part)}@${offset}`))
    }
    return failed
  }

  private async lookInto(part: Part, code: number): Promise<void> {
    this.cluster.forgetLeader(part)
    if (code === OFFSET_OUT_OF_RANGE) {
      try {
        await explainOutOfRange(this.control, part, part.offset)
      } catch (error) {
        const failure = callError(`reading ${nameOf(part)}@${part.offset}`, error)
        if (!isOutage(failure)) this.fail(part, failure)
      }
    }
    this.arrange()
  }

  private takeIn(part: Part, found: FetchedPart): void {
    part.highWatermark = found.highWatermark
    const set = found.recordSet
    if (set === null || set.length === 0) return
    try {
      const decoded = decodeRecordSet(set, part.topic, part.partition, part.offset, {
        aborted: found.aborted,
        verifyChecksum: part.verifyChecksum,
      })
      if (decoded.nextOffset === part.offset) {
        // the first batch is cut: it is larger than the limit, or came behind other partitions' bytes
        if (decoded.bytesUsed > 0) throw noProgress(part, part.offset)
        part.maxBytes = Math.min(part.maxBytes * 2, 64 * 1024 * 1024)
        return
      }
      part.offset = decoded.nextOffset
      // brokers take the watermark before they read: what came may stand above it
      part.highWatermark = Math.max(part.highWatermark, decoded.nextOffset)
      part.maxBytes = PARTITION_BYTES
      part.movedAt = this.context.clock.now()
      part.buffered =
        part.buffered.length === 0 ? decoded.batches : part.buffered.concat(decoded.batches)
      part.bufferedBytes += set.length
      if (!part.paused) this.bufferedBytes += set.length
      this.arrived.fire()
    } catch (error) {
      this.fail(part, callError(`reading ${nameOf(part)}@${part.offset}`, error))
    }
  }

  private fail(part: Part, failure: FreshetError): void {
    part.failure = failure
    this.arrived.fire()
  }

  private async checkStalls(): Promise<void> {
    if (this.watching) return
    this.watching = true
    try {
      await this.rebuildStalled()
    } catch (error) {
      // brokers that cannot be asked are an outage, which the loops wait for
      if (!isOutage(error) && !this.cluster.closed)
        this.options.log.error({ error: callError('watching for stalls', error).message }, 'reader')
    } finally {
      this.watching = false
    }
  }

  private async rebuildStalled(): Promise<void> {
    const now = this.context.clock.now()
    const still = [...this.parts.values()].filter(
      part =>
        !part.paused &&
        !part.failure &&
        part.buffered.length === 0 &&
        now - part.movedAt >= this.options.stallMs,
    )
    if (still.length === 0) return
    const ends = await listOffsets(
      this.control,
      still.map(part => ({ topic: part.topic, partition: part.partition, timestamp: LATEST })),
      // below the last stable offset: records behind an open transaction are not late, they are not committed
      true,
    )
    const stalled = still.filter(
      (part, i) =>
        part.offset < ends[i] &&
        part.buffered.length === 0 &&
        now - part.movedAt >= this.options.stallMs,
    )
    for (const part of still) part.movedAt = now
    if (stalled.length === 0) return
    this.options.rebuilds.add()
    this.options.log.warn(
      { partitions: stalled.map(part => `${nameOf(part)}@${part.offset}`) },
      'no advance below the end of the log: making the connections anew',
    )
    this.cluster.reset()
    this.arrange()
  }
}

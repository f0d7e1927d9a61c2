/**
 * Produces to topics that outsiders read. One round at a time: everything that came since the last round, one batch a
 * partition and one request a leader, under a producer id of its own, so that a repeated request neither doubles nor
 * reorders. At least once: where the broker no longer knows the producer id, the round goes on under a new one.
 */
import { FreshetError } from '../../errors.ts'
import { partitionOf } from '../../serde/hash.ts'
import type { OutsideRecord, Publisher, RecordHeader } from '../port.ts'
import { RecordBatchBuilder, type UnstampedBatch } from '../record-batch.ts'
import { type Cluster, closedError, nameOf } from './cluster.ts'
import { codeName, MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, refusal } from './codes.ts'
import { callError, errorType } from './connections.ts'
import { produceAll } from './produce.ts'
import { nextSequence } from './writer.ts'

/** Kafka's default max.message.bytes is 1,048,588. */
const BATCH_BYTES = 900_000
/** Records taken into one round. */
const ROUND_RECORDS = 50_000

interface Entry {
  readonly record: OutsideRecord
  readonly send: Send
}

interface Send {
  readonly topic: string
  readonly records: readonly OutsideRecord[]
  open: number
  failure: FreshetError | undefined
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

interface Lane {
  readonly topic: string
  readonly partition: number
  entries: Entry[]
}

interface Shipment {
  readonly lane: Lane
  readonly batch: UnstampedBatch
  readonly entries: readonly Entry[]
}

export class KafkaPublisher implements Publisher {
  private readonly cluster: Cluster
  private readonly newProducerId: () => Promise<bigint>
  private readonly partitions = new Map<string, number>()
  private readonly sequences = new Map<string, number>()
  private readonly builder = new RecordBatchBuilder(64 * 1024)
  private producerId: bigint | undefined
  private waitingSends: Send[] = []
  private pumping: Promise<void> | undefined
  private keyless = 0
  private isClosed = false

  constructor(cluster: Cluster, newProducerId: () => Promise<bigint>) {
    this.cluster = cluster
    this.newProducerId = newProducerId
  }

  /** Resolves once all are acknowledged. Errors: ROW_TOO_LARGE (which record; the others are sent), TOPIC_MISSING. */
  send(topic: string, records: readonly OutsideRecord[]): Promise<void> {
    if (this.isClosed) return Promise.reject(closedError())
    if (records.length === 0) return Promise.resolve()
    return new Promise((done, failed) => {
      const open = records.length
      this.waitingSends.push({ topic, records, open, failure: undefined, done, failed })
      this.pumping ??= this.pump()
    })
  }

  async close(): Promise<void> {
    this.isClosed = true
    await this.pumping
  }

  private async pump(): Promise<void> {
    // sends of one turn of the event loop share a round
    await Promise.resolve()
    while (this.waitingSends.length > 0) {
      const round: Send[] = []
      for (let records = 0; records < ROUND_RECORDS && this.waitingSends.length > 0; ) {
        const send = this.waitingSends.shift() as Send
        records += send.records.length
        round.push(send)
      }
      try {
        await this.ship(await this.deal(round))
      } catch (error) {
        // some of it may be written: under its sequences the broker would take other records for repetitions
        this.producerId = undefined
        this.sequences.clear()
        for (const send of round) send.failed(error)
      }
    }
    this.pumping = undefined
  }

  /** Deals records to partitions, in order. */
  private async deal(round: readonly Send[]): Promise<Lane[]> {
    const lanes = new Map<string, Lane[]>()
    const touched: Lane[] = []
    for (const send of round) {
      const count = await this.partitionCount(send)
      if (count === undefined) continue
      let ofTopic = lanes.get(send.topic)
      if (!ofTopic) {
        ofTopic = []
        lanes.set(send.topic, ofTopic)
      }
      for (const record of send.records) {
        const partition =
          record.partition ??
          (record.key === null ? this.keyless++ % count : partitionOf(record.key, count))
        let lane = ofTopic[partition]
        if (!lane) {
          lane = { topic: send.topic, partition, entries: [] }
          ofTopic[partition] = lane
          touched.push(lane)
        }
        lane.entries.push({ record, send })
      }
    }
    return touched
  }

  private async partitionCount(send: Send): Promise<number | undefined> {
    const known = this.partitions.get(send.topic)
    if (known !== undefined) return known
    const metadata = await this.cluster.persist('the brokers', () =>
      this.cluster.refresh([send.topic]),
    )
    const count = metadata.topics[0]?.partitions.length ?? 0
    if (count > 0) {
      this.partitions.set(send.topic, count)
      return count
    }
    send.failed(
      new FreshetError(
        'TOPIC_MISSING',
        `there is no topic ${send.topic}: \`freshet topics create\` makes freshet's own, others are made by whoever owns them`,
      ),
    )
    return undefined
  }

  private async ship(lanes: Lane[]): Promise<void> {
    for (let open = lanes; open.length > 0; open = open.filter(lane => lane.entries.length > 0)) {
      this.producerId ??= await this.newProducerId()
      const shipments = open.map(lane => this.cut(lane))
      await this.shipOnce(shipments, this.producerId)
    }
  }

  /** The next batch of a lane. */
  private cut(lane: Lane, most = Number.MAX_SAFE_INTEGER): Shipment {
    const now = this.cluster.context.clock.now()
    const builder = this.builder
    let taken = 0
    for (const { record } of lane.entries) {
      const size = (record.key?.length ?? 0) + (record.value?.length ?? 0)
      if (taken > 0 && (builder.sizeBytes + size > BATCH_BYTES || taken >= most)) break
      builder.add(record.key, record.value, headersOf(record), record.timestamp ?? now)
      taken++
    }
    const entries = taken === lane.entries.length ? lane.entries : lane.entries.slice(0, taken)
    lane.entries = taken === lane.entries.length ? [] : lane.entries.slice(taken)
    return { lane, batch: builder.finish(now), entries }
  }

  private async shipOnce(shipments: readonly Shipment[], producerId: bigint): Promise<void> {
    const parts = shipments.map(({ lane, batch }) => ({
      topic: lane.topic,
      partition: lane.partition,
      bytes: batch.stamp(producerId, 0, this.sequences.get(nameOf(lane)) ?? 0),
    }))
    const outcomes = await produceAll(this.cluster, parts, Number.POSITIVE_INFINITY)
    const refused: [Shipment, number][] = []
    let forgotten = false
    for (const [i, outcome] of outcomes.entries()) {
      const { lane, batch, entries } = shipments[i]
      if (outcome.kind === 'written') {
        const sequence = this.sequences.get(nameOf(lane)) ?? 0
        this.sequences.set(nameOf(lane), nextSequence(sequence, batch.count))
        for (const { send } of entries) settle(send)
      } else if (outcome.kind === 'refused') refused.push([shipments[i], outcome.code])
      else {
        lane.entries = [...entries, ...lane.entries]
        forgotten = true
      }
    }
    if (forgotten) {
      // the broker knows this producer no more: begin again under another id, every partition from 0
      this.producerId = undefined
      this.sequences.clear()
    }
    for (const [shipment, code] of refused) await this.refused(shipment, code)
  }

  /** A batch too large is sent record by record, so that the error names the one that is too large. */
  private async refused({ lane, entries }: Shipment, code: number): Promise<void> {
    const tooLarge = code === MESSAGE_TOO_LARGE || code === RECORD_LIST_TOO_LARGE
    if (tooLarge && entries.length > 1) {
      const alone: Lane = { topic: lane.topic, partition: lane.partition, entries: [...entries] }
      while (alone.entries.length > 0) {
        this.producerId ??= await this.newProducerId()
        await this.shipOnce([this.cut(alone, 1)], this.producerId)
      }
      return
    }
    for (const { record, send } of entries) {
      const size = (record.key?.length ?? 0) + (record.value?.length ?? 0)
      const which = `the record with key ${JSON.stringify(record.key?.toString() ?? null)} (${size} bytes) to ${nameOf(lane)}`
      settle(
        send,
        tooLarge
          ? new FreshetError(
              'ROW_TOO_LARGE',
              `${which} is larger than the topic's max.message.bytes (${codeName(code)}); the other records were sent`,
            )
          : refusal(code, `producing ${which}`),
      )
    }
  }
}

function settle(send: Send, failure?: FreshetError): void {
  send.failure ??= failure
  if (--send.open > 0) return
  if (send.failure) send.failed(send.failure)
  else send.done()
}

function headersOf(record: OutsideRecord): RecordHeader[] | undefined {
  if (record.headers === undefined) return undefined
  return Object.entries(record.headers).map(([key, value]) => ({ key, value: Buffer.from(value) }))
}

/** A producer id never given before. */
export function newProducerId(cluster: Cluster): Promise<bigint> {
  return cluster.persist('a producer id', async () => {
    const link = await cluster.anyLink()
    try {
      const { producerId } = await link.calls.initProducerId({
        transactionalId: null,
        transactionTimeout: 60_000,
      })
      return BigInt(producerId)
    } catch (error) {
      if (errorType(error) === undefined) cluster.drop(link)
      throw callError(`asking broker ${link.address} for a producer id`, error)
    }
  })
}

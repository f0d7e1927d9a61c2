/**
 * The four requests of the data path, encoded and decoded by ourselves: Fetch v11, Produce v7, ListOffsets v2 and
 * Metadata v5 (kafka.apache.org/protocol). Error codes come back as values: a partition's trouble is not the response's.
 */
import type { TopicPartition } from '../port.ts'
import type { AbortedTransaction } from '../record-batch.ts'
import { WireReader, WireWriter } from './wire.ts'

/** What kafkajs' connection sends for us. `body` is the request without its header. */
export interface WireRequest<T> {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly body: Buffer
  /** How long to wait for the answer. */
  readonly timeoutMs: number
  decode(response: Buffer): T
}

function byTopic<T extends TopicPartition>(items: readonly T[]): [string, T[]][] {
  const topics = new Map<string, T[]>()
  for (const item of items) {
    const same = topics.get(item.topic)
    if (same) same.push(item)
    else topics.set(item.topic, [item])
  }
  return [...topics]
}

export interface FetchPart extends TopicPartition {
  readonly offset: number
  readonly maxBytes: number
}

export interface FetchLimits {
  readonly maxBytes: number
  readonly maxWaitMs: number
}

export interface FetchedPart extends TopicPartition {
  readonly errorCode: number
  readonly highWatermark: number
  readonly logStart: number
  readonly aborted: readonly AbortedTransaction[]
  readonly recordSet: Buffer | null
}

export interface FetchResponse {
  readonly errorCode: number
  readonly parts: readonly FetchedPart[]
}

const READ_COMMITTED = 1
/** Beyond the time that the broker itself may take. */
const NETWORK_MS = 5000

/** Answers as soon as a byte is there, at the latest after `maxWaitMs`. No fetch session: each request names all. */
export function fetchRequest(
  parts: readonly FetchPart[],
  limits: FetchLimits,
): WireRequest<FetchResponse> {
  const w = new WireWriter(128 + parts.length * 64)
  w.int32(-1).int32(limits.maxWaitMs).int32(1).int32(limits.maxBytes).int8(READ_COMMITTED)
  w.int32(0).int32(-1)
  w.array(byTopic(parts), ([topic, same]) => {
    w.string(topic).array(same, part => {
      w.int32(part.partition).int32(-1).int64(part.offset).int64(-1).int32(part.maxBytes)
    })
  })
  w.int32(0).string('')
  return {
    apiKey: 1,
    apiVersion: 11,
    apiName: 'Fetch',
    body: w.done(),
    timeoutMs: limits.maxWaitMs + NETWORK_MS,
    decode: decodeFetch,
  }
}

function decodeFetch(response: Buffer): FetchResponse {
  const r = new WireReader(response)
  r.int32()
  const errorCode = r.int16()
  r.int32()
  const parts: FetchedPart[] = []
  r.array(() => {
    const topic = r.text()
    r.array(() => {
      const partition = r.int32()
      const partError = r.int16()
      const highWatermark = r.int64()
      r.int64()
      const logStart = r.int64()
      const aborted = r.array(() => ({ producerId: r.bigint64(), firstOffset: r.int64() }))
      r.int32()
      const recordSet = r.bytes()
      parts.push({
        topic,
        partition,
        errorCode: partError,
        highWatermark,
        logStart,
        aborted,
        recordSet,
      })
    })
  })
  return { errorCode, parts }
}

export interface ProducePart extends TopicPartition {
  /** A stamped record batch. */
  readonly bytes: Buffer
}

export interface ProducedPart extends TopicPartition {
  readonly errorCode: number
  readonly baseOffset: number
}

/** acks = all. `timeoutMs` is how long the broker waits for the replicas. */
export function produceRequest(
  parts: readonly ProducePart[],
  timeoutMs: number,
): WireRequest<readonly ProducedPart[]> {
  let size = 64
  for (const part of parts) size += part.bytes.length + part.topic.length * 3 + 16
  const w = new WireWriter(size)
  w.string(null).int16(-1).int32(timeoutMs)
  w.array(byTopic(parts), ([topic, same]) => {
    w.string(topic).array(same, part => {
      w.int32(part.partition).bytes(part.bytes)
    })
  })
  return {
    apiKey: 0,
    apiVersion: 7,
    apiName: 'Produce',
    body: w.done(),
    timeoutMs: timeoutMs + NETWORK_MS,
    decode: response => {
      const r = new WireReader(response)
      const produced: ProducedPart[] = []
      r.array(() => {
        const topic = r.text()
        r.array(() => {
          produced.push({
            topic,
            partition: r.int32(),
            errorCode: r.int16(),
            baseOffset: r.int64(),
          })
          r.int64()
          r.int64()
        })
      })
      return produced
    },
  }
}

export const EARLIEST = -2
export const LATEST = -1

export interface OffsetQuery extends TopicPartition {
  /** A time in ms, EARLIEST or LATEST. */
  readonly timestamp: number
}

export interface OffsetAnswer extends TopicPartition {
  readonly errorCode: number
  /** -1 where no record is at or after the time. */
  readonly offset: number
}

/** LATEST is the high watermark, or with `committedOnly` the last stable offset. */
export function listOffsetsRequest(
  queries: readonly OffsetQuery[],
  committedOnly = false,
): WireRequest<readonly OffsetAnswer[]> {
  const w = new WireWriter(64 + queries.length * 48)
  w.int32(-1).int8(committedOnly ? READ_COMMITTED : 0)
  w.array(byTopic(queries), ([topic, same]) => {
    w.string(topic).array(same, query => {
      w.int32(query.partition).int64(query.timestamp)
    })
  })
  return {
    apiKey: 2,
    apiVersion: 2,
    apiName: 'ListOffsets',
    body: w.done(),
    timeoutMs: 10_000,
    decode: response => {
      const r = new WireReader(response)
      r.int32()
      const answers: OffsetAnswer[] = []
      r.array(() => {
        const topic = r.text()
        r.array(() => {
          const partition = r.int32()
          const errorCode = r.int16()
          r.int64()
          answers.push({ topic, partition, errorCode, offset: r.int64() })
        })
      })
      return answers
    },
  }
}

export interface BrokerAddress {
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

export interface PartitionMetadata {
  readonly errorCode: number
  readonly partition: number
  /** -1 while there is none. */
  readonly leader: number
}

export interface TopicMetadata {
  readonly errorCode: number
  readonly topic: string
  readonly partitions: readonly PartitionMetadata[]
}

export interface ClusterMetadata {
  readonly brokers: readonly BrokerAddress[]
  readonly controllerId: number
  readonly topics: readonly TopicMetadata[]
}

/** Never creates a topic. */
export function metadataRequest(topics: readonly string[]): WireRequest<ClusterMetadata> {
  const w = new WireWriter(64 + topics.length * 48)
  w.array(topics, topic => {
    w.string(topic)
  }).int8(0)
  return {
    apiKey: 3,
    apiVersion: 5,
    apiName: 'Metadata',
    body: w.done(),
    timeoutMs: 10_000,
    decode: response => {
      const r = new WireReader(response)
      r.int32()
      const brokers = r.array(() => {
        const broker = { nodeId: r.int32(), host: r.text(), port: r.int32() }
        r.string()
        return broker
      })
      r.string()
      const controllerId = r.int32()
      const topicsFound = r.array(() => {
        const errorCode = r.int16()
        const topic = r.text()
        r.int8()
        const partitions = r.array(() => {
          const found = { errorCode: r.int16(), partition: r.int32(), leader: r.int32() }
          for (let lists = 0; lists < 3; lists++) r.array(() => r.int32())
          return found
        })
        return { errorCode, topic, partitions }
      })
      return { brokers, controllerId, topics: topicsFound }
    },
  }
}

/** What the contract's parts share: fresh topics, writers, readers, and reading to the end. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import type { FreshetError } from '../../../streams/errors.ts'
import type {
  FencedWriter,
  FetchedBatch,
  LogReader,
  LogRecord,
  TopicPartition,
  Transport,
} from '../../../streams/transport/port.ts'
import { RecordBatchBuilder, type UnstampedBatch } from '../../../streams/transport/record-batch.ts'

export interface TransportUnderTest {
  readonly transport: Transport
}

type Row = [key: string | null, value: string | null]

export function batchOf(...rows: Row[]): UnstampedBatch {
  const builder = new RecordBatchBuilder()
  for (const [key, value] of rows)
    builder.add(key === null ? null : Buffer.from(key), value === null ? null : Buffer.from(value))
  return builder.finish(1_790_000_000_000)
}

export const value = (text: string): UnstampedBatch => batchOf(['k', text])

export const textOf = (records: readonly LogRecord[]): string[] => records.map(r => String(r.value))
export const recordsOf = (batches: readonly FetchedBatch[]): LogRecord[] =>
  batches.flatMap(b => b.records)

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: FreshetError) => error.code ?? String(error),
  )
}

export type Harness = ReturnType<typeof harness>

/** Makes the transport before the tests and takes away after them what they made. */
export function harness(make: () => Promise<TransportUnderTest>) {
  let transport: Transport
  const made: string[] = []
  const readers: LogReader[] = []

  beforeAll(async () => {
    transport = (await make()).transport
  })
  afterAll(async () => {
    for (const reader of readers) await reader.close()
    await transport?.topics.remove(made)
    await transport?.close()
  })

  async function topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
    const topic = `contract-${randomUUID()}`
    made.push(topic)
    const lasting = { 'retention.ms': '-1', ...config }
    await transport.topics.create([{ topic, partitions, config: lasting }])
    return topic
  }

  async function partition(config?: Record<string, string>): Promise<TopicPartition> {
    return { topic: await topic(1, config), partition: 0 }
  }

  function writer(producerId: bigint, epoch = 0): FencedWriter {
    return transport.writer({ producerId, epoch, deadlineMs: 30_000 })
  }

  const newWriter = async (epoch = 0): Promise<FencedWriter> =>
    writer(await transport.newProducerId(), epoch)

  function reader(...at: [TopicPartition, number][]): LogReader {
    const reader = transport.reader()
    readers.push(reader)
    for (const [where, offset] of at) reader.assign(where, offset)
    return reader
  }

  /** Reads from `offset` up to the high watermark. */
  async function readAll(at: TopicPartition, offset = 0): Promise<FetchedBatch[]> {
    const batches: FetchedBatch[] = []
    for (let position = offset; ; ) {
      const read = await transport.read(at, position, { maxWaitMs: 200 })
      batches.push(...read.batches)
      if (read.nextOffset >= read.highWatermark) return batches
      expect(read.nextOffset).toBeGreaterThan(position)
      position = read.nextOffset
    }
  }

  /** Polls until `count` records came. */
  async function pollFor(from: LogReader, count: number): Promise<FetchedBatch[]> {
    const batches: FetchedBatch[] = []
    while (recordsOf(batches).length < count) batches.push(...(await from.poll(500)))
    return batches
  }

  return {
    get transport(): Transport {
      return transport
    },
    /** The transport was opened anew. */
    replace(by: Transport): void {
      transport = by
    },
    topic,
    partition,
    writer,
    newWriter,
    reader,
    readAll,
    pollFor,
  }
}

/** Short words for tests that write to and read from a log. */
import type {
  FetchedBatch,
  LogReader,
  LogRecord,
  TopicPartition,
  Transport,
} from '../../streams/transport/port.ts'
import { RecordBatchBuilder, type UnstampedBatch } from '../../streams/transport/record-batch.ts'

let dated = Date.now() - 3_600_000

/** Each batch a second after the one before: a broker closes segments by the records' time. */
export function batchOf(...rows: [key: string, value: string | null][]): UnstampedBatch {
  const builder = new RecordBatchBuilder()
  for (const [key, value] of rows)
    builder.add(Buffer.from(key), value === null ? null : Buffer.from(value))
  dated += 1000
  return builder.finish(dated)
}

export const recordsOf = (batches: readonly FetchedBatch[]): LogRecord[] =>
  batches.flatMap(b => b.records)
export const textOf = (batches: readonly FetchedBatch[]): string[] =>
  recordsOf(batches).map(record => String(record.value))

export async function readAll(
  transport: Transport,
  at: TopicPartition,
  from = 0,
): Promise<FetchedBatch[]> {
  const batches: FetchedBatch[] = []
  for (let position = from; ; ) {
    const read = await transport.read(at, position, { maxWaitMs: 500 })
    batches.push(...read.batches)
    if (read.nextOffset >= read.highWatermark) return batches
    position = read.nextOffset
  }
}

export async function pollTo(reader: LogReader, end: number): Promise<FetchedBatch[]> {
  const batches: FetchedBatch[] = []
  while ((batches.at(-1)?.nextOffset ?? 0) < end) batches.push(...(await reader.poll(500)))
  return batches
}

/**
 * Kafka's record batch (magic 2), the unit of the log in every adapter: built by `RecordBatchBuilder`, stamped by the
 * writer, read by `decodeRecordSet`.
 */
export { RecordBatchBuilder } from './record-batch/builder.ts'
export { type AbortedTransaction, decodeRecordSet } from './record-batch/decode.ts'
export type { UnstampedBatch } from './record-batch/unstamped-batch.ts'

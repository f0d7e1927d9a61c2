// placeholder: see the interface below; implemented with the Kafka transport
import type { RecordHeader } from './port.ts'

/** A record batch (Kafka's magic 2) without its producer fields and checksum, which the writer stamps. */
export interface UnstampedBatch {
  readonly count: number
  readonly sizeBytes: number
}

export interface RecordBatchBuilder {
  readonly count: number
  readonly sizeBytes: number
  add(key: Uint8Array | null, value: Uint8Array | null, headers?: readonly RecordHeader[]): void
  finish(timestampMs: number): UnstampedBatch
}

/** Where a replay's records come from, partition by partition. */
import type { LogRecord } from '../../streams/transport/port.ts'

export interface SourceRecord extends LogRecord {
  /** Its place in the order over all topics, where one was recorded. */
  readonly arrival?: number
}

export interface RecordSource {
  /**
   * Runs of records with offsets in [from, to) (Infinity: to wherever it ends now) of one partition (`topic` without prefix), in order, never empty. Ends where
   * there are no more. What it hands over may be views into larger buffers.
   * Errors: ARCHIVE_DAMAGED; POSITION_LOST where the log no longer has them.
   */
  read(topic: string, partition: number, from: number, to: number): AsyncGenerator<SourceRecord[]>
  close(): Promise<void>
}

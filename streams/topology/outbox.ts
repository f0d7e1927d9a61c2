/**
 * Everything that leaves a task. Deltas, table rows, dead letters and alerts stand in the commit record and are delivered
 * again after a takeover; views and published records are not stored: whoever restores makes them again from the rows of
 * the last batch (`Stage.restored`).
 */
import type { ByteWriter } from '../serde/bytes.ts'
import type { LogRecord } from '../transport/port.ts'

/** Sends payloads from stages of one task kind to stages of another. The id is on the log: never reuse a number. */
export interface DeltaChannel {
  readonly id: number
  readonly name: string
  /** The task kind that receives. */
  readonly to: string
}

/**
 * A write to the view store (Redis or the embedded one). Keys come without the prefix. The runtime gives the version
 * (generation-token-seq); a store never lets an older version replace a newer one.
 */
export type ViewWrite = ViewOperation & {
  /** Kafka timestamp (ms) of the oldest record that this write answers, where it answers one: measures freshness. */
  readonly recordTs?: number
}

export type ViewOperation =
  /** `body` is the JSON object's text without its first brace: the store writes `{"version":"...",` before it. */
  | { readonly op: 'json'; readonly key: string; readonly body: string; readonly ttlMs: number }
  /** Fields and values alternate; the store adds the field `version`. Replaces the whole hash. */
  | {
      readonly op: 'hash'
      readonly key: string
      readonly fields: readonly string[]
      readonly ttlMs: number
    }
  /** Replaces the whole sorted set. Member and score alternate by index. */
  | {
      readonly op: 'zset'
      readonly key: string
      readonly members: readonly string[]
      readonly scores: readonly number[]
      readonly ttlMs: number
    }
  /** Adds to or removes from a sorted set that has no life of its own (`blocked`); each member has a version. */
  | { readonly op: 'zadd'; readonly key: string; readonly member: string; readonly score: number }
  | { readonly op: 'zrem'; readonly key: string; readonly member: string }
  /**
   * Takes out those of at most 1,000 members that no newer `zadd` or `zrem` has dealt with: after the store came back from an
   * older copy.
   */
  | { readonly op: 'zclear'; readonly key: string; readonly members: readonly string[] }
  /** A plain string; its version does not show. ttlMs 0: no life. */
  | { readonly op: 'string'; readonly key: string; readonly value: string; readonly ttlMs: number }
  /** Removes a key (erasure, consent withdrawn); for a day nothing older can bring it back. */
  | { readonly op: 'delete'; readonly key: string }

export type TableRow = Readonly<Record<string, unknown>>

export type DeadLetterCode =
  | 'KEY_MISSING'
  | 'KEY_FRAMED'
  | 'KEY_MISMATCH'
  | 'PARTITION_MISMATCH'
  | 'SCHEMA_UNKNOWN'
  | 'SCHEMA_INCOMPATIBLE'
  | 'DECODE_FAILED'
  | 'JSON_INVALID'
  | 'FIELD_MISSING'
  | 'FIELD_INVALID'
  | 'VALUE_TOO_LARGE'
  | 'LATE'
  | 'ROW_TOO_LARGE'

export interface Alert {
  readonly rule: string
  readonly subject: string
  readonly since: number
  readonly until: number | null
  readonly value: number
  readonly threshold: number
  readonly message: string
  /** SQL that shows the figures behind it. */
  readonly query?: string
}

export interface Outbox {
  /**
   * The packet under construction for one partition of the channel's kind: append the payload, never reset it. A receiver takes
   * in a packet without a break; what is long work for it goes in `parts` counted from 0, a packet each, taken in in order.
   */
  delta(channel: DeltaChannel, partition: number, part?: number): ByteWriter
  /** A row of a ClickHouse table; `run` and `revision` are the sink's and the row's own. */
  row(table: string, row: TableRow): void
  deadLetter(topic: string, record: LogRecord, code: DeadLetterCode, message: string): void
  alert(alert: Alert): void
  view(write: ViewWrite): void
  /** What the views of this commit will have as their version: whoever shows one says so of what came of it. */
  readonly version: string
  /** To an outside topic (name without prefix), at least once; key as text. */
  publish(topic: string, key: string, value: Buffer | null): void
}

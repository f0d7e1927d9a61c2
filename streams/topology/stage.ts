/**
 * What topologies give to the runtime. A *task kind* names its inputs and the *stages* that run fused in it: every record
 * is decoded once and passes the stages in order, over one state, in one commit.
 *
 * A stage is synchronous and reads neither clock nor dice: time and chance come in through the context. `process` never
 * throws for bad input: decoding gives a Bad value before any stage sees it. A throw is a bug and stops the task.
 */
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { ByteReader, ByteWriter } from '../serde/bytes.ts'
import type { LogRecord } from '../transport/port.ts'
import type { DeadLetterCode, DeltaChannel, Outbox } from './outbox.ts'
import type { Store } from './store.ts'

/** A record that can't be used: it goes to the dead letters with its address. */
export interface Bad {
  readonly bad: DeadLetterCode
  readonly message: string
}

/** The record waits for something outside (a schema id seen for the first time): it is decoded again once that is there. */
export interface Waits {
  readonly waitFor: Promise<void>
}

export type Decoded<E> = { readonly ok: E } | Bad | Waits | 'skip'

export interface TaskContext {
  readonly kind: string
  readonly partition: number
  /** How many partitions (so tasks) a kind has, to route deltas. */
  partitionsOf(kind: string): number
  /** Processing time in ms: the wall clock live, the log's own time in a replay. */
  now(): number
  /** A followed table by name; it is whole up to the start of the task when the first record comes. */
  table<T>(name: string): T
  readonly metrics: Metrics
  readonly log: Logger
}

/** A row of the last committed batch, seen again at restore: its views may never have been delivered. */
export interface RestoredRow {
  readonly store: number
  readonly key: Buffer
}

/**
 * How much of the view store is made again from the state. 'active': what readers miss at once; each stage knows what that
 * is. 'all': everything.
 */
export type RefillExtent = 'active' | 'all'

export interface Stage<E = unknown> {
  readonly name: string
  readonly stores?: readonly Store[]
  /** Which channels this stage receives. */
  readonly receives?: readonly DeltaChannel[]
  /** 'drop': later stages of this task do not see the event (a double, too late, no consent). */
  process?(event: E): undefined | 'drop'
  /** A payload of another task's stage, exactly once (C4), in order per sender. */
  receive?(channel: DeltaChannel, payload: ByteReader): void
  /**
   * Called between batches, also when idle (at least every 50 ms). Works for at most ~`budgetMs` and returns true where
   * work is left. Timers and slices of large work belong here.
   */
  tick?(budgetMs: number): boolean
  /** Called once per commit, after the input so far and before the rows are taken: emit what leaves with this commit. */
  flush?(out: Outbox): void
  /** True: commit now rather than at the interval (a withdrawn item must be gone within a second). */
  urgent?(): boolean
  /** True: the next commit holds as much of this stage as one may; input waits for it (C7). Hot: asked between records. */
  full?(): boolean
  /** All rows are restored; `last` are those of the last batch, whose views must be written again with the next commit. */
  restored?(last: readonly RestoredRow[]): void
  /** The effects of the last flushed commit were acknowledged. */
  delivered?(): void
  /** The lowest offset of the first input topic whose list is not yet acknowledged (topkDoneBelow); undefined: none waits. */
  unfinishedFrom?(): number | undefined
  /** At restore: records from this offset on (already in the state) were not finished when the task was lost. */
  resumeUnfinished?(fromOffset: number): void
  /**
   * The view store lost what it held, or came back from an older copy: emit all views of the extent again, and remove what
   * an older copy may hold and should not; in slices, a few a commit, so that fresh events keep their latency. Called again:
   * from the start.
   */
  refill?(extent: RefillExtent): void
  /** Some of a refill is not yet emitted. */
  refilling?(): boolean
  /**
   * Writes what stands in no row by rule (users in passing) and what exact rows still come of. A replay's checkpoint carries
   * it, beside the log that it came from, so that a replay that was stopped goes on as if it had not been; a live task, whose
   * memory ends with its process, never asks.
   */
  carry?(w: ByteWriter): void
  /** Takes in what `carry` wrote; after `restored`. */
  carried?(r: ByteReader): void
}

export interface TaskLogic<E = unknown> {
  /** Runs for each input record; checks key, partition, format. `topic` without the prefix. */
  decode(topic: string, record: LogRecord): Decoded<E>
  readonly stages: readonly Stage<E>[]
}

export interface TaskKind<E = unknown> {
  readonly name: string
  /** Outside topics without prefix, co-partitioned; the first gives the number of tasks. [] for internal kinds. */
  readonly inputs: readonly string[]
  /** Number of tasks where there is no outside input. */
  readonly partitions?: number
  /** Whether packed deltas come in (topic g<generation>.<kind>-deltas). */
  readonly deltas: boolean
  readonly commitIntervalMs: number
  /** Followed tables that must have caught up before the first record. */
  readonly tables: readonly string[]
  create(ctx: TaskContext): TaskLogic<E>
}

/** A table that every process follows from changelogs, whole batch by whole batch. */
export interface FollowedTable {
  /** One changelog row of task `kind`-`partition`; null is a tombstone. */
  apply(
    kind: string,
    partition: number,
    store: number,
    key: ByteReader,
    value: ByteReader | null,
  ): void
  /** After each whole batch. */
  batchApplied?(): void
}

export interface TableSpec {
  readonly name: string
  /** Task kinds whose changelogs are followed. */
  readonly follows: readonly string[]
  create(ctx: { now(): number; metrics: Metrics; log: Logger }): FollowedTable
}

/** All that a composition root hands to the runtime. */
export interface Application {
  readonly kinds: readonly TaskKind[]
  readonly tables: readonly TableSpec[]
  /** What decoding waits for outside, e.g. a schema registry that does not answer; undefined while all is well. */
  waiting?(): string | undefined
}

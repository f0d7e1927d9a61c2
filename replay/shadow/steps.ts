/**
 * The steps of a replay. A step is a second (`stepMs`) of the log's time; one that holds much is cut into several.
 *
 *  - S1 Which step a record is in depends on its partition's records alone: not on speed, pauses, kills or workers.
 *  - S2 In step s a task takes in what was sent to it in the steps before s, in the order of senders, then its own records.
 *  - S3 A followed table shows in step s what was committed in the steps before s.
 */
import type { LogMark } from './task-log.ts'

export interface Step {
  /** Number of the second: floor(newest timestamp so far / stepMs). */
  readonly at: number
  /** Number within it. */
  readonly cut: number
}

/** A packet from a task to another. */
export interface SentPacket {
  readonly from: string
  readonly kind: string
  readonly partition: number
  readonly value: Buffer
}

/** A commit's rows for those that follow its kind: the record batch as the log has it. */
export interface FollowedBatch {
  readonly kind: string
  readonly partition: number
  readonly bytes: Buffer
}

export interface Inbox {
  readonly packets: readonly SentPacket[]
  /** Of other parts: a part has its own. */
  readonly followed: readonly FollowedBatch[]
}

export interface StepReport {
  /** The next step that this part has records in; undefined: it has read all. */
  readonly next: Step | undefined
  readonly sent: Inbox
  /** Records taken in. */
  readonly records: number
  readonly deadLetters: number
}

/** How far the log of each task is on the disk, by task name: what a checkpoint holds. */
export type TaskMarks = Readonly<Record<string, LogMark>>

/** Some of a replay's tasks: in this process or in one of their own. */
export interface ReplayPart {
  /** Restores its tasks and finds the first records behind the step that was done last. */
  open(marks: TaskMarks, after: Step | null): Promise<Step | undefined>
  /** One step. `settle`: nothing more will come, so soft rows do not wait. */
  step(step: Step, inbox: Inbox, settle: boolean): Promise<StepReport>
  /** All that left so far is acknowledged by the sinks, and all commits are on the disk. */
  checkpoint(): Promise<TaskMarks>
  close(): Promise<void>
  /** Resolves when what was asked of it last is on its way to it; absent where the work is done in this process. */
  flushed?(): Promise<void>
}

export const isBefore = (a: Step, b: Step): boolean =>
  a.at < b.at || (a.at === b.at && a.cut < b.cut)

/** The order in which followed tables take commits in. */
export function byTask(a: FollowedBatch, b: FollowedBatch): number {
  if (a.kind !== b.kind) return a.kind < b.kind ? -1 : 1
  return a.partition - b.partition
}

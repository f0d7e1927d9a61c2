/**
 * Runs a replay: step by step over its parts, with checkpoints between steps, until all is read and taken in, or it is paused.
 *
 *  - P1 A checkpoint is a consistent cut between two steps: every task's log as long as it was then, what was under way
 *       between tasks, and counts; it is replaced in one step, after all that had left was acknowledged.
 *  - P2 After a kill it goes on from the last checkpoint, and what comes is what would have come.
 */

import type { Clock } from '../../streams/clock.ts'
import { FreshetError, messageOf } from '../../streams/errors.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { Checkpoint, ReplayCounts, ReplayFolder, ReplayState, ReplayStatus } from './folder.ts'
import { Rate } from './rate.ts'
import {
  type FollowedBatch,
  type Inbox,
  isBefore,
  type ReplayPart,
  type SentPacket,
  type Step,
  type StepReport,
  type TaskMarks,
} from './steps.ts'

const CHECKPOINT_MS = 2_000
const STATUS_MS = 1_000
/** Steps at the end in which nothing comes any more: lists rest for less, and the learner's rows reach them. */
const QUIET_STEPS = 4
/** And for how long of the log's time: statistics gather corrections for ten seconds. */
const QUIET_MS = 16_000
/** More steps than any chain of tasks needs to come to rest. */
const MOST_SETTLING = 10_000

export interface ReplayRun {
  readonly folder: ReplayFolder
  readonly parts: readonly ReplayPart[]
  /** Which part a task is in. */
  readonly partOf: (kind: string, partition: number) => number
  readonly pacer: Pacer
  readonly clock: Clock
  readonly onStatus: (status: ReplayStatus) => void
  /** Aborted: a checkpoint, then it is paused. */
  readonly signal: AbortSignal
}

export class Replay {
  private readonly run: ReplayRun
  private readonly stepMs: number
  private readonly total: number
  private marks: TaskMarks = {}
  private packets: SentPacket[] = []
  /** By the part that made them. */
  private followed: readonly (readonly FollowedBatch[])[] = []
  private nexts: (Step | undefined)[] = []
  private last: Step | null = null
  private counts: ReplayCounts = { records: 0, deadLetters: 0 }
  private number = 0
  private checkpointAt = 0
  private statusAt = 0
  private readonly rate: Rate

  constructor(run: ReplayRun) {
    this.run = run
    const { stepMs, ranges } = run.folder.spec()
    this.stepMs = stepMs
    this.total = Object.values(ranges)
      .flat()
      .reduce((sum, [from, to]) => sum + to - from, 0)
    this.rate = new Rate(run.clock)
  }

  /** 'done' or 'paused'. Errors: what parts, sinks and the source say; the folder then goes on from its last checkpoint. */
  async toEnd(): Promise<ReplayState> {
    const { folder } = this.run
    try {
      await this.open()
      const state = (await this.steps()) ? 'done' : 'paused'
      await this.checkpoint(state === 'done')
      await this.tell(state)
      return state
    } catch (error) {
      await this.tell('failed', messageOf(error)).catch(() => undefined)
      throw error
    } finally {
      for (const part of this.run.parts) await part.close().catch(() => undefined)
      folder.askPause(false)
    }
  }

  private async open(): Promise<void> {
    const { folder, parts, clock } = this.run
    const found = folder.checkpoint()
    if (found) {
      this.marks = found.logs
      this.number = found.number
      this.last = found.step
      this.counts = found.counts
      this.packets = found.packets.map(packet => ({
        ...packet,
        value: Buffer.from(packet.value, 'base64'),
      }))
    }
    this.nexts = await Promise.all(parts.map(part => part.open(this.marks, this.last)))
    this.checkpointAt = clock.now()
    await this.tell('running')
  }

  /** True where all is done, false where it is to pause. */
  private async steps(): Promise<boolean> {
    const { folder, pacer, clock, signal } = this.run
    for (;;) {
      const step = this.nextStep()
      if (step === undefined) return this.settle()
      await pacer.ready(step.at * this.stepMs, signal)
      const now = clock.now()
      if (signal.aborted) return false
      if (now - this.statusAt >= STATUS_MS) {
        await this.tell('running')
        if (folder.pauseAsked) return false
      }
      if (now - this.checkpointAt >= CHECKPOINT_MS) await this.checkpoint(false)
      await this.step(step, false)
    }
  }

  /** The next one that has records; at once where something is under way and no record follows closely. */
  private nextStep(): Step | undefined {
    const { last } = this
    let next: Step | undefined
    for (const step of this.nexts)
      if (step && (next === undefined || isBefore(step, next))) next = step
    if (next === undefined || last === null) return next
    const isClose = next.at <= last.at + 1
    if (this.packets.length > 0 && !isClose) return { at: last.at, cut: last.cut + 1 }
    // what one part was late with is in a step of its own behind those that are done
    return isBefore(last, next) ? next : { at: last.at, cut: last.cut + 1 }
  }

  private async step(step: Step, settle: boolean): Promise<void> {
    const { parts, partOf } = this.run
    const inboxes = this.inboxes(parts.length, partOf)
    const begin = (i: number): Promise<StepReport> => parts[i].step(step, inboxes[i], settle)
    const reports = await beginAll(parts, begin)
    let { records, deadLetters } = this.counts
    this.packets = []
    this.followed = reports.map(({ sent }) => sent.followed)
    reports.forEach((report, i) => {
      this.nexts[i] = report.next
      records += report.records
      deadLetters += report.deadLetters
      this.packets.push(...report.sent.packets)
    })
    this.counts = { records, deadLetters }
    this.rate.add(records)
    this.last = step
  }

  /** In the order of senders, whichever part they are in (S2). */
  private inboxes(parts: number, partOf: ReplayRun['partOf']): Inbox[] {
    const inboxes = Array.from({ length: parts }, (_, i) => ({
      packets: [] as SentPacket[],
      followed: this.followed.filter((_, from) => from !== i).flat(),
    }))
    for (const packet of this.packets.sort((a, b) => (a.from < b.from ? -1 : +(a.from > b.from))))
      inboxes[partOf(packet.kind, packet.partition)]?.packets.push(packet)
    return inboxes
  }

  /** Nothing more comes: what tasks hold back leaves, and is taken in. False where it is to pause. */
  private async settle(): Promise<boolean> {
    const last = this.last ?? this.beginning()
    if (last === null) return true
    const stride = Math.max(1, Math.ceil(QUIET_MS / QUIET_STEPS / this.stepMs))
    for (let i = 1, quiet = 0; quiet < QUIET_STEPS; i++) {
      if (this.run.signal.aborted) return false
      if (i > MOST_SETTLING)
        throw new FreshetError('BUG', 'the replay does not come to rest: tasks go on sending')
      await this.step({ at: last.at + i * stride, cut: 0 }, true)
      quiet = this.packets.length === 0 ? quiet + 1 : 0
    }
    return true
  }

  /** Where no record tells the time and what is under way in a copied state is to be taken in: the time of the call. */
  private beginning(): Step | null {
    const { created } = this.run.folder.spec()
    return this.packets.length > 0 ? { at: Math.floor(created / this.stepMs), cut: 0 } : null
  }

  private async checkpoint(done: boolean): Promise<void> {
    const { parts, folder, clock } = this.run
    const marks = await Promise.all(parts.map(part => part.checkpoint()))
    this.marks = Object.assign({}, this.marks, ...marks)
    const checkpoint: Checkpoint = {
      number: ++this.number,
      at: clock.wall(),
      logs: this.marks,
      packets: this.packets.map(({ value, ...packet }) => ({
        ...packet,
        value: value.toString('base64'),
      })),
      step: this.last,
      counts: this.counts,
      done,
    }
    await folder.putCheckpoint(checkpoint)
    this.checkpointAt = clock.now()
  }

  private async tell(state: ReplayState, error: string | null = null): Promise<void> {
    const { clock, folder, pacer, onStatus } = this.run
    this.statusAt = clock.now()
    const status: ReplayStatus = {
      state,
      at: clock.wall(),
      pid: process.pid,
      position: this.last && this.last.at * this.stepMs,
      total: this.total,
      ...this.counts,
      rate: this.rate.value,
      held: state === 'running' ? pacer.held() : null,
      error,
    }
    await folder.putStatus(status)
    onStatus(status)
  }
}

/** Begins with those elsewhere: what is done here holds this process, and what is on its way to them with it. */
async function beginAll(
  parts: readonly ReplayPart[],
  begin: (i: number) => Promise<StepReport>,
): Promise<StepReport[]> {
  const reports: Promise<StepReport>[] = []
  const elsewhere = parts.filter(part => part.flushed)
  parts.forEach((part, i) => {
    if (!part.flushed) return
    reports[i] = begin(i)
    // it is awaited below, with the others
    reports[i].catch(() => undefined)
  })
  await Promise.all(elsewhere.map(part => part.flushed?.()))
  parts.forEach((part, i) => {
    if (!part.flushed) reports[i] = begin(i)
  })
  return Promise.all(reports)
}

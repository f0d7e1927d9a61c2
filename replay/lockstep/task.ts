/**
 * One task in lockstep: its core, and when it commits. At the asynchronous pace a task commits on a grid of its interval, as
 * it would in a system that is never idle, the tasks of a kind evenly apart; without input it sleeps once all that it may
 * hold back is out.
 */
import type { Commit, TaskCore } from '../../streams/runtime/core.ts'

export interface Rhythm {
  readonly intervalMs: number
  /** Where on the grid it stands, from 0 to intervalMs. */
  readonly phaseMs: number
  /** After so long without input nothing is held back any more. */
  readonly quietMs: number
}

export class LockstepTask {
  readonly kind: string
  readonly partition: number
  readonly core: TaskCore
  /** When it commits next; Infinity: it sleeps. */
  dueAt = Number.POSITIVE_INFINITY
  /** Took something in since its last commit. */
  touched = false
  private readonly rhythm: Rhythm
  private sleepless = false
  private awakeAt = 0
  private readonly offsets = new Map<string, number>()

  constructor(kind: string, partition: number, core: TaskCore, rhythm: Rhythm) {
    this.kind = kind
    this.partition = partition
    this.core = core
    this.rhythm = rhythm
  }

  /** The next free offset of one of its inputs. */
  offset(topic: string): number {
    const next = this.offsets.get(topic) ?? 0
    this.offsets.set(topic, next + 1)
    return next
  }

  wake(now: number): void {
    this.touched = true
    this.awakeAt = now
    if (this.dueAt === Number.POSITIVE_INFINITY) this.dueAt = this.gridAfter(now)
  }

  /** Commits at every time of its grid from now on, whether anything came in or not. */
  neverSleeps(now: number): void {
    this.sleepless = true
    this.dueAt = this.gridAfter(now)
  }

  /** Works off what is due and makes a commit; undefined where there is nothing to write. */
  commit(now: number): Commit | undefined {
    this.touched = false
    while (this.core.tick(5));
    const commit = this.core.commit()
    if (commit) this.awakeAt = now
    const asleep = !this.sleepless && now - this.awakeAt > this.rhythm.quietMs
    this.dueAt = asleep ? Number.POSITIVE_INFINITY : this.gridAfter(now)
    return commit
  }

  private gridAfter(now: number): number {
    const { intervalMs, phaseMs } = this.rhythm
    return (Math.floor((now - phaseMs) / intervalMs) + 1) * intervalMs + phaseMs
  }
}

/**
 * The life of a task as a total table: each state names the states it may go to. A wrong move is an error that names both.
 *
 *   created -> claiming -> restoring -> waiting (followed tables) -> running <-> committing -> closing -> closed
 *   any but closed -> lost (fenced, session expired): all is dropped, nothing more is written
 */
import { FreshetError } from '../errors.ts'

export type TaskState =
  | 'created'
  | 'claiming'
  | 'restoring'
  | 'waiting'
  | 'running'
  | 'committing'
  | 'closing'
  | 'closed'
  | 'lost'

const moves: Readonly<Record<TaskState, readonly TaskState[]>> = {
  created: ['claiming', 'closing', 'lost'],
  claiming: ['restoring', 'closing', 'lost'],
  restoring: ['waiting', 'closing', 'lost'],
  waiting: ['running', 'closing', 'lost'],
  running: ['committing', 'closing', 'lost'],
  committing: ['running', 'closing', 'lost'],
  closing: ['closed', 'lost'],
  closed: [],
  lost: ['closed'],
}

export class Lifecycle {
  private current: TaskState = 'created'
  private readonly task: string

  constructor(task: string) {
    this.task = task
  }

  get state(): TaskState {
    return this.current
  }

  /** It takes nothing in any more. */
  get gone(): boolean {
    return ['closing', 'closed', 'lost'].includes(this.current)
  }

  /** Errors: BUG for a move that the table does not have. */
  to(next: TaskState): void {
    if (!moves[this.current].includes(next))
      throw new FreshetError('BUG', `task ${this.task} can't go from ${this.current} to ${next}`)
    this.current = next
  }

  mayGo(next: TaskState): boolean {
    return moves[this.current].includes(next)
  }
}

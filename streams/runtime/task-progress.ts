/** How far a task is, and what it did since it was last asked: for health, metrics and the table `pipeline`. */
import type { LogReader } from '../transport/port.ts'
import type { Task } from './task.ts'
import type { TaskCounts, TaskMeter } from './task-meter.ts'

export interface TopicLag {
  readonly topic: string
  readonly partition: number
  /** Behind the high watermark, not yet committed. */
  readonly records: number
}

export interface TaskProgress extends TaskCounts {
  readonly kind: string
  readonly partition: number
  /** Records of its outside topics that are not committed yet. */
  readonly lag: number
}

/** By outside topic; a topic whose end is not known yet is left out. */
export function lagOf(task: Task, reader: LogReader): TopicLag[] {
  return task.committedPositions().flatMap(({ at, offset }) => {
    const end = reader.highWatermark(at)
    return end === undefined ? [] : [{ ...at, records: Math.max(0, end - offset) }]
  })
}

export function progressOf(task: Task, meter: TaskMeter, reader: LogReader): TaskProgress {
  const lag = lagOf(task, reader).reduce((sum, { records }) => sum + records, 0)
  return { ...task.id, lag, ...meter.take() }
}

/** Names of freshet's topics. The generation stands in internal names: a reset raises it for the whole application (C4). */
import type { TaskId } from '../transport/port.ts'

export interface TopicNames {
  outside(topic: string): string
  changelog(kind: string): string
  deltas(kind: string): string
}

export function topicNames(prefix: string, generation: number): TopicNames {
  return {
    outside: topic => prefix + topic,
    changelog: kind => `${prefix}g${generation}.${kind}-changelog`,
    deltas: kind => `${prefix}g${generation}.${kind}-deltas`,
  }
}

export function taskName(task: TaskId): string {
  return `${task.kind}-${task.partition}`
}

const pad = (value: number, digits: number): string => String(value).padStart(digits, '0')

/** C5: generation-token-seq, fixed width, compared as bytes; seq is the commit's number. */
export function viewVersion(generation: number, token: number, seq: number): string {
  return `${pad(generation, 6)}-${pad(token, 16)}-${pad(seq, 10)}`
}

/** What a task's mark in the view store says: all that commits up to this one show is there. */
export function markThrough(generation: number, commit: number): string {
  return `${pad(generation, 6)}-${pad(commit, 16)}`
}

/**
 * Names of freshet's topics. Those of its state carry the number of the generation that the state began in: a reset begins
 * another one for the whole application (C4). State may stand under another prefix than the application's (a replay's that
 * was cut over); topics for outside never do.
 */
import type { TaskId } from '../transport/port.ts'

/** Where state stands. */
export interface StateAt {
  /** Of the names of its topics. */
  readonly prefix: string
  /** Stands in their names, and in every packet. */
  readonly generation: number
}

export interface TopicNames {
  readonly state: StateAt
  outside(topic: string): string
  changelog(kind: string): string
  deltas(kind: string): string
}

/** `state`: the number of a generation under the application's own prefix, or where else the state stands. */
export function topicNames(prefix: string, state: number | StateAt): TopicNames {
  const at = typeof state === 'number' ? { prefix, generation: state } : state
  const own = `${at.prefix}g${at.generation}.`
  return {
    state: at,
    outside: topic => prefix + topic,
    changelog: kind => `${own}${kind}-changelog`,
    deltas: kind => `${own}${kind}-deltas`,
  }
}

/** Prefix of the topics of a replay's state once it is brought to the log. */
export const replayPrefix = (prefix: string, replay: string): string => `${prefix}replay.${replay}.`

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

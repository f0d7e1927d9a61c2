/**
 * The one error class. An error locates itself: what was being done, to which topic-partition-offset
 * or option, what was expected, what was found, what to do.
 */
/**
 * What mends each: claiming the *task* anew; starting the *process* again; or nothing but a person (*final*), so that it ends
 * with its sentence and is not started again.
 */
const mendedBy = {
  OPTION_INVALID: 'final',
  OPTION_UNKNOWN: 'final',
  CALL_INVALID: 'final',
  DEPENDENCY_UNREACHABLE: 'task',
  DEPENDENCY_UNSUITABLE: 'final',
  TOPIC_MISSING: 'final',
  PARTITION_COUNT: 'final',
  POSITION_LOST: 'final',
  STATE_REMOVED: 'final',
  APPLICATION_OTHER: 'final',
  WORKERS_RUNNING: 'final',
  FENCED: 'task',
  CHANGELOG_CORRUPT: 'final',
  CHANGELOG_NEWER: 'final',
  CHANGELOG_OLDER: 'final',
  DELTA_GAP: 'final',
  DELTA_GENERATION: 'final',
  ROW_TOO_LARGE: 'final',
  ROW_REFUSED: 'task',
  ARCHIVE_DAMAGED: 'final',
  STALLED: 'task',
  CLOSED: 'task',
  BUG: 'process',
} as const

export type ErrorCode = keyof typeof mendedBy

export class FreshetError extends Error {
  readonly code: ErrorCode
  /** The partition it is about, where another part of the same process must tell it from the others. */
  readonly at: { readonly topic: string; readonly partition: number } | undefined
  constructor(code: ErrorCode, message: string, cause?: unknown, at?: FreshetError['at']) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'FreshetError'
    this.code = code
    this.at = at
  }
}

/** The message of anything thrown, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What mends it; what was not foreseen is a bug. */
export function mendOf(error: unknown): 'task' | 'process' | 'final' {
  return mendedBy[error instanceof FreshetError ? error.code : 'BUG']
}

/**
 * The one error class. An error locates itself: what was being done, to which topic-partition-offset
 * or option, what was expected, what was found, what to do.
 */
export type ErrorCode =
  | 'OPTION_INVALID'
  | 'OPTION_UNKNOWN'
  | 'CALL_INVALID'
  | 'DEPENDENCY_UNREACHABLE'
  | 'DEPENDENCY_UNSUITABLE'
  | 'TOPIC_MISSING'
  | 'PARTITION_COUNT'
  | 'POSITION_LOST'
  | 'STATE_REMOVED'
  | 'APPLICATION_OTHER'
  | 'WORKERS_RUNNING'
  | 'FENCED'
  | 'CHANGELOG_CORRUPT'
  | 'CHANGELOG_NEWER'
  | 'DELTA_GAP'
  | 'DELTA_GENERATION'
  | 'ROW_TOO_LARGE'
  | 'ROW_REFUSED'
  | 'STALLED'
  | 'CLOSED'
  | 'BUG'

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

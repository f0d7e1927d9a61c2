/** Where a task begins to read a partition. */
import { FreshetError } from '../errors.ts'
import type { TopicPartition } from '../transport/port.ts'

/**
 * The committed position where there is one, else what `fresh` says.
 * Errors: POSITION_LOST where the log no longer has what was not yet taken in; never a silent jump (C6).
 */
export function startOffset(
  at: TopicPartition,
  { start, end }: { readonly start: number; readonly end: number },
  position: number | undefined,
  fresh: 'earliest' | 'latest',
): number {
  if (position === undefined) return fresh === 'latest' ? end : start
  if (position < start)
    throw new FreshetError(
      'POSITION_LOST',
      `${at.topic}-${at.partition}: records ${position} to ${start - 1} are gone (the log starts at ${start}) and were not yet taken in; raise the topic's retention, and either replay from an archive or reset the application`,
    )
  return position
}

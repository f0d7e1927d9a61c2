/** Where a task begins to read a partition. */
import { FreshetError } from '../errors.ts'
import type { TopicPartition } from '../transport/port.ts'

/**
 * The committed position where there is one, else what `fresh` says; `whole`: the start, of a log that must have its first
 * record still.
 * Errors: POSITION_LOST where the log no longer has what was not yet taken in, or has not what was; STATE_REMOVED where a
 * `whole` one was trimmed for someone who took its records in. Never a silent jump (C6).
 */
export function startOffset(
  at: TopicPartition,
  { start, end }: { readonly start: number; readonly end: number },
  position: number | undefined,
  fresh: 'earliest' | 'latest' | 'whole',
): number {
  const where = `${at.topic}-${at.partition}`
  if (position === undefined) {
    if (fresh === 'whole' && start > 0)
      throw new FreshetError(
        'STATE_REMOVED',
        `${where}: the log begins at ${start}, so packets 0 to ${start - 1} were taken in, but this task's state knows nothing of them: it was removed by hand; reset the whole application with \`freshet reset\``,
      )
    return fresh === 'latest' ? end : start
  }
  if (position > end)
    throw new FreshetError(
      'POSITION_LOST',
      `${where}: records up to ${position - 1} were taken in, the log ends at ${end}: the topic was made anew or lost its newest records, and new ones would be passed over; restore the topic from its replicas, or begin anew with \`freshet reset\``,
    )
  if (position < start)
    throw new FreshetError(
      'POSITION_LOST',
      `${where}: records ${position} to ${start - 1} are gone (the log starts at ${start}) and were not yet taken in; raise the topic's retention, and either replay from an archive or begin anew from what is left with \`freshet reset\``,
    )
  return position
}

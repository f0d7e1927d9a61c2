/**
 * Reads a changelog partition from its start up to, not including, `end`, whole batch by whole batch. The next part is on
 * its way while one is taken in; all restores of a process have so many bytes under way together.
 */
import { FreshetError } from '../errors.ts'
import type { FetchedBatch, ReadResult, TopicPartition, Transport } from '../transport/port.ts'

const UNDER_WAY_BYTES = 8 << 20
const MOST_BYTES = 4 << 20
const LEAST_BYTES = 512 << 10
let restores = 0

/** Two parts of each restore may be in memory at a time. */
const partBytes = (): number =>
  Math.min(MOST_BYTES, Math.max(LEAST_BYTES, Math.floor(UNDER_WAY_BYTES / restores / 2)))

/** Errors: CLOSED once `cancelled`; STALLED where nothing came for a minute; those of `read` and `onBatch`. */
export async function readUpTo(
  transport: Transport,
  at: TopicPartition,
  end: number,
  onBatch: (batch: FetchedBatch) => void,
  cancelled: () => boolean,
): Promise<void> {
  const [{ start }] = await transport.topics.offsets([at])
  let offset = start
  let idle = 0
  const read = (from: number): Promise<ReadResult> => {
    const part = transport.read(at, from, { maxBytes: partBytes(), maxWaitMs: 500 })
    // it may fail while the one before is taken in: whoever waits for it hears of it
    part.catch(() => undefined)
    return part
  }
  restores++
  try {
    let part = offset < end ? read(offset) : undefined
    while (part) {
      const { batches, nextOffset } = await part
      if (cancelled())
        throw new FreshetError('CLOSED', `restore of ${at.topic}-${at.partition} was given up`)
      part = nextOffset < end ? read(nextOffset) : undefined
      for (const batch of batches) if (batch.baseOffset < end) onBatch(batch)
      if (nextOffset > offset) idle = 0
      else if (++idle > 120)
        throw new FreshetError(
          'STALLED',
          `restore of ${at.topic}-${at.partition} stands at ${offset} of ${end} for a minute; check the topic's replicas`,
        )
      offset = nextOffset
    }
  } finally {
    restores--
  }
}

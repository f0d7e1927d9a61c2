/** Reads a changelog that its owner goes on writing to. */
import { FreshetError } from '../../streams/errors.ts'
import type { FetchedBatch, TopicPartition, Transport } from '../../streams/transport/port.ts'

const READ = { maxBytes: 4 << 20, maxWaitMs: 500 }
const MOST_IDLE = 120

/**
 * From the log's start to wherever it ends once that is reached; not to where it ended before: of a row that is superseded
 * meanwhile, compaction may take the older one, and the newer must be read. Gives the offset behind the last batch.
 * Errors: STALLED where nothing came for a minute; those of `onBatch`.
 */
export async function readToEnd(
  transport: Pick<Transport, 'read' | 'topics'>,
  at: TopicPartition,
  onBatch: (batch: FetchedBatch) => void,
): Promise<number> {
  const [{ start, end }] = await transport.topics.offsets([at])
  let offset = start
  let least = end
  for (let idle = 0; offset < least; ) {
    const { batches, nextOffset, highWatermark } = await transport.read(at, offset, READ)
    for (const batch of batches) onBatch(batch)
    least = Math.max(least, highWatermark)
    if (nextOffset > offset) idle = 0
    else if (++idle > MOST_IDLE)
      throw new FreshetError(
        'STALLED',
        `${at.topic}-${at.partition} stands at ${offset} of ${least} for a minute; check the topic's replicas`,
      )
    offset = nextOffset
  }
  return offset
}

/** Reads a changelog partition from its start up to, not including, `end`, whole batch by whole batch. */
import { FreshetError } from '../errors.ts'
import type { FetchedBatch, TopicPartition, Transport } from '../transport/port.ts'

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
  while (offset < end) {
    if (cancelled())
      throw new FreshetError('CLOSED', `restore of ${at.topic}-${at.partition} was given up`)
    const result = await transport.read(at, offset, { maxBytes: 4 << 20, maxWaitMs: 500 })
    for (const batch of result.batches) if (batch.baseOffset < end) onBatch(batch)
    if (result.nextOffset > offset) {
      offset = result.nextOffset
      idle = 0
    } else if (++idle > 120)
      throw new FreshetError(
        'STALLED',
        `restore of ${at.topic}-${at.partition} stands at ${offset} of ${end} for a minute; check the topic's replicas`,
      )
  }
}

/** Where a task stands by its changelog, without reading all of it: the last commit record (C6), looked for from the end. */
import type { TopicPartition, Transport } from '../transport/port.ts'
import { COMMIT_KEY, type CommitRecord, readCommitRecord } from './commit-record.ts'

/** Undefined where nothing was ever committed. Errors: those of the record (CHANGELOG_CORRUPT, _NEWER, _OLDER). */
export async function lastCommit(
  transport: Transport,
  at: TopicPartition,
): Promise<CommitRecord | undefined> {
  const [{ start, end }] = await transport.topics.offsets([at])
  // behind it stand ownership records at most, and what compaction left of them
  for (let from = end, back = 1; from > start; back *= 4) {
    from = Math.max(start, end - back)
    const found = await lastBetween(transport, at, from, end)
    if (found) return found
  }
  return undefined
}

async function lastBetween(
  transport: Transport,
  at: TopicPartition,
  from: number,
  end: number,
): Promise<CommitRecord | undefined> {
  let found: CommitRecord | undefined
  for (let offset = from; offset < end; ) {
    const { batches, nextOffset } = await transport.read(at, offset, { maxWaitMs: 500 })
    for (const { records } of batches)
      for (const { key, value, offset: stands } of records)
        if (key?.equals(COMMIT_KEY) && value)
          found = readCommitRecord(value, `${at.topic}-${at.partition}@${stands}`)
    offset = nextOffset
  }
  return found
}

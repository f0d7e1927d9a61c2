/** freshet's own topics, read with its codecs, but without claims, restores or anything else that its runtime does. */
import { COMMIT_KEY, readCommitRecord } from '../../../streams/runtime/commit-record.ts'
import { ByteReader } from '../../../streams/serde/bytes.ts'
import type {
  FetchedBatch,
  LogRecord,
  TopicPartition,
  Transport,
} from '../../../streams/transport/port.ts'
import { itemStores } from '../../../topologies/items/stores.ts'
import { emptyItemCounts, readCounts } from '../../../topologies/popularity/rows.ts'
import type { Setting } from '../../e2e/setting.ts'
import { readAll } from '../kafka-log.ts'
import type { ItemTotals } from './tally.ts'

/** Every record of a topic that its log still has, partition by partition. */
export async function* allRecords(
  transport: Transport,
  topic: string,
  partitions: number,
): AsyncGenerator<{ partition: number; record: LogRecord }> {
  for (let partition = 0; partition < partitions; partition++)
    for (let from = 0; ; ) {
      const read = await transport.read({ topic, partition }, from, { maxWaitMs: 500 })
      for (const batch of read.batches)
        for (const record of batch.records) yield { partition, record }
      if (read.nextOffset >= read.highWatermark) break
      from = read.nextOffset
    }
}

/** The newest `counts` row of each item in the item tasks' changelog, that of generation 1 where no `changelog` is named. */
export async function itemTotals(
  transport: Transport,
  setting: Setting,
  changelog = 'g1.item-changelog',
): Promise<Map<string, ItemTotals>> {
  const topic = setting.topic(changelog)
  const partitions = (await transport.topics.describe([topic])).get(topic)?.partitions ?? 0
  const totals = new Map<string, ItemTotals>()
  for await (const { record } of allRecords(transport, topic, partitions)) {
    const { key, value } = record
    if (key === null || key[0] !== itemStores.counts) continue
    const item = key.subarray(1).toString()
    if (value === null) {
      totals.delete(item)
      continue
    }
    const counts = emptyItemCounts()
    readCounts(new ByteReader(value), counts)
    const { impressions, watches, positives, watchedMs } = counts
    totals.set(item, { impressions, watches, positives, watchedMs })
  }
  return totals
}

interface CommitBatch {
  readonly batch: FetchedBatch
  readonly where: string
  /** Number of its commit; undefined for an ownership record. */
  readonly number: number | undefined
}

/** All batches of one partition of a changelog, in order. */
export async function commitsOf(transport: Transport, at: TopicPartition): Promise<CommitBatch[]> {
  const batches = await readAll(transport, at)
  return batches.map(batch => {
    const where = `${at.topic}-${at.partition}@${batch.baseOffset}`
    const commit = batch.records.find(({ key }) => key?.equals(COMMIT_KEY))
    const number = commit?.value ? readCommitRecord(commit.value, where).number : undefined
    return { batch, where, number }
  })
}

/** Batches of a changelog that stand where only a newer owner may write, or whose commit numbers do not rise; a sentence each. */
export async function intrusions(transport: Transport, topic: string): Promise<string[]> {
  const partitions = (await transport.topics.describe([topic])).get(topic)?.partitions ?? 0
  const found: string[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const epochs = new Map<bigint, number>()
    let last = 0
    for (const { batch, where, number } of await commitsOf(transport, { topic, partition })) {
      const { producerId, producerEpoch } = batch
      const newest = epochs.get(producerId) ?? -1
      if (producerEpoch < newest) found.push(`${where}: epoch ${producerEpoch} after ${newest}`)
      epochs.set(producerId, Math.max(newest, producerEpoch))
      if (number === undefined) continue
      if (number <= last) found.push(`${where}: commit ${number} after ${last}`)
      last = number
    }
  }
  return found
}

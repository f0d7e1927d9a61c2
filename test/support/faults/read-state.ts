/** freshet's own topics, read without freshet's runtime. */

import { ByteReader } from '../../../streams/serde/bytes.ts'
import type { LogRecord, Transport } from '../../../streams/transport/port.ts'
import { itemStores } from '../../../topologies/items/stores.ts'
import { emptyItemCounts, readCounts } from '../../../topologies/popularity/rows.ts'
import type { Setting } from '../../e2e/setting.ts'
import { readAll } from '../kafka-log.ts'
import type { ItemTotals } from './tally.ts'

/** Every record of a topic that its log still has, partition by partition. */
export async function readAllRecords(
  transport: Transport,
  topic: string,
  partitions: number,
): Promise<{ partition: number; record: LogRecord }[]> {
  const all: { partition: number; record: LogRecord }[] = []
  for (let partition = 0; partition < partitions; partition++)
    for (const batch of await readAll(transport, { topic, partition }))
      for (const record of batch.records) all.push({ partition, record })
  return all
}

/** The newest `counts` row of each item in the item tasks' changelog. */
export async function itemTotals(
  transport: Transport,
  setting: Setting,
): Promise<Map<string, ItemTotals>> {
  const topic = setting.topic('g1.item-changelog')
  const partitions = (await transport.topics.describe([topic])).get(topic)?.partitions ?? 0
  const totals = new Map<string, ItemTotals>()
  for (const { record } of await readAllRecords(transport, topic, partitions)) {
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

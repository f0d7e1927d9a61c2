/**
 * The exact counts of an item task's rows: whole numbers of each item, and positives by hour, cohort and minute. Not the
 * decayed sums beside them, which are floats added up in order of arrival, nor co-visitation: of an item's neighbours only
 * the strongest stay, so which stay depends on when packets met, and rows are written at intervals.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import { itemStores } from '../../topologies/items/stores.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import { keptHoursOf } from '../../topologies/popularity/item-stage.ts'
import {
  emptyItemCounts,
  readCounts,
  readHour,
  readHourKey,
} from '../../topologies/popularity/rows.ts'
import type { ExactRow } from './digest.ts'

export type CountOptions = Pick<TopologyOptions, 'popularity.grace'>

const hourMs = 3_600_000

export class CountRows {
  private readonly keptHours: number
  private readonly hours: { hour: number; text: string }[] = []
  private readonly counts: string[] = []
  private newestAt = 0

  constructor(options: CountOptions) {
    this.keptHours = keptHoursOf(options)
  }

  take({ store, key, value }: ExactRow): void {
    if (store === itemStores.hours) {
      const { hour, cohort, itemId } = readHourKey(new ByteReader(key))
      const minutes = readHour(new ByteReader(value))
      this.hours.push({ hour, text: JSON.stringify(['hour', hour, cohort, itemId, minutes]) })
    }
    if (store !== itemStores.counts) return
    const counts = emptyItemCounts()
    readCounts(new ByteReader(value), counts)
    this.newestAt = Math.max(this.newestAt, counts.newestAt)
    const { newestAt, impressions, watches, positives, watchedMs, firstMinute } = counts
    this.counts.push(
      JSON.stringify([
        'counts',
        key.toString(),
        [newestAt, impressions, watches, positives, watchedMs, firstMinute],
      ]),
    )
  }

  end(count: (text: string) => void): void {
    for (const text of this.counts) count(text)
    // what the sweep of the stage has come by for, or will
    const oldest = Math.floor(this.newestAt / hourMs) - this.keptHours
    for (const { hour, text } of this.hours) if (hour >= oldest) count(text)
  }
}

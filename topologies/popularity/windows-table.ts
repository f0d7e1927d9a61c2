/** The followed table `windows`: sliding windows made of the hour rows of all item tasks. Needed where the global task runs. */
import type { OptionValues } from '../../streams/options.ts'
import type { ByteReader } from '../../streams/serde/bytes.ts'
import type { FollowedTable, TableSpec } from '../../streams/topology/stage.ts'
import { itemStores } from '../items/stores.ts'
import { minuteOf } from './cells.ts'
import type { popularityOptions } from './options.ts'
import { readHour, readNewestAt } from './rows.ts'
import { PositiveWindows } from './windows.ts'

export type WindowsOptions = Pick<
  OptionValues<typeof popularityOptions>,
  'popularity.trendHalfLife'
>

export function windowsTableSpec(options: WindowsOptions): TableSpec {
  return { name: 'windows', follows: ['item'], create: () => new WindowsTable(options) }
}

export class WindowsTable implements FollowedTable {
  readonly windows: PositiveWindows
  /** Newest event time counted, ms: what the windows are true for. It comes in the same batches as the hour rows. */
  at = 0

  constructor(options: WindowsOptions) {
    this.windows = new PositiveWindows(options['popularity.trendHalfLife'])
  }

  apply(
    _kind: string,
    _partition: number,
    store: number,
    key: ByteReader,
    value: ByteReader | null,
  ): void {
    if (store === itemStores.counts && value !== null)
      this.at = Math.max(this.at, readNewestAt(value))
    if (store !== itemStores.hours) return
    const { windows } = this
    const hour = key.uint()
    const cohort = windows.cohort(key.string())
    const item = windows.items.indexOfBytes(key.buffer, key.position, key.end)
    windows.putRow(item, cohort, hour, value === null ? [] : readHour(value))
  }

  batchApplied(): void {
    this.windows.advance(minuteOf(this.at))
  }
}

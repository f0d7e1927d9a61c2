/**
 * In the item task: exact counts, summed from the packets of user tasks.
 *  - `counts`, one row an item: all-time counts and decayed positives.
 *  - `hours`, one row per (item, cohort, hour): what the windows are summed from. Kept for the longest window and the
 *    grace, by the newest event time counted in this task, then removed; what comes later than that counts in `counts` only.
 * A cell of a cohort counts for that cohort and for '' (all).
 */
import type { OptionValues } from '../../streams/options.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { itemStores, popularityChannel } from '../items/stores.ts'
import type { ItemTable } from '../items/table.ts'
import { type Cell, readCells } from './cells.ts'
import { halfLivesMs } from './decay.ts'
import type { popularityOptions } from './options.ts'
import {
  emptyItemCounts,
  type HourCounts,
  type HourKey,
  type ItemCounts,
  readCounts,
  readHour,
  readHourKey,
  writeCounts,
  writeHour,
  writeHourKey,
} from './rows.ts'
import { longestWindowMinutes } from './windows.ts'

interface CountsRow extends Row {
  readonly itemId: string
  readonly counts: ItemCounts
}

interface HourRow extends Row, HourKey, HourCounts {}

export type PopularityItemOptions = Pick<OptionValues<typeof popularityOptions>, 'popularity.grace'>

/** So many hour rows are removed in one go; a tombstone is ~40 bytes. */
const REMOVED_A_TICK = 2_000

export function createPopularityItemStage(ctx: TaskContext, options: PopularityItemOptions): Stage {
  const items = ctx.table<ItemTable>('items')
  const unknown = ctx.metrics.counter('freshet_unknown_items_total')
  const keptHours =
    Math.ceil((longestWindowMinutes + options['popularity.grace'] / 60_000) / 60) + 1
  const rows = new Map<string, CountsRow>()
  /** By hour, cohort, item: no key is put together for a look-up. */
  const hours = new Map<number, Map<string, Map<string, HourRow>>>()
  let newestAt = 0
  let oldestKept = 0

  const countsStore = new Store<CountsRow>({
    id: itemStores.counts,
    name: 'counts',
    write: 'exact',
    writeKey: (row, w) => w.rawString(row.itemId),
    writeValue: (row, w) => writeCounts(row.counts, w),
    restore(key, value) {
      const itemId = key.rawString()
      if (value === null) rows.delete(itemId)
      else {
        const { counts } = rowOf(itemId)
        readCounts(value, counts)
        newestAt = Math.max(newestAt, counts.newestAt)
      }
    },
  })

  const hourStore = new Store<HourRow>({
    id: itemStores.hours,
    name: 'hours',
    write: 'exact',
    writeKey: writeHourKey,
    writeValue: writeHour,
    restore(keyBytes, value) {
      const key = readHourKey(keyBytes)
      if (value !== null) Object.assign(hourOf(key.hour, key.cohort, key.itemId), readHour(value))
      else hours.get(key.hour)?.get(key.cohort)?.delete(key.itemId)
    },
  })

  function rowOf(itemId: string): CountsRow {
    let row = rows.get(itemId)
    if (!row) {
      row = { dirty: false, removed: false, itemId, counts: emptyItemCounts() }
      rows.set(itemId, row)
    }
    return row
  }

  function hourOf(hour: number, cohort: string, itemId: string): HourRow {
    let ofHour = hours.get(hour)
    if (!ofHour) {
      ofHour = new Map()
      hours.set(hour, ofHour)
    }
    let ofCohort = ofHour.get(cohort)
    if (!ofCohort) {
      ofCohort = new Map()
      ofHour.set(cohort, ofCohort)
    }
    let row = ofCohort.get(itemId)
    if (!row) {
      row = {
        dirty: false,
        removed: false,
        hour,
        cohort,
        itemId,
        impressions: 0,
        watches: 0,
        positives: 0,
        watchedMs: 0,
        minutes: [],
      }
      ofCohort.set(itemId, row)
    }
    return row
  }

  function countHour(cell: Cell, cohort: string): void {
    const hour = Math.floor(cell.minute / 60)
    if (hour < oldestKept) return
    const row = hourOf(hour, cohort, cell.itemId)
    row.impressions += cell.impressions
    row.watches += cell.watches
    row.positives += cell.positives
    row.watchedMs += cell.watchedMs
    if (cell.positives > 0) addToMinute(row.minutes, cell.minute - hour * 60, cell.positives)
    hourStore.touch(row)
  }

  function forget(): void {
    oldestKept = Math.max(oldestKept, Math.floor(newestAt / 3_600_000) - keptHours)
  }

  let current: CountsRow | undefined
  function take(cell: Cell, firstOfItem: boolean): void {
    if (firstOfItem || current === undefined) {
      current = rowOf(cell.itemId)
      if (current.counts.newestAt === 0 && !items.catalog(items.index(cell.itemId))) unknown.add()
      countsStore.touch(current)
    }
    const { counts } = current
    counts.impressions += cell.impressions
    counts.watches += cell.watches
    counts.positives += cell.positives
    counts.watchedMs += cell.watchedMs
    counts.newestAt = Math.max(counts.newestAt, cell.itemNewestAt)
    if (cell.positives > 0) addDecayed(counts, cell.minute, cell.positives)
    countHour(cell, '')
    if (cell.cohort !== '') countHour(cell, cell.cohort)
  }

  return {
    name: 'popularity',
    stores: [countsStore, hourStore],
    receives: [popularityChannel],
    receive(_channel, payload) {
      current = undefined
      newestAt = Math.max(newestAt, readCells(payload, take))
      forget()
    },
    restored: forget,
    tick() {
      let left = REMOVED_A_TICK
      for (const [hour, ofHour] of hours) {
        if (hour >= oldestKept) continue
        for (const ofCohort of ofHour.values())
          for (const [itemId, row] of ofCohort) {
            if (left-- === 0) return true
            hourStore.remove(row)
            ofCohort.delete(itemId)
          }
        hours.delete(hour)
      }
      return false
    },
  }
}

/** Adds to the positives of a minute of the hour; see HourCounts.minutes. */
function addToMinute(minutes: number[], minute: number, positives: number): void {
  for (let i = minutes.length - 1; i >= 0; i--)
    if ((minutes[i] & 63) === minute) {
      minutes[i] += positives * 64
      return
    }
  minutes.push(positives * 64 + minute)
}

/** Positives of a minute, taken as of its start, join the decayed counts. */
function addDecayed(counts: ItemCounts, minute: number, positives: number): void {
  const { decayed } = counts
  const ahead = (minute - counts.decayedMinute) * 60_000
  for (let h = 0; h < decayed.length; h++) {
    const factor = 2 ** (-Math.abs(ahead) / halfLivesMs[h])
    decayed[h] = ahead > 0 ? decayed[h] * factor + positives : decayed[h] + positives * factor
  }
  if (ahead > 0) counts.decayedMinute = minute
}

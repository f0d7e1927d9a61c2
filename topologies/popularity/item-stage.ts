/**
 * In the item task: exact counts, summed from the packets of user tasks.
 *  - `counts`, one row an item: all-time counts and decayed positives.
 *  - `hours`, one row per (item, cohort, hour) that has positives: what the windows are summed from. Kept for the longest
 *    window and the grace, by the newest event time counted in this task, then removed; what comes later than that counts in
 *    `counts` only.
 */
import type { OptionValues } from '../../streams/options.ts'
import type { ByteReader } from '../../streams/serde/bytes.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import type { MemoryItemTable } from '../items/memory-table.ts'
import { Names } from '../items/names.ts'
import { itemStores, popularityChannel } from '../items/stores.ts'
import type { ItemTable } from '../items/table.ts'
import { type CellTaker, readCells } from './cells.ts'
import { halfLivesMs } from './decay.ts'
import type { popularityOptions } from './options.ts'
import {
  emptyItemCounts,
  type HourMinutes,
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
  readonly item: number
  readonly counts: ItemCounts
}

interface HourRow extends Row {
  readonly hour: number
  readonly cohort: number
  readonly item: number
  minutes: HourMinutes
}

export type PopularityItemOptions = Pick<OptionValues<typeof popularityOptions>, 'popularity.grace'>

/** So many hour rows are removed in one go; a tombstone is ~40 bytes. */
const REMOVED_A_TICK = 2_000

/** Rows of hours are kept for so many hours before that of the newest event counted in the task. */
export const keptHoursOf = (options: PopularityItemOptions): number =>
  Math.ceil((longestWindowMinutes + options['popularity.grace'] / 60_000) / 60) + 1

export function createPopularityItemStage(ctx: TaskContext, options: PopularityItemOptions): Stage {
  const items = ctx.table<ItemTable & Pick<MemoryItemTable, 'indexFrom'>>('items')
  const unknown = ctx.metrics.counter('freshet_unknown_items_total')
  const indexFrom = (r: ByteReader, size: number): number => items.indexFrom(r, size)
  const keptHours = keptHoursOf(options)
  const cohorts = new Names()
  /** By item index; an array without holes, as most of the time goes into look-ups. */
  const rows: (CountsRow | undefined)[] = []
  /** By hour, then cohort, then item: no key is put together for a look-up. */
  const hours = new Map<number, (Map<number, HourRow> | undefined)[]>()
  let newestAt = 0
  let oldestKept = 0
  /** Hours before `oldestKept` may still be there. */
  let forgetting = false

  const countsStore = new Store<CountsRow>({
    id: itemStores.counts,
    name: 'counts',
    write: 'exact',
    writeKey: (row, w) => w.rawString(items.idOf(row.item)),
    writeValue: (row, w) => writeCounts(row.counts, w),
    restore(key, value) {
      const item = items.indexFrom(key, key.left)
      if (value === null) rows[item] = undefined
      else {
        const { counts } = rowOf(item)
        readCounts(value, counts)
        newestAt = Math.max(newestAt, counts.newestAt)
      }
    },
  })

  const hourStore = new Store<HourRow>({
    id: itemStores.hours,
    name: 'hours',
    write: 'exact',
    writeKey: ({ hour, cohort, item }, w) =>
      writeHourKey(hour, cohorts.nameOf(cohort), items.idOf(item), w),
    writeValue: (row, w) => writeHour(row.minutes, w),
    restore(keyBytes, value) {
      const { hour, ...key } = readHourKey(keyBytes)
      const item = items.index(key.itemId)
      const cohort = cohorts.index(key.cohort)
      if (value !== null) hourOf(hour, cohort, item).minutes = readHour(value)
      else hours.get(hour)?.[cohort]?.delete(item)
    },
  })

  function rowOf(item: number): CountsRow {
    while (rows.length <= item) rows.push(undefined)
    let row = rows[item]
    if (!row) {
      row = { dirty: false, removed: false, item, counts: emptyItemCounts() }
      rows[item] = row
    }
    return row
  }

  function hourOf(hour: number, cohort: number, item: number): HourRow {
    let ofHour = hours.get(hour)
    if (!ofHour) {
      ofHour = []
      hours.set(hour, ofHour)
    }
    while (ofHour.length <= cohort) ofHour.push(undefined)
    let ofCohort = ofHour[cohort]
    if (!ofCohort) {
      ofCohort = new Map()
      ofHour[cohort] = ofCohort
    }
    let row = ofCohort.get(item)
    if (!row) {
      row = { dirty: false, removed: false, hour, cohort, item, minutes: [] }
      ofCohort.set(item, row)
    }
    return row
  }

  function forget(): void {
    const before = Math.floor(newestAt / 3_600_000) - keptHours
    if (before <= oldestKept) return
    oldestKept = before
    forgetting = true
  }

  let current: CountsRow | undefined
  const take: CellTaker = {
    item(item, itemNewestAt, impressions, watches, watchedMs) {
      current = rowOf(item)
      const { counts } = current
      if (counts.newestAt === 0 && !items.catalog(item)) unknown.add()
      countsStore.touch(current)
      counts.impressions += impressions
      counts.watches += watches
      counts.watchedMs += watchedMs
      if (itemNewestAt > counts.newestAt) counts.newestAt = itemNewestAt
    },
    positives(cohort, minute, count) {
      if (current === undefined) return
      const { counts } = current
      counts.positives += count
      if (counts.firstMinute === 0 || minute < counts.firstMinute) counts.firstMinute = minute
      addDecayed(counts, minute, count)
      const hour = Math.floor(minute / 60)
      if (hour < oldestKept) return
      const row = hourOf(hour, cohorts.index(cohort), current.item)
      addToMinute(row.minutes, minute - hour * 60, count)
      hourStore.touch(row)
    },
  }

  return {
    name: 'popularity',
    stores: [countsStore, hourStore],
    receives: [popularityChannel],
    receive(_channel, payload) {
      current = undefined
      newestAt = Math.max(newestAt, readCells(payload, indexFrom, take))
      forget()
    },
    restored: forget,
    tick() {
      if (!forgetting) return false
      let left = REMOVED_A_TICK
      for (const [hour, ofHour] of hours) {
        if (hour >= oldestKept) continue
        for (const ofCohort of ofHour)
          for (const [item, row] of ofCohort ?? []) {
            if (left-- === 0) return true
            hourStore.remove(row)
            ofCohort?.delete(item)
          }
        hours.delete(hour)
      }
      forgetting = false
      return false
    },
  }
}

/** Adds to the positives of a minute of the hour; see HourMinutes. */
function addToMinute(minutes: HourMinutes, minute: number, positives: number): void {
  let at = minutes.length
  while (at > 0 && (minutes[at - 1] & 63) > minute) at--
  if (at > 0 && (minutes[at - 1] & 63) === minute) minutes[at - 1] += positives * 64
  else minutes.splice(at, 0, positives * 64 + minute)
}

/** Positives of a minute, taken as of its start, join the decayed counts. */
function addDecayed(counts: ItemCounts, minute: number, positives: number): void {
  const { decayed } = counts
  const ahead = (minute - counts.decayedMinute) * 60_000
  if (ahead === 0) {
    for (let h = 0; h < decayed.length; h++) decayed[h] += positives
    return
  }
  for (let h = 0; h < decayed.length; h++) {
    const factor = 2 ** (-Math.abs(ahead) / halfLivesMs[h])
    decayed[h] = ahead > 0 ? decayed[h] * factor + positives : decayed[h] + positives * factor
  }
  if (ahead > 0) counts.decayedMinute = minute
}

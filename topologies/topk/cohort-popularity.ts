/** The popularity part's windows as cohort lists need them: the decayed trend of each cohort, by item index. */
import type { ItemTable } from '../items/table.ts'
import { POPULAR_SIZE } from '../popularity/global-stage.ts'
import { BOARDS } from '../popularity/windows.ts'
import type { WindowsTable } from '../popularity/windows-table.ts'
import type { CohortPopularity } from './cohort-stage.ts'

const trend = BOARDS - 1

/**
 * Reads a board as the popularity stage does (same size, same exclusions). Reading marks it as unchanged there, so `refresh`
 * may only be called in a flush after that stage's own.
 */
export function cohortPopularity(
  items: Pick<ItemTable, 'index' | 'withdrawnAt'>,
  table: WindowsTable,
): CohortPopularity {
  const { windows } = table
  const indices: number[] = []
  const indexOf = (item: number): number => {
    indices[item] ??= items.index(windows.items.nameOf(item))
    return indices[item]
  }
  const withdrawn = (item: number): boolean => items.withdrawnAt(indexOf(item)) !== 0
  let read: ReadonlyMap<number, number>[] = []
  let readAt = -1
  return {
    get cohortCount() {
      return read.length
    },
    cohortName: cohort => windows.cohorts.nameOf(cohort),
    popular: cohort => read[cohort],
    refresh() {
      if (table.at === readAt) return
      readAt = table.at
      read = Array.from({ length: windows.cohortCount }, (_, cohort) => {
        const { items: best, scores } = windows.best(cohort, trend, POPULAR_SIZE, withdrawn)
        return new Map(best.map((item, rank) => [indexOf(item), scores[rank]]))
      })
    },
  }
}

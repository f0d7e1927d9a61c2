/** The popularity part's windows as cohort lists need them: the decayed trend of each cohort, by item index. */
import type { ItemTable } from '../items/table.ts'
import { POPULAR_SIZE } from '../popularity/global-stage.ts'
import { BOARDS } from '../popularity/windows.ts'
import type { WindowsTable } from '../popularity/windows-table.ts'
import type { CohortPopularity } from './cohort-stage.ts'

const trend = BOARDS - 1
/** How often it is asked anew which cohorts are the most active: else those at the edge would come and go. */
const chooseEveryMs = 60_000

/**
 * Reads a board as the popularity stage does (same size, same exclusions), where it is asked for and once a refresh.
 * @param most cohorts that have lists, the most active by the positives of the longest window; '' beside them.
 */
export function cohortPopularity(
  items: Pick<ItemTable, 'index' | 'withdrawnAt'>,
  table: WindowsTable,
  most: number,
): CohortPopularity {
  const { windows } = table
  const indices: number[] = []
  const indexOf = (item: number): number => {
    indices[item] ??= items.index(windows.items.nameOf(item))
    return indices[item]
  }
  const withdrawn = (item: number): boolean => items.withdrawnAt(indexOf(item)) !== 0
  const read = new Map<number, ReadonlyMap<number, number>>()
  let readAt = -1
  let listed: readonly number[] = [0]
  let chosenAt = Number.NEGATIVE_INFINITY
  let known = 1

  function choose(): void {
    known = windows.cohortCount
    listed = Array.from({ length: known - 1 }, (_, n) => n + 1)
      .filter(cohort => windows.positives(cohort) > 0)
      .sort((a, b) => windows.positives(b) - windows.positives(a) || a - b)
      .slice(0, most)
    listed = [0, ...listed]
  }

  return {
    get listed() {
      return listed
    },
    cohortName: cohort => windows.cohorts.nameOf(cohort),
    popular(cohort) {
      let found = read.get(cohort)
      if (found === undefined) {
        const { items: best, scores } = windows.best(cohort, trend, POPULAR_SIZE, withdrawn)
        found = new Map(best.map((item, rank) => [indexOf(item), scores[rank]]))
        read.set(cohort, found)
      }
      return found
    },
    refresh(now) {
      if (table.at === readAt) return
      readAt = table.at
      read.clear()
      const isNew = listed.length <= most && windows.cohortCount > known
      if (!isNew && now - chosenAt < chooseEveryMs) return
      chosenAt = now
      choose()
    },
  }
}

/** For whom and when candidates are sought. One object is reused for all lists. */
import type { ItemTable } from '../../items/table.ts'

export interface Ask {
  readonly items: ItemTable
  /** The user's first positives, newest first; `length` are valid. Empty without a user. */
  readonly history: Int32Array
  readonly length: number
  /** Event time from which on the user's past counts, ms; absent: all of it. */
  readonly from?: number
  /** New candidates wanted of each source. */
  readonly perSource: number
  /** Event time of the list, ms: of the newest event that is counted, or of the user's newest if that is later. */
  readonly countedUntil: number
  /** Of a cohort: what it watches most, best first, with scores. */
  readonly cohort: ReadonlyMap<number, number> | undefined
  /** Chance of this list, uniform on [0, 1). */
  readonly random: () => number
}

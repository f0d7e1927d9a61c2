/**
 * Who explores how much. Pure.
 *
 *  - X1 a user of the holdout is one at every time, in every process: a hash of salt and id alone decides.
 *  - X2 who has the same values of the declared context keys has the same epsilon on a surface: a hash of salt, surface and
 *       values deals them. So the log holds several known policies, none chosen by what the user is like to watch.
 *  - X3 a day's budget counts what was *shown* (impressions with `explore`), not what was drawn: a list may be drawn ten
 *       times before it is read.
 */
import { hash53 } from '../../streams/serde/hash.ts'

const UNIT = 2 ** -53
const DAY_MS = 86_400_000

export interface HoldoutOptions {
  readonly 'explore.holdout': number
  readonly 'explore.salt': string
}

/**
 * Is the user one of the share whose lists are drawn at high temperature and who train nobody? X1. Everything that learns
 * asks it and leaves their events out; counts of what was watched keep them.
 */
export function isHoldout(userId: string, options: HoldoutOptions): boolean {
  const share = options['explore.holdout']
  return share > 0 && hash53(`holdout ${options['explore.salt']} ${userId}`) * UNIT < share
}

/** A number for the values of the declared keys; a key that an event lacks has the value ''. */
export function contextHash(
  context: Readonly<Record<string, string>>,
  keys: readonly string[],
): number {
  let values = 'context'
  for (const key of keys) values += ` ${JSON.stringify(context[key] ?? '')}`
  return hash53(values)
}

/** In the place of a context that is not known: lists by cohort, and users not seen since a restart. */
export function cohortHash(cohort: string): number {
  return hash53(`cohort ${cohort}`)
}

/** Which of `buckets` a context falls into on a surface: X2. */
export function bucketOf(salt: string, surface: string, context: number, buckets: number): number {
  return hash53(`${salt} ${surface} ${context}`) % buckets
}

/** Explored positions that a user was shown on the newest day, by number of the surface: X3. In memory only. */
export interface ExploredShown {
  day: number
  readonly bySurface: number[]
}

/** Counts one more that was shown at `ts`; of a day that is over nothing is counted. */
export function countExplored(
  known: ExploredShown | undefined,
  ts: number,
  surface: number,
): ExploredShown {
  const day = Math.floor(ts / DAY_MS)
  const shown = known === undefined || known.day < day ? { day, bySurface: [] } : known
  if (shown.day === day) shown.bySurface[surface] = (shown.bySurface[surface] ?? 0) + 1
  return shown
}

/** What of a day's budget is left at `now` (event time, ms). */
export function budgetLeft(
  perDay: number,
  shown: ExploredShown | undefined,
  now: number,
  surface: number,
): number {
  const isToday = shown !== undefined && shown.day === Math.floor(now / DAY_MS)
  return Math.max(0, perDay - (isToday ? (shown.bySurface[surface] ?? 0) : 0))
}

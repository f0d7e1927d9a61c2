/**
 * Rows that are used no more: those of users who gave less consent later (`erasures`, store `use`). They stay until their
 * retention is over, but nothing is trained on them or evaluated by them.
 */

/** Event time, ms: from, and before. */
export interface Extent {
  readonly from: number
  readonly to: number
}

/** A condition on `v_examples`: rows of the extent that may be used. Costs two columns of the extent. */
export function mayBeUsed(database: string, { from, to }: Extent): string {
  const at = (ms: number): string => `fromUnixTimestamp64Milli(toInt64(${ms}), 'UTC')`
  return `(user, ts) NOT IN (
    SELECT e.user, e.ts FROM ${database}.v_examples AS e
    INNER JOIN (
      SELECT pseudonym, max(asked) AS withdrawn FROM ${database}.v_erasures WHERE store = 'use' GROUP BY pseudonym
    ) AS w ON e.user = w.pseudonym
    WHERE e.ts <= w.withdrawn AND e.ts >= ${at(from)} AND e.ts < ${at(to)})`
}

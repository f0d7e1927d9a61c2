/** Online quality of both runs, a figure a metric: of the windows that both have, before and after. */
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import type { QueriedTables, Runs } from './tables.ts'

export interface QualityFigure {
  readonly metric: string
  /** Length of the windows that it is made of, ms, and how many. */
  readonly windowMs: number
  readonly windows: number
  /** Denominators of the windows, added up. */
  readonly nReplay: number
  readonly nWith: number
  /** Means of the windows' values by n. */
  readonly replay: number
  readonly with: number
  /** 95%; null where the metric has none. */
  readonly intervalReplay: readonly [number, number] | null
  readonly intervalWith: readonly [number, number] | null
}

interface Row {
  readonly metric: string
  readonly size: number
  readonly windows: number
  readonly nr: number
  readonly nw: number
  readonly vr: number
  readonly vw: number
  readonly er: number | null
  readonly ew: number | null
}

/** Windows of a size count if they hold nearly all that the size with the most holds. */
const nearlyAll = 0.9
const normal95 = 1.959_964

/**
 * The longest windows that hold nearly all rows, since windows of a length add up to the others and fewer of them part a
 * user's rows less often. The standard error of a window is a quarter of its interval's width; windows are taken for
 * independent, so a user who is in several makes the interval a little too narrow.
 */
export async function compareQuality(
  tables: QueriedTables,
  { database, replay, with: other }: Runs,
): Promise<QualityFigure[]> {
  const mine = `run = ${sqlText(replay)}`
  const window = `SELECT metric, toFloat64(window_end - window_start) * 1000 AS size, window_start,
      countIf(${mine}) AS r, countIf(NOT ${mine}) AS w,
      anyIf(value, ${mine}) AS rv, anyIf(value, NOT ${mine}) AS wv, anyIf(toFloat64(n), ${mine}) AS rn, anyIf(toFloat64(n), NOT ${mine}) AS wn,
      anyIf(high - low, ${mine}) AS re, anyIf(high - low, NOT ${mine}) AS we
    FROM ${database}.v_quality_runs
    WHERE run IN (${sqlText(replay)}, ${sqlText(other)}) AND segment = '' AND policy = '' AND arm = '' AND surface = ''
    GROUP BY metric, size, window_start
    HAVING r > 0 AND w > 0 AND isNotNull(rv) AND isNotNull(wv) AND rn > 0 AND wn > 0`
  const error = (width: string, n: string): string =>
    `if(countIf(isNull(${width})) = 0, sqrt(sum(pow(${n} * ${width} / ${2 * normal95}, 2))) / sum(${n}), NULL)`
  const rows = await tables.query<Row>(
    `SELECT metric, size, toUInt32(count()) AS windows, sum(rn) AS nr, sum(wn) AS nw,
       sum(rn * rv) / sum(rn) AS vr, sum(wn * wv) / sum(wn) AS vw, ${error('re', 'rn')} AS er, ${error('we', 'wn')} AS ew
     FROM (${window}) GROUP BY metric, size ORDER BY metric, size DESC`,
  )
  const metrics = [...new Set(rows.map(({ metric }) => metric))]
  return metrics.map(metric => {
    const sizes = rows.filter(row => row.metric === metric)
    const most = Math.max(...sizes.map(({ nw }) => nw))
    const row = sizes.find(({ nw }) => nw >= nearlyAll * most) ?? sizes[0]
    return {
      metric,
      windowMs: row.size,
      windows: row.windows,
      nReplay: row.nr,
      nWith: row.nw,
      replay: row.vr,
      with: row.vw,
      intervalReplay: interval(row.vr, row.er),
      intervalWith: interval(row.vw, row.ew),
    }
  })
}

function interval(value: number, error: number | null): readonly [number, number] | null {
  return error === null ? null : [value - normal95 * error, value + normal95 * error]
}

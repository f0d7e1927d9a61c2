/**
 * Figures of two runs in ClickHouse, joined by their natural keys. Both runs' rows come from one query over `v_<table>_runs`,
 * grouped by key, so that no join has to hold a run in memory.
 *
 * Compared are windows that lie within the time that both runs have rows of; the others are counted as outside. What follows
 * from the log alone is told apart from what depends on models, on lists that were drawn, or on the machine: the first has to
 * be equal wherever the same records were read.
 */
import { sqlText } from '../../sinks/clickhouse/sql-text.ts'
import { featureNames } from '../../topologies/blend/features.ts'

export interface QueriedTables {
  query<T>(sql: string): Promise<T[]>
}

/** Two runs' rows: names as the column `run` has them. */
export interface Runs {
  readonly database: string
  readonly replay: string
  readonly with: string
}

interface Compared {
  readonly table: string
  readonly key: readonly string[]
  /** Name and value of each figure of a row. */
  readonly figures: readonly (readonly [name: string, value: string])[]
  /** Columns of a window; one moment stands for both in `experiments`. */
  readonly window: readonly [start: string, end: string]
  /** Holds for rows that do not follow from the log alone. */
  readonly soft: string
}

const windows = ['window_start', 'window_end'] as const

const softSubjects = `(startsWith(subject, 'latency:') OR startsWith(subject, 'embedding:') OR subject IN (${featureNames
  .map(name => sqlText(`feature:${name}`))
  .join(', ')}))`
/** What a process knows of an item when it is shown, or who made it. */
const softMetrics = [
  'novelty',
  'repeat_rate',
  'new_items_share',
  'restricted_share',
  'creators',
  'gini_creators',
  'top_creators_share',
]

const ofBin = ['mean_prediction', 'mean_label']
const ofWindow = ['ece', 'normalised_entropy', 'expected_observed', 'log_loss', 'brier']

const compared: readonly Compared[] = [
  {
    table: 'drift',
    key: ['subject', 'segment', ...windows, 'profile', 'statistic'],
    figures: [["if(profile = 'freshet', statistic, concat(profile, ' ', statistic))", 'value']],
    window: windows,
    soft: softSubjects,
  },
  {
    table: 'histograms',
    key: ['subject', 'segment', ...windows, 'edges_id'],
    // sums that differ wherever a count does but by the rarest chance
    figures: [
      ["'n'", 'toFloat64(n)'],
      ["'counts'", 'toFloat64(cityHash64(counts, missing) % 1000000007)'],
    ],
    window: windows,
    // a reference is frozen once its windows have closed, and windows are counted in its groups from then on
    soft: `(${softSubjects} OR startsWith(edges_id, 'reference:') OR position(edges_id, '@') > 0)`,
  },
  {
    table: 'calibration',
    key: ['model', 'segment', ...windows, 'bin'],
    figures: [...ofBin, ...ofWindow].map(name => [`'${name}'`, name]),
    window: windows,
    soft: '0',
  },
  {
    table: 'evaluation',
    key: ['metric', 'segment', ...windows, 'policy_evaluated', 'policy_logged', 'estimator'],
    figures: [["concat(metric, ' ', estimator)", 'value']],
    window: windows,
    soft: '1',
  },
  {
    table: 'quality',
    key: ['metric', 'segment', ...windows, 'policy', 'arm', 'surface'],
    figures: [['metric', 'value']],
    window: windows,
    soft: `metric IN (${softMetrics.map(sqlText).join(', ')})`,
  },
  {
    table: 'experiments',
    key: ['experiment', 'metric', 'time', 'arm'],
    figures: [
      ["concat(metric, ' mean')", 'mean'],
      ["concat(metric, ' effect')", 'effect'],
    ],
    window: ['time', 'time'],
    // how long lists took
    soft: "startsWith(metric, 'slow_lists')",
  },
]

export type ComparedTable =
  | 'drift'
  | 'histograms'
  | 'calibration'
  | 'evaluation'
  | 'quality'
  | 'experiments'

/** Figures that both runs have, those of them that are equal within 1e-9, and those that one has alone. */
export interface Agreement {
  readonly both: number
  readonly equal: number
  readonly onlyReplay: number
  readonly onlyWith: number
}

export interface FigureOfTable extends Agreement {
  /** Statistic, metric or column. */
  readonly figure: string
  /** It does not follow from the log alone. */
  readonly soft: boolean
  /** Of figures that both can tell. */
  readonly meanDifference: number | null
  readonly largestDifference: number | null
}

export interface RowDifference {
  readonly figure: string
  /** The natural key, in words. */
  readonly key: string
  /** ms. */
  readonly from: number
  readonly to: number
  readonly replay: number | null
  readonly with: number | null
}

export interface TableFigures {
  readonly table: ComparedTable
  readonly rowsReplay: number
  readonly rowsWith: number
  /** The time that both have rows of, ms; null where one has none. */
  readonly extent: readonly [number, number] | null
  /** Rows of windows that do not lie within it. */
  readonly outside: number
  /** Of what follows from the log alone. */
  readonly exact: Agreement
  readonly soft: Agreement
  readonly figures: readonly FigureOfTable[]
  readonly largest: readonly RowDifference[]
}

export async function compareTables(tables: QueriedTables, runs: Runs): Promise<TableFigures[]> {
  const found: TableFigures[] = []
  for (const spec of compared) found.push(await compareTable(tables, runs, spec))
  return found
}

interface ExtentRow {
  readonly run: string
  readonly rows: number
  readonly start: number
  readonly end: number
}

const ms = (column: string): string => `toFloat64(toUnixTimestamp64Milli(${column}))`

async function compareTable(
  tables: QueriedTables,
  runs: Runs,
  spec: Compared,
): Promise<TableFigures> {
  const { table, window } = spec
  const extents = await tables.query<ExtentRow>(
    `SELECT run, toUInt32(count()) AS rows, ${ms(`min(${window[0]})`)} AS start, ${ms(`max(${window[1]})`)} AS end
     FROM ${runs.database}.v_${table}_runs WHERE ${ofRuns(runs)} GROUP BY run`,
  )
  const [replay, other] = [runs.replay, runs.with].map(run => extents.find(row => row.run === run))
  const base = {
    table: table as ComparedTable,
    rowsReplay: replay?.rows ?? 0,
    rowsWith: other?.rows ?? 0,
  }
  if (!replay || !other)
    return {
      ...base,
      extent: null,
      outside: 0,
      exact: agreement([]),
      soft: agreement([]),
      figures: [],
      largest: [],
    }
  const from = Math.max(replay.start, other.start)
  const to = Math.min(replay.end, other.end)
  const within = `${ms(window[0])} >= ${from} AND ${ms(window[1])} <= ${to}`
  const [{ outside }] = await tables.query<{ outside: number }>(
    `SELECT toUInt32(countIf(NOT (${within}))) AS outside FROM ${runs.database}.v_${table}_runs WHERE ${ofRuns(runs)}`,
  )
  const joined = joinedRows(runs, spec, within)
  const found = await tables.query<Omit<FigureOfTable, 'soft'> & { soft: number }>(
    `SELECT figure, toUInt8(soft) AS soft, toUInt32(countIf(r AND w)) AS both, toUInt32(countIf(r AND w AND same)) AS equal,
       toUInt32(countIf(NOT w)) AS onlyReplay, toUInt32(countIf(NOT r)) AS onlyWith,
       avg(by) AS meanDifference, max(by) AS largestDifference
     FROM (${joined}) GROUP BY figure, soft ORDER BY soft, figure`,
  )
  const figures = found.map(row => ({ ...row, soft: row.soft === 1 }))
  const largest = await tables.query<RowDifference>(
    `SELECT figure, name AS key, start AS from, end AS to, rv AS replay, wv AS with
     FROM (${joined}) WHERE r AND w AND NOT same
     ORDER BY soft, by / (abs(rv) + abs(wv)) DESC NULLS FIRST, by DESC, name, start LIMIT 2 BY figure LIMIT 20`,
  )
  return {
    ...base,
    extent: from < to || (from === to && window[0] === window[1]) ? [from, to] : null,
    outside,
    exact: agreement(figures.filter(({ soft }) => !soft)),
    soft: agreement(figures.filter(({ soft }) => soft)),
    figures,
    // a hash of counts has no size
    largest: largest.filter(({ figure }) => figure !== 'counts'),
  }
}

function agreement(figures: readonly FigureOfTable[]): Agreement {
  const sum = (count: (row: FigureOfTable) => number): number =>
    figures.reduce((total, row) => total + count(row), 0)
  return {
    both: sum(row => row.both),
    equal: sum(row => row.equal),
    onlyReplay: sum(row => row.onlyReplay),
    onlyWith: sum(row => row.onlyWith),
  }
}

const ofRuns = ({ replay, with: other }: Runs): string =>
  `run IN (${sqlText(replay)}, ${sqlText(other)})`

/** One row a figure and key: `r`, `w` whether each run has it, `rv`, `wv` its values, `by` how far apart, `same` within 1e-9. */
function joinedRows(
  runs: Runs,
  { table, key, figures, window, soft }: Compared,
  within: string,
): string {
  const pairs = figures.map(
    ([name, value]) => `(toString(${name}), toNullable(toFloat64(${value})))`,
  )
  const words = key
    .filter(column => !window.includes(column))
    .map(column => `toString(${column})`)
    .join(", ' ', ")
  const rows = `SELECT ${key.map(column => `${column} AS k_${column}`).join(', ')}, run = ${sqlText(runs.replay)} AS mine,
      arrayJoin([${pairs.join(', ')}]) AS pair, concat(${words}, '') AS words, ${soft} AS isSoft,
      ${ms(window[0])} AS since, ${ms(window[1])} AS until
    FROM ${runs.database}.v_${table}_runs WHERE ${ofRuns(runs)} AND ${within}`
  const grouped = `SELECT pair.1 AS figure, any(words) AS name, any(isSoft) AS soft, any(since) AS start, any(until) AS end,
      countIf(mine) > 0 AS r, countIf(NOT mine) > 0 AS w, anyIf(pair.2, mine) AS rv, anyIf(pair.2, NOT mine) AS wv
    FROM (${rows}) GROUP BY figure, ${key.map(column => `k_${column}`).join(', ')}`
  return `SELECT *, abs(rv - wv) AS by,
      (isNull(rv) AND isNull(wv)) OR ifNull(by <= 1e-12 + 1e-9 * greatest(abs(rv), abs(wv)), 0) AS same
    FROM (${grouped})`
}

/** How far drift's figures are apart, by time. */
export interface DriftPoint {
  readonly statistic: string
  /** ms. */
  readonly at: number
  /** Largest difference of a window that begins there or until the next point. */
  readonly difference: number
}

const plottedStatistics = ['psi', 'js', 'ks_d', 'missing_rate']
const mostPoints = 120

export async function driftOverTime(
  tables: QueriedTables,
  runs: Runs,
  extent: readonly [number, number],
): Promise<DriftPoint[]> {
  const [from, to] = extent
  const step = Math.max(60_000, Math.ceil((to - from) / mostPoints / 60_000) * 60_000)
  const spec = compared[0]
  const within = `${ms('window_start')} >= ${from} AND ${ms('window_end')} <= ${to} AND profile = 'freshet' AND statistic IN (${plottedStatistics.map(sqlText).join(', ')})`
  return tables.query<DriftPoint>(
    `SELECT figure AS statistic, ${from} + floor((start - ${from}) / ${step}) * ${step} AS at, max(by) AS difference
     FROM (${joinedRows(runs, spec, within)}) WHERE r AND w AND isNotNull(by) GROUP BY statistic, at ORDER BY statistic, at`,
  )
}

/**
 * What rules may judge: of each statistic table the columns that tell a series from another, those that hold a figure, and
 * how long a row's window is. Rows are those of the table as the stages give them: times in ms.
 */
import type { TableRow } from '../../streams/topology/outbox.ts'

export const judgedTables = [
  'drift',
  'calibration',
  'evaluation',
  'quality',
  'experiments',
  'pipeline',
] as const
export type JudgedTable = (typeof judgedTables)[number]

interface Column {
  /** The columns that tell its series, where they are fewer than the table's: a figure that several rows repeat. */
  readonly of?: readonly string[]
  /** A text that is judged by `is`, not a number. */
  readonly text?: boolean
  /** The table's n does not say what this one is made of. */
  readonly withoutN?: boolean
}

export interface TableSpec {
  /** Windows of event time; else a row stands for the moment in `time`. */
  readonly windows: boolean
  /** With `segment`, where the table has it. The first is what the row is about. */
  readonly keys: readonly string[]
  /** Of these, those where '' stands for all there is. */
  readonly parts: readonly string[]
  readonly columns: Readonly<Record<string, Column>>
  /** The column that says of how many rows a figure was made; undefined: nothing says so. */
  readonly n?: string
  /** Further columns that the query of an alert shows. */
  readonly shown: readonly string[]
}

const number: Column = {}
const ofWindow: Column = { of: ['model', 'segment'] }

export const tables: Readonly<Record<JudgedTable, TableSpec>> = {
  drift: {
    windows: true,
    keys: ['subject', 'segment', 'profile', 'statistic'],
    parts: ['segment'],
    columns: { value: number },
    n: 'n_current',
    shown: ['threshold', 'n_current'],
  },
  calibration: {
    windows: true,
    keys: ['model', 'segment'],
    parts: ['segment'],
    // all of the whole window, the same in each of its bins
    columns: {
      ece: ofWindow,
      normalised_entropy: ofWindow,
      expected_observed: ofWindow,
      log_loss: ofWindow,
      brier: ofWindow,
      base_rate: ofWindow,
    },
    n: 'n_window',
    shown: [],
  },
  evaluation: {
    windows: true,
    keys: ['metric', 'segment', 'policy_evaluated', 'policy_logged', 'estimator'],
    parts: ['segment'],
    columns: { value: number, low: number, high: number, effective_sample_size: number },
    n: 'n',
    shown: ['low', 'high', 'n'],
  },
  quality: {
    windows: true,
    keys: ['metric', 'segment', 'policy', 'arm', 'surface'],
    parts: ['segment', 'policy', 'arm', 'surface'],
    columns: { value: number, low: number, high: number },
    n: 'n',
    shown: ['low', 'high', 'n'],
  },
  experiments: {
    windows: false,
    keys: ['experiment', 'metric', 'arm'],
    parts: [],
    columns: {
      mean: number,
      effect: number,
      low: number,
      high: number,
      p: number,
      p_adjusted: number,
      // of the whole experiment, whatever the metric and arm
      srm_p: { of: ['experiment'], withoutN: true },
      guardrail_verdict: { text: true },
    },
    n: 'n',
    shown: ['effect', 'low', 'high', 'n'],
  },
  pipeline: {
    windows: false,
    keys: ['topology', 'partition'],
    parts: [],
    columns: {
      lag: number,
      events_per_second: number,
      freshness_p50: number,
      freshness_p99: number,
      dead_letters: number,
      late: number,
      duplicates: number,
    },
    shown: ['lag', 'events_per_second'],
  },
}

/** The columns that tell a column's series. */
export function keysOf(table: JudgedTable, column: string): readonly string[] {
  return tables[table].columns[column]?.of ?? tables[table].keys
}

/** Does the table say of how many rows a column's figure is made? */
export function hasN(table: JudgedTable, column: string): boolean {
  return tables[table].n !== undefined && tables[table].columns[column]?.withoutN !== true
}

/** Start and end of what a row is of, ms; the same where it is of a moment. */
export function spanOf(table: JudgedTable, row: TableRow): { start: number; end: number } {
  if (!tables[table].windows) return { start: Number(row.time), end: Number(row.time) }
  return { start: Number(row.window_start), end: Number(row.window_end) }
}

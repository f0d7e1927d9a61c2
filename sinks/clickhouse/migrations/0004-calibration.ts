/**
 * Migration 4: what else is known of a window's calibration, the same in each of its bins: log loss, Brier's score and its
 * parts, how scores were read, and of how many rows each figure is made.
 */
import type { Migration } from '../migrate.ts'

const label = 'LowCardinality(String)'

const columns = [
  'log_loss Nullable(Float64)',
  'brier Nullable(Float64)',
  // Murphy's parts: the first two of the bins, so of the sample; the third of all rows
  'brier_reliability Nullable(Float64)',
  'brier_resolution Nullable(Float64)',
  'brier_uncertainty Nullable(Float64)',
  'base_rate Nullable(Float64)',
  // probability or logit
  `scores ${label}`,
  // rows behind the figures of the whole window, and behind bins and ece
  'n_window UInt64',
  'n_sample UInt64',
  // scores that are no number, or no probability where they are read as one
  'unusable UInt64',
  `reason ${label}`,
]

export const calibrationMigration: Migration = {
  number: 4,
  name: 'calibration',
  statements(database) {
    const name = `${database}.calibration`
    const rows = `SELECT * FROM ${name} FINAL`
    return [
      `ALTER TABLE ${name} ${columns.map(column => `ADD COLUMN IF NOT EXISTS ${column}`).join(', ')}`,
      // a view keeps the columns that it was made with
      `CREATE OR REPLACE VIEW ${database}.v_calibration AS ${rows} WHERE run = 'live'`,
      `CREATE OR REPLACE VIEW ${database}.v_calibration_runs AS ${rows}`,
    ]
  },
}

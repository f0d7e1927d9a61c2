/** Migration 6: what an experiment's figures need beside the contract's columns. */
import type { Migration } from '../migrate.ts'

const columns = [
  // p adjusted for the declared metrics and arms being several (experiments.adjust); null where the metric is not declared
  'p_adjusted Nullable(Float64)',
  // why effect, interval or p is null; '' where they stand
  'reason LowCardinality(String)',
]

export const experimentsMigration: Migration = {
  number: 6,
  name: 'experiments',
  statements(database) {
    const name = `${database}.experiments`
    const rows = `SELECT * FROM ${name} FINAL`
    return [
      `ALTER TABLE ${name} ${columns.map(column => `ADD COLUMN IF NOT EXISTS ${column}`).join(', ')}`,
      // a view keeps the columns that it was made with
      `CREATE OR REPLACE VIEW ${database}.v_experiments AS ${rows} WHERE run = 'live'`,
      `CREATE OR REPLACE VIEW ${database}.v_experiments_runs AS ${rows}`,
    ]
  },
}

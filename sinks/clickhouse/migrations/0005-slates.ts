/**
 * Migration 5: what a model that did not rank a sampled list would have ranked it by, so that it can be evaluated on the log.
 * Rows of before have none.
 */
import type { Migration } from '../migrate.ts'

const columns = [
  // candidates x features, row-major, in the registry's order; empty where the list was ranked without
  'ranker_features Array(Float32)',
  'feature_hash LowCardinality(String)',
  // which of the user's buckets it was ranked for
  'bucket UInt8',
  // what fatigue and creators' weights add to each candidate's logit, whoever ranks
  'log_weights Array(Float64)',
]

export const slatesMigration: Migration = {
  number: 5,
  name: 'slates',
  statements(database) {
    const name = `${database}.slates`
    const rows = `SELECT * EXCEPT (inserted_at) FROM ${name} FINAL`
    return [
      `ALTER TABLE ${name} ${columns.map(column => `ADD COLUMN IF NOT EXISTS ${column}`).join(', ')}`,
      // a view keeps the columns that it was made with
      `CREATE OR REPLACE VIEW ${database}.v_slates AS ${rows} WHERE run = 'live'`,
      `CREATE OR REPLACE VIEW ${database}.v_slates_runs AS ${rows}`,
    ]
  },
}

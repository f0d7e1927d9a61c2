/**
 * Migration 2: what an impression came to, beyond watched or not: its objectives, the feedback given, the graded quantile
 * and the target that learners are given. Columns that an older freshet does not write have their type's default.
 */
import type { Migration } from '../migrate.ts'

const columns = [
  // a click or a play that was joined; null until the label is known, as are those below
  'clicked Nullable(Bool)',
  'completed Nullable(Bool)',
  // another session of the user in time; null where it is not asked for or not known yet
  'returned Nullable(Bool)',
  'feedback Array(LowCardinality(String))',
  // share watched as its quantile among plays of like duration; 0 without a play
  'graded_quantile Nullable(Float32)',
  // the declared mix of objectives and feedback (labels.objectives, labels.feedback), in [0, 1]
  'target Nullable(Float32)',
]

export const outcomesMigration: Migration = {
  number: 2,
  name: 'outcomes',
  statements(database) {
    const name = `${database}.examples`
    const rows = `SELECT * EXCEPT (inserted_at) FROM ${name} FINAL`
    return [
      `ALTER TABLE ${name} ${columns.map(column => `ADD COLUMN IF NOT EXISTS ${column}`).join(', ')}`,
      // a view keeps the columns that it was made with
      `CREATE OR REPLACE VIEW ${database}.v_examples AS ${rows} WHERE run = 'live'`,
      `CREATE OR REPLACE VIEW ${database}.v_examples_runs AS ${rows}`,
    ]
  },
}

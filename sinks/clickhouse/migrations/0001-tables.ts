/**
 * Migration 1: the tables of the contract. Columns carry the contract's words.
 *
 * Every table has `run` ('live' or a replay's name) and `revision`; the natural key is the sorting key, so a repeated row
 * is the same row and a correction is a newer revision. The partition is a function of the key: ReplacingMergeTree only
 * replaces within a partition. Times are DateTime64(3, 'UTC'), inserted as whole milliseconds.
 * `inserted_at` bounds the life of personal rows by when they were stored, not by event time: an import of an old log or
 * a replay would otherwise lose its rows at the first merge. Views leave it out: it changes when a block is repeated.
 *
 * What was applied once is never edited here: a change is the next migration.
 */
import type { Migration } from '../migrate.ts'

const time = "DateTime64(3, 'UTC')"
const label = 'LowCardinality(String)'

interface Table {
  readonly name: string
  readonly columns: readonly string[]
  readonly partition: string
  readonly key: readonly string[]
  readonly expires?: boolean
}

const window = [`window_start ${time}`, `window_end ${time}`]
const windowMonth = 'toYYYYMM(window_start)'

const tables: readonly Table[] = [
  {
    name: 'drift',
    columns: [
      `subject ${label}`,
      `segment ${label}`,
      ...window,
      `profile ${label}`,
      `statistic ${label}`,
      // null where it cannot be told; `reason` says why
      'value Nullable(Float64)',
      'threshold Nullable(Float64)',
      'alert Bool',
      `reason ${label}`,
      `reference ${label}`,
      'n_reference UInt64',
      'n_current UInt64',
    ],
    partition: windowMonth,
    key: ['subject', 'segment', 'window_start', 'window_end', 'profile', 'statistic'],
  },
  {
    name: 'histograms',
    columns: [
      `subject ${label}`,
      `segment ${label}`,
      ...window,
      `edges_id ${label}`,
      // upper bounds of all bins but the last; empty for categories
      'edges Array(Float64)',
      // names of the bins of a categorical subject; empty for numbers
      'categories Array(String)',
      'counts Array(UInt64)',
      'missing UInt64',
      'n UInt64',
      // counts of each of the user-hash shards, by shard and bin
      'shards Array(Array(UInt64))',
    ],
    partition: windowMonth,
    key: ['subject', 'segment', 'window_start', 'window_end', 'edges_id'],
  },
  {
    name: 'calibration',
    columns: [
      ...window,
      `model ${label}`,
      `segment ${label}`,
      'bin UInt16',
      'mean_prediction Nullable(Float64)',
      'mean_label Nullable(Float64)',
      'n UInt64',
      // of the whole window, the same in each of its bins
      'ece Nullable(Float64)',
      'normalised_entropy Nullable(Float64)',
      'expected_observed Nullable(Float64)',
    ],
    partition: windowMonth,
    key: ['model', 'segment', 'window_start', 'window_end', 'bin'],
  },
  {
    name: 'evaluation',
    columns: [
      ...window,
      `policy_evaluated ${label}`,
      `policy_logged ${label}`,
      `metric ${label}`,
      `segment ${label}`,
      `estimator ${label}`,
      'value Nullable(Float64)',
      'low Nullable(Float64)',
      'high Nullable(Float64)',
      'n UInt64',
      'effective_sample_size Nullable(Float64)',
      // the reason; '' where the estimate stands
      'refused String',
    ],
    partition: windowMonth,
    key: [
      'metric',
      'segment',
      'window_start',
      'window_end',
      'policy_evaluated',
      'policy_logged',
      'estimator',
    ],
  },
  {
    name: 'quality',
    columns: [
      ...window,
      `policy ${label}`,
      `arm ${label}`,
      `surface ${label}`,
      `segment ${label}`,
      `metric ${label}`,
      'value Nullable(Float64)',
      'low Nullable(Float64)',
      'high Nullable(Float64)',
      'n UInt64',
    ],
    partition: windowMonth,
    key: ['metric', 'segment', 'window_start', 'window_end', 'policy', 'arm', 'surface'],
  },
  {
    name: 'experiments',
    columns: [
      `time ${time}`,
      `experiment ${label}`,
      `metric ${label}`,
      `arm ${label}`,
      'n UInt64',
      'mean Nullable(Float64)',
      'effect Nullable(Float64)',
      'low Nullable(Float64)',
      'high Nullable(Float64)',
      'p Nullable(Float64)',
      'srm_p Nullable(Float64)',
      `guardrail_verdict ${label}`,
    ],
    partition: 'toYYYYMM(time)',
    key: ['experiment', 'metric', 'time', 'arm'],
  },
  {
    name: 'examples',
    columns: [
      // when it was shown; a later label keeps it, so the row stays in its partition
      `ts ${time}`,
      'request String',
      // HMAC-SHA256 of the user id under the key that `user_key` names
      'user String',
      `user_key ${label}`,
      'item String',
      'position UInt16',
      'propensity Nullable(Float64)',
      `policy ${label}`,
      `model ${label}`,
      `surface ${label}`,
      `cohort ${label}`,
      `experiments Map(${label}, ${label})`,
      'explore Bool',
      `source ${label}`,
      'list_version String',
      `feature_hash ${label}`,
      'features Array(Float32)',
      'prediction Nullable(Float64)',
      // 1 positive, 0 not; null until it is known
      'label Nullable(Float32)',
      // share watched, capped at 1
      'graded Nullable(Float32)',
      'watched_ms Nullable(UInt64)',
    ],
    partition: 'toDate(ts)',
    key: ['user', 'request', 'item', 'ts'],
    expires: true,
  },
  {
    name: 'slates',
    columns: [
      `ts ${time}`,
      'list_version String',
      'user String',
      `user_key ${label}`,
      `surface ${label}`,
      `policy ${label}`,
      `model ${label}`,
      'temperature Float64',
      'seed UInt64',
      `candidates Array(Tuple(item String, source ${label}, weight Float64, features Array(Float32)))`,
      'list Array(String)',
      'propensities Array(Float64)',
    ],
    partition: 'toDate(ts)',
    key: ['user', 'surface', 'list_version', 'ts'],
    expires: true,
  },
  {
    name: 'alerts',
    columns: [
      `rule ${label}`,
      `since ${time}`,
      `until Nullable(${time})`,
      `subject ${label}`,
      `segment ${label}`,
      'value Nullable(Float64)',
      'threshold Nullable(Float64)',
      'query String',
      'message String',
    ],
    partition: 'toYYYYMM(since)',
    key: ['rule', 'subject', 'segment', 'since'],
  },
  {
    name: 'models',
    columns: [
      'sha256 String',
      `name ${label}`,
      `promoted_at ${time}`,
      'lineage String',
      'feature_hash String',
    ],
    partition: 'toYYYYMM(promoted_at)',
    key: ['name', 'promoted_at', 'sha256'],
  },
  {
    name: 'erasures',
    columns: [
      'pseudonym String',
      `asked ${time}`,
      `done Nullable(${time})`,
      `store ${label}`,
      'found UInt64',
      'removed UInt64',
      'found_after UInt64',
    ],
    partition: 'toYYYYMM(asked)',
    key: ['pseudonym', 'asked', 'store'],
  },
  {
    name: 'pipeline',
    columns: [
      `time ${time}`,
      `topology ${label}`,
      'partition UInt32',
      'lag UInt64',
      'events_per_second Float64',
      // ms
      'freshness_p50 Nullable(Float64)',
      'freshness_p99 Nullable(Float64)',
      'dead_letters UInt64',
      'late UInt64',
      'duplicates UInt64',
    ],
    partition: 'toYYYYMM(time)',
    key: ['topology', 'partition', 'time'],
  },
]

export const tablesMigration: Migration = {
  number: 1,
  name: 'tables',
  statements: database => tables.flatMap(table => create(database, table)),
}

function create(database: string, table: Table): string[] {
  const columns = [`run ${label}`, ...table.columns, 'revision UInt64']
  if (table.expires) columns.push('inserted_at DateTime DEFAULT now()')
  const hidden = table.expires ? ' EXCEPT (inserted_at)' : ''
  const name = `${database}.${table.name}`
  return [
    `CREATE TABLE IF NOT EXISTS ${name} (${columns.join(', ')})
     ENGINE = ReplacingMergeTree(revision)
     PARTITION BY ${table.partition}
     ORDER BY (run, ${table.key.join(', ')})${table.expires ? '\n     SETTINGS ttl_only_drop_parts = 1' : ''}`,
    `CREATE VIEW IF NOT EXISTS ${database}.v_${table.name} AS
     SELECT *${hidden} FROM ${name} FINAL WHERE run = 'live'`,
    `CREATE VIEW IF NOT EXISTS ${database}.v_${table.name}_runs AS SELECT *${hidden} FROM ${name} FINAL`,
  ]
}

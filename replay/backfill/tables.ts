/** The tables that can be filled again from the log: their keys, and what it takes to have their rows right. */

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

export interface BackfillTable {
  /** The column that says when a row is: the window's beginning, or the time itself. */
  readonly time: string
  /** The sorting key behind `run`: rows with the same are the same row. */
  readonly key: readonly string[]
  /** Topologies, beside `sessions`, that write it. */
  readonly topologies: readonly string[]
  /** Columns that only the live system knows: where the recomputed row has none, live's stay. */
  readonly keeps: readonly string[]
  /** Subjects and metrics that are not of the log alone: live's rows stay. */
  readonly leaves: readonly string[]
}

/** Of when the process ran, not of the log. */
const ofProcess = ['latency:topk', 'embedding:items']
/** Of the catalog and of counts as they stood then: the log of items keeps what is true now. */
const ofCatalog = [
  'novelty',
  'new_items_share',
  'restricted_share',
  'creators',
  'gini_creators',
  'top_creators_share',
]

const window = ['window_start', 'window_end']
const figures = ['labels', 'drift', 'quality']

export const backfillTableSpecs: Readonly<Record<string, BackfillTable>> = {
  drift: {
    time: 'window_start',
    key: ['subject', 'segment', ...window, 'profile', 'statistic'],
    topologies: ['drift'],
    keeps: [],
    leaves: ofProcess,
  },
  histograms: {
    time: 'window_start',
    key: ['subject', 'segment', ...window, 'edges_id'],
    topologies: ['drift'],
    keeps: [],
    leaves: ofProcess,
  },
  calibration: {
    time: 'window_start',
    key: ['model', 'segment', ...window, 'bin'],
    topologies: figures,
    keeps: [],
    leaves: [],
  },
  quality: {
    time: 'window_start',
    key: ['metric', 'segment', ...window, 'policy', 'arm', 'surface'],
    topologies: figures,
    keeps: [],
    leaves: ofCatalog,
  },
  // of lists as live drew them: replay/backfill/evaluation.ts
  evaluation: {
    time: 'window_start',
    key: ['metric', 'segment', ...window, 'policy_evaluated', 'policy_logged', 'estimator'],
    topologies: [],
    keeps: [],
    leaves: ['dr'],
  },
  experiments: {
    time: 'time',
    key: ['experiment', 'metric', 'time', 'arm'],
    topologies: ['labels', 'drift', 'experiments'],
    keeps: [],
    // what was decided then stays decided
    leaves: ['slow_lists', 'restricted_share', 'verdict'],
  },
  examples: {
    time: 'ts',
    key: ['user', 'request', 'item', 'ts'],
    topologies: ['labels'],
    // lists were ranked once, with what was known then
    keeps: ['features', 'feature_hash'],
    leaves: [],
  },
}

export { dayMs, hourMs, minuteMs }

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
}

const window = ['window_start', 'window_end']
const figures = ['labels', 'drift', 'quality']

export const backfillTableSpecs: Readonly<Record<string, BackfillTable>> = {
  drift: {
    time: 'window_start',
    key: ['subject', 'segment', ...window, 'profile', 'statistic'],
    topologies: ['drift'],
    keeps: [],
  },
  histograms: {
    time: 'window_start',
    key: ['subject', 'segment', ...window, 'edges_id'],
    topologies: ['drift'],
    keeps: [],
  },
  calibration: {
    time: 'window_start',
    key: ['model', 'segment', ...window, 'bin'],
    topologies: figures,
    keeps: [],
  },
  quality: {
    time: 'window_start',
    key: ['metric', 'segment', ...window, 'policy', 'arm', 'surface'],
    topologies: figures,
    keeps: [],
  },
  experiments: {
    time: 'time',
    key: ['experiment', 'metric', 'time', 'arm'],
    topologies: ['labels', 'drift', 'experiments'],
    keeps: [],
  },
  examples: {
    time: 'ts',
    key: ['user', 'request', 'item', 'ts'],
    topologies: ['labels'],
    // lists were ranked once, with what was known then
    keeps: ['features', 'feature_hash'],
  },
}

export { dayMs, hourMs, minuteMs }

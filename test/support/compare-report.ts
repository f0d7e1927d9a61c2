/** A comparison's report with something in every section, for tests of what is made of it. */
import { distributionOf } from '../../replay/compare/distribution.ts'
import { type CompareReport, checksOf, parseTolerances } from '../../replay/compare/report.ts'
import { randomFrom } from '../../streams/serde/hash.ts'
import { featureNames } from '../../topologies/blend/features.ts'

const t0 = Date.UTC(2026, 10, 30, 9)
const hour = 3_600_000

export function compareReport(change: Partial<CompareReport> = {}): CompareReport {
  const random = randomFrom(7)
  const rbo = Array.from({ length: 1_800 }, () => 1 - 0.6 * random() ** 3)
  const digest = {
    sessions: 'a'.repeat(64),
    labels: 'b'.repeat(64),
    counts: 'c'.repeat(64),
    histograms: 'd'.repeat(64),
  }
  const lists = {
    both: rbo.length,
    onlyReplay: 12,
    onlyWith: 3,
    identical: 410,
    rbo: distributionOf(rbo),
    overlap10: distributionOf(rbo.map(value => Math.round(value * 10) / 10)),
    worst: [{ of: 'f'.repeat(64), surface: 'home', rbo: 0.41, overlap10: 0.5 }],
  }
  const agreement = { both: 4_000, equal: 3_990, onlyReplay: 4, onlyWith: 6 }
  const report: Omit<CompareReport, 'checks'> = {
    replay: 'half-life-3d',
    with: 'live',
    at: t0 + 4 * hour,
    options: { 'covisit.halfLife': { replay: '259200000', with: '604800000' } },
    state: { replay: 'empty', with: '' },
    positions: {
      replay: { 'events-0': 500_000, 'erasures-0': 3, 'items-0': 2_000 },
      with: { 'events-0': 500_000, 'erasures-0': 3, 'items-0': 2_000 },
      behind: 0,
      ahead: 0,
      same: true,
    },
    exact: { sessions: true, labels: true, counts: true, histograms: false },
    exactReason: '',
    digest: { replay: digest, with: { ...digest, histograms: 'e'.repeat(64) } },
    counts: {
      atReplay: t0 + 3 * hour,
      atWith: t0 + 3 * hour,
      agreement: 1,
      sets: ['pop:5m', 'pop:24h', 'pop:trend'].map((set, k) => ({
        set,
        items: 1_000 - k,
        equal: 1_000 - k,
        onlyReplay: 0,
        onlyWith: 0,
        totalReplay: 40_000 + k,
        totalWith: 40_000 + k,
        agreement: 1,
      })),
      largest: [{ set: 'pop:trend', item: 'i7', replay: 3.2, with: 3.1 }],
    },
    sessions: {
      users: 2_000,
      both: 1_900,
      onlyReplay: 100,
      onlyWith: 0,
      equal: 1_899,
      sameMoment: 1_900,
      equalOfSameMoment: 1_899,
      fields: [
        { field: 'session_id', equal: 1_900, largest: null },
        { field: 'watched_ms', equal: 1_899, largest: 30_000 },
      ],
      examples: [{ user: 'f'.repeat(64), field: 'watched_ms', replay: '60000', with: '30000' }],
    },
    lists: {
      users: lists,
      bySurface: [
        { surface: 'home', both: 1_000, rbo: 0.86 },
        { surface: 'shorts', both: 800, rbo: 0.84 },
      ],
      shared: {
        ...lists,
        both: 12,
        identical: 0,
        rbo: distributionOf(rbo.slice(0, 12)),
        worst: [],
      },
    },
    tables: (
      ['drift', 'histograms', 'calibration', 'evaluation', 'quality', 'experiments'] as const
    ).map(table => ({
      table,
      rowsReplay: 4_100,
      rowsWith: 4_200,
      extent: [t0, t0 + 3 * hour] as const,
      outside: 80,
      exact: agreement,
      soft:
        table === 'drift'
          ? { ...agreement, equal: 2_100 }
          : { both: 0, equal: 0, onlyReplay: 0, onlyWith: 0 },
      figures: [
        {
          figure: 'psi',
          soft: false,
          ...agreement,
          meanDifference: 0.00002,
          largestDifference: 0.013,
        },
      ],
      largest: [
        {
          figure: 'psi',
          key: 'feature:watched_ratio freshet psi',
          from: t0,
          to: t0 + hour,
          replay: 0.031,
          with: 0.018,
        },
      ],
    })),
    driftOverTime: ['psi', 'js', 'ks_d'].flatMap((statistic, s) =>
      Array.from({ length: 60 }, (_, k) => ({
        statistic,
        at: t0 + k * 180_000,
        difference: k % 7 === 0 ? (0.01 * random()) / (s + 1) : 0,
      })),
    ),
    quality: ['ctr', 'watch_time', 'ndcg@10', 'session_length', 'coverage'].map((metric, k) => ({
      metric,
      windowMs: 60_000,
      windows: 180,
      nReplay: 100_000,
      nWith: 100_000,
      replay: 0.12 * 9 ** k * 1.002,
      with: 0.12 * 9 ** k,
      intervalReplay: metric === 'coverage' ? null : ([0.119 * 9 ** k, 0.1215 * 9 ** k] as const),
      intervalWith: metric === 'coverage' ? null : ([0.1185 * 9 ** k, 0.1212 * 9 ** k] as const),
    })),
    prequential: {
      plays: 20_000,
      predicted: 4_000,
      from: t0,
      to: t0 + hour,
      metrics: (['recall@10', 'ndcg@10', 'mrr@10'] as const).map(metric => ({
        metric,
        replay: 0.21,
        with: 0.2,
        difference: 0.01,
        interval: [0.004, 0.016] as const,
      })),
    },
    parity: {
      tolerance: 0.05,
      every: 1,
      both: 90_000,
      served: 81_000,
      recomputed: 88_000,
      compared: 80_000,
      otherRegistry: 0,
      equal: 77_000,
      equalValues: 0.991,
      features: featureNames.map((feature, k) => ({
        feature,
        equal: Math.min(1, 0.96 + k / 400),
        correlation: k === 3 ? null : 0.998,
        meanDifference: -0.002 / (k + 1),
        meanAbsolute: 0.004 / (k + 1),
        p95Absolute: 0.01 / (k + 1),
        largest: 0.4 / (k + 1),
      })),
      examples: [
        {
          user: 'f'.repeat(64),
          request: 'r1',
          item: '<script>alert(1)</script>',
          ts: t0,
          feature: 'item.age',
          served: 0.41,
          recomputed: 0.4,
        },
      ],
    },
    notes: ['a note with <b>marks</b> & "quotes"'],
    ...change,
  }
  return { ...report, checks: change.checks ?? checksOf(report, parseTolerances([])) }
}

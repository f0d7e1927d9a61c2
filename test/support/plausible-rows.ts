/**
 * Rows of the statistic tables: drift, histograms and alerts as the real stages write them, the others made up so that they
 * look like what is written. Times end shortly before `now`, as dashboards and the cookbook look at the newest days. For tests.
 */
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { minute, Pipeline, play, t0 } from './drift-pipeline.ts'

const hour = 60 * minute
const day = 24 * hour
const policies = ['blend-pl@3', 'blend-pl@4']
const surfaces = ['home', 'shorts']
const arms = ['rank7=a', 'rank7=b']

const floor = (ms: number, size: number): number => Math.floor(ms / size) * size

/** Four hours of plays, of which the last is shifted: `drift`, `histograms` and `alerts`. */
export function driftHours(now: number): Map<string, readonly TableRow[]> {
  const pipeline = new Pipeline(2, 1, { 'drift.reference.windows': '60' })
  const start = (floor(now, hour) - 5 * hour - t0) / minute
  play(pipeline, 250, m => (m < start + 180 ? 0.45 : 0.65), start)
  return new Map(['drift', 'histograms', 'alerts'].map(table => [table, pipeline.rows(table)]))
}

/** Figures of two days of hours and of the last minutes, one subject of which drifts. */
export function driftRows(now: number): TableRow[] {
  const random = randomFrom(hash53('drift'))
  const rows: TableRow[] = []
  for (const [size, count] of [
    [day, 2],
    [hour, 40],
    [minute, 30],
  ])
    for (let back = count; back >= 1; back--)
      for (const subject of ['feature:watched_ratio', 'feature:position', 'prediction:ranker'])
        for (const segment of ['', 'surface=home']) {
          const value = (subject === 'feature:position' ? 0.1 : 0.005) * (0.5 + random())
          rows.push({
            ...window(floor(now, size) - back * size, size),
            subject,
            segment,
            profile: 'freshet',
            statistic: 'psi',
            value,
            threshold: 0.02,
            alert: value > 0.02,
            reason: '',
            reference: 'first',
            n_reference: 10_000,
            n_current: 5_000,
            revision: 1,
          })
        }
  return rows
}

/** One that is open and one that is over. */
export function alertRows(now: number): TableRow[] {
  return [9, 5].map((hours, k) => ({
    rule: 'drift_1h',
    since: floor(now, hour) - hours * hour,
    until: k === 0 ? floor(now, hour) - hours * hour + 4 * hour : null,
    subject: 'feature:position',
    segment: '',
    value: 0.1,
    threshold: 0.02,
    query: 'SELECT 1',
    message: 'feature:position: psi 0.1 is above 0.02 (5 times)',
    revision: k === 0 ? 2 : 1,
  }))
}

const window = (start: number, size: number) => ({ window_start: start, window_end: start + size })

export function calibrationRows(now: number): TableRow[] {
  const random = randomFrom(hash53('calibration'))
  const rows: TableRow[] = []
  for (const size of [hour, day])
    for (const back of size === day ? [1, 0] : [4, 3, 2])
      for (const model of ['ranker@1a2b3c', 'ranker@4d5e6f'])
        for (const segment of ['', 'surface=home', 'surface=shorts', 'cohort=de']) {
          const ratio = 0.7 + 0.7 * random()
          for (let bin = 0; bin < 10; bin++) {
            const mean = (bin + 0.5) / 12
            rows.push({
              ...window(floor(now, size) - back * size, size),
              model,
              segment,
              bin,
              mean_prediction: mean,
              mean_label: mean / ratio,
              n: segment === 'cohort=de' ? 9 : 150,
              n_window: segment === 'cohort=de' ? 90 : 2_500,
              ece: Math.abs(mean - mean / ratio),
              normalised_entropy: 0.8 + 0.1 * random(),
              expected_observed: ratio,
              revision: 1,
            })
          }
        }
  return rows
}

export function evaluationRows(now: number): TableRow[] {
  const random = randomFrom(hash53('evaluation'))
  const rows: TableRow[] = []
  for (const back of [3, 2, 1])
    for (const metric of ['click', 'watch_time'])
      for (const segment of ['', 'surface=home'])
        for (const estimator of ['ips_step', 'snips', 'dr']) {
          const isRefused = estimator === 'ips_step' && back === 3
          const value = 0.1 + 0.02 * random()
          rows.push({
            ...window(floor(now, hour) - back * hour, hour),
            policy_evaluated: policies[1],
            policy_logged: policies[0],
            metric,
            segment,
            estimator,
            value: isRefused ? null : value,
            low: isRefused ? null : value - 0.01,
            high: isRefused ? null : value + 0.01,
            n: 20_000,
            effective_sample_size: isRefused ? 210 : 4_000,
            refused: isRefused ? 'effective sample size 210 is below 500' : '',
            revision: 1,
          })
        }
  return rows
}

export function experimentRows(now: number): TableRow[] {
  const random = randomFrom(hash53('experiments'))
  const rows: TableRow[] = []
  for (let back = 12; back >= 0; back--)
    for (const experiment of ['rank7', 'exploration'])
      for (const metric of ['watch_time', 'watch_time.cuped', 'ctr', 'return_1d', 'verdict'])
        for (const arm of experiment === 'rank7' ? ['a', 'b'] : ['on', 'holdout']) {
          const isControl = arm === 'a' || arm === 'holdout'
          const effect = isControl || metric === 'verdict' ? null : 0.02 + 0.01 * random()
          rows.push({
            time: floor(now, 5 * minute) - back * 5 * minute,
            experiment,
            metric,
            arm,
            n: 5_000 - 100 * back,
            mean: 0.3 + 0.01 * random(),
            effect,
            low: effect === null ? null : effect - 0.03,
            high: effect === null ? null : effect + 0.03,
            p: effect === null ? null : random(),
            srm_p: 0.4,
            p_adjusted: null,
            guardrail_verdict: isControl ? '' : metric === 'verdict' ? 'hold' : 'open',
            revision: 1,
          })
        }
  return rows
}

const shares = ['ctr', 'return_1d', 'return_7d', 'return_1h', 'ndcg@10', 'mrr', 'report_rate']
const exposure = ['gini_creators', 'top_creators_share', 'creators', 'coverage']
const amounts = ['watch_time', 'session_watch_time', 'session_length', 'session_depth']

export function qualityRows(now: number): TableRow[] {
  const random = randomFrom(hash53('quality'))
  const rows: TableRow[] = []
  const parts = [
    ...['', ...policies].flatMap(policy =>
      ['', ...surfaces].map(surface => ({ policy, surface, arm: '', segment: '' })),
    ),
    ...arms.map(arm => ({ policy: '', surface: '', arm, segment: '' })),
    { policy: '', surface: '', arm: '', segment: 'cohort=de' },
  ]
  for (const [size, count] of [
    [day, 5],
    [hour, 30],
  ])
    for (let back = count; back >= 1; back--)
      for (const part of parts)
        for (const metric of [...shares, ...amounts, ...exposure]) {
          if (part.segment !== '' && exposure.includes(metric)) continue
          const value = amounts.includes(metric) ? 30 + 60 * random() : 0.05 + 0.3 * random()
          const interval = exposure.includes(metric)
            ? { low: null, high: null }
            : { low: value * 0.9, high: value * 1.1 }
          rows.push({
            ...window(floor(now, size) - back * size, size),
            ...part,
            metric,
            value,
            ...interval,
            n: 2_000 + Math.floor(random() * 1_000),
            revision: 1,
          })
        }
  return rows
}

export function pipelineRows(now: number): TableRow[] {
  const random = randomFrom(hash53('pipeline'))
  const rows: TableRow[] = []
  for (let k = 60; k >= 1; k--)
    for (const [topology, partitions] of [
      ['user', 4],
      ['item', 2],
    ] as const)
      for (let partition = 0; partition < partitions; partition++)
        rows.push({
          time: floor(now, 10_000) - k * 10_000,
          topology,
          partition,
          lag: Math.floor(random() * 200),
          events_per_second: 100 * (partition + 1),
          freshness_p50: topology === 'user' ? 120 + 20 * random() : null,
          freshness_p99: topology === 'user' ? 400 + 200 * random() : null,
          dead_letters: k % 17 === 0 ? 1 : 0,
          late: 0,
          duplicates: k % 5,
          revision: 1,
        })
  return rows
}

export function exampleRows(now: number): TableRow[] {
  const random = randomFrom(hash53('examples'))
  const rows: TableRow[] = []
  for (let request = 0; request < 300; request++) {
    const user = `user-${Math.floor(random() * 60)}`
    const age = 5 * minute + random() * 3 * day
    // none so near to a day ago that it is a day old while a test runs
    const ts = Math.floor(now - (Math.abs(age - day) < 10 * minute ? age + 20 * minute : age))
    const first = Math.floor(random() ** 2 * 40)
    for (let position = 0; position < 6; position++) {
      const labelled = now - ts > 40 * minute
      const positive = random() < 0.2
      rows.push({
        ts,
        request: `r${request}`,
        user,
        user_key: 'dev',
        item: `item-${first + position}`,
        position,
        propensity: random() < 0.1 ? null : 0.02 + 0.2 * random(),
        policy: policies[request % 2],
        model: 'ranker@1a2b3c',
        surface: surfaces[request % 2],
        cohort: '',
        experiments: { rank7: request % 2 === 0 ? 'a' : 'b' },
        explore: random() < 0.05,
        source: position % 2 === 0 ? 'covisit' : 'popularity',
        list_version: `000001-0000000000000001-${String(request).padStart(10, '0')}`,
        feature_hash: request % 3 === 0 ? '' : 'f00d',
        features: request % 3 === 0 ? [] : [0.1, 0.2, 0.3],
        prediction: random(),
        label: labelled ? (positive ? 1 : 0) : null,
        graded: labelled ? (positive ? 0.9 : 0.1) : null,
        watched_ms: labelled ? (positive ? 90_000 : 0) : null,
        clicked: labelled ? positive : null,
        revision: 1,
      })
    }
  }
  return rows
}

/** The draws of a third of the requests: what was shown, and twenty candidates that were not. */
export function slateRows(examples: readonly TableRow[]): TableRow[] {
  const random = randomFrom(hash53('slates'))
  const byList = new Map<string, TableRow[]>()
  for (const row of examples) {
    const version = String(row.list_version)
    byList.set(version, [...(byList.get(version) ?? []), row])
  }
  return [...byList]
    .filter((_, k) => k % 3 === 0)
    .map(([version, shown]) => {
      const [{ ts, user, user_key, surface, policy, model }] = shown
      const list = shown.map(row => String(row.item))
      const others = Array.from({ length: 20 }, (_, k) => `other-${k}`)
      return {
        ts: Number(ts) - 1_000,
        list_version: version,
        user,
        user_key,
        surface,
        policy,
        model,
        temperature: 1,
        seed: 7,
        candidates: [...list, ...others].map(item => ({
          item,
          source: 'covisit',
          weight: 4 * random(),
          features: [1, 2, 0],
        })),
        list,
        propensities: shown.map(row => Number(row.propensity ?? 0.05)),
        revision: 1,
      }
    })
}

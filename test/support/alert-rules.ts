/** Rows, rules and a feed for tests of the alert rules. For tests. */
import type { TableRow } from '../../streams/topology/outbox.ts'
import { type EngineSettings, type News, RuleEngine } from '../../topologies/alerts/engine.ts'
import { ruleFile, rulesInForce } from '../../topologies/alerts/rule-file.ts'

export const minute = 60_000
export const hour = 60 * minute
export const t0 = Date.parse('2026-01-01T00:00:00Z')

const rulesOf = (...rules: object[]) => rulesInForce([], ruleFile.parse({ rules }))

export function engineOf(
  rules: readonly object[],
  settings: Partial<EngineSettings> = {},
): RuleEngine {
  return new RuleEngine(rulesOf(...rules), { database: 'freshet', maxSeries: 100, ...settings })
}

export const psi = {
  name: 'psi',
  table: 'drift',
  where: { statistic: 'psi', profile: 'freshet' },
  column: 'value',
  window: '1m',
  above: 'threshold',
  atLeast: 0.02,
  raise: 2,
  clear: 3,
}

export const driftRow = (m: number, value: number | null, given: TableRow = {}): TableRow => ({
  subject: 'feature:a',
  segment: '',
  window_start: t0 + m * minute,
  window_end: t0 + (m + 1) * minute,
  profile: 'freshet',
  statistic: 'psi',
  value,
  threshold: 0.01,
  n_current: 500,
  revision: 1,
  ...given,
})

export const quality = (h: number, value: number | null, given: TableRow = {}): TableRow => ({
  metric: 'ctr',
  segment: '',
  policy: 'p',
  arm: '',
  surface: 'home',
  window_start: t0 + h * hour,
  window_end: t0 + (h + 1) * hour,
  value,
  low: null,
  high: null,
  n: 5_000,
  revision: 1,
  ...given,
})

/** Each row in a commit of its own. */
export function feed(engine: RuleEngine, table: string, rows: readonly TableRow[]): News[] {
  return rows.flatMap(row => {
    engine.observe(table, row)
    return engine.judge()
  })
}

/** What `freshet evaluate policy` answers. */
import type { Figure, PolicyReport } from '../../replay/policy/report.ts'
import { quantileShares } from '../../topologies/evaluation/estimators/support.ts'
import { count, paint, table } from '../terminal.ts'

/** What was asked. */
export interface Head {
  readonly target: string
  /** '': several, each by its own propensities. */
  readonly logged: string
  readonly metric: string
  readonly segment: string
}

/** The answer as JSON for machines. */
export function machine(head: Head, report: PolicyReport) {
  const { figures, overlap, ...rest } = report
  return {
    ...head,
    ...rest,
    overlap: {
      ...overlap,
      quantiles: Object.fromEntries(
        quantileShares.map((share, k) => [share, overlap.quantiles[k]]),
      ),
    },
    estimators: Object.fromEntries(figures.map(({ estimator, ...figure }) => [estimator, figure])),
  }
}

/** The answer as text. */
export function lines(head: Head, report: PolicyReport): string[] {
  const { n, users, lists, impressions, figures, overlap, unsupported, leftOut, notes } = report
  const what = lists ? 'lists' : 'draws'
  const out = Object.entries(leftOut)
  const left =
    out.length === 0
      ? []
      : [`left out: ${out.map(([reason, times]) => `${count(times)} (${reason})`).join(', ')}`]
  const asked = `${head.metric} a ${lists ? 'list' : 'draw'} of ${head.target}${head.segment === '' ? '' : ` where ${head.segment}`}`
  if (n === 0)
    return [
      `${asked}: nothing can be told, for there is no draw of the time and segment that can be used`,
      ...left,
      ...notes.map(note => paint('dim', note)),
    ]
  const [low, , middle, , high] = overlap.quantiles
  return [
    `${asked}, told from ${count(n)} ${what} of ${count(users)} users (${count(impressions)} impressions)${head.logged === '' ? '' : `, drawn by ${head.logged}`}`,
    '',
    table([
      ['estimator', 'value', '95%', 'bootstrap', 'Bernstein: at least', 'effective n'],
      ...figures.filter(({ refused }) => refused === '').map(row),
    ]),
    ...refusals(figures),
    '',
    `weights of whole ${what}: mean ${digits(overlap.mean)} (should be 1), largest ${digits(overlap.largest)} (${(100 * overlap.largestShare).toFixed(2)}% of the sum), 1% ${digits(low)}, median ${digits(middle)}, 99% ${digits(high)}; ${(100 * overlap.zeros).toFixed(1)}% are 0`,
    ...(unsupported === null
      ? []
      : [
          `${(100 * unsupported).toFixed(2)}% of the target's chance is on items that were never shown in this log`,
        ]),
    ...left,
    ...notes.map(note => paint('dim', note)),
  ]
}

function row({
  estimator,
  value,
  low,
  high,
  bootstrap,
  bernsteinLow,
  effectiveSampleSize,
}: Figure) {
  return [
    estimator,
    digits(value),
    span(low, high),
    bootstrap === null ? '' : span(...bootstrap),
    bernsteinLow === null ? '' : digits(Math.max(0, bernsteinLow)),
    effectiveSampleSize === null ? '' : effectiveSampleSize.toFixed(0),
  ]
}

function refusals(figures: readonly Figure[]): string[] {
  const byReason = new Map<string, string[]>()
  for (const { estimator, refused, unreliable } of figures) {
    if (refused === '') continue
    const would =
      (unreliable?.value ?? null) === null
        ? ''
        : ` (would say ${digits(unreliable?.value ?? null)})`
    byReason.set(refused, [...(byReason.get(refused) ?? []), `${estimator}${would}`])
  }
  return [...byReason].map(([reason, names]) =>
    paint('yellow', `refused: ${names.join(', ')}: ${reason}`),
  )
}

function digits(value: number | null): string {
  return value === null ? '' : value.toPrecision(5)
}

function span(low: number | null, high: number | null): string {
  return low === null || high === null ? '' : `[${digits(low)}, ${digits(high)}]`
}

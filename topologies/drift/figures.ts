/**
 * The figures of one window against a reference (profile `freshet`), from counts alone. A figure that cannot be told is
 * null with a reason; NaN never leaves here.
 */
import type { Histogram } from './histogram.ts'
import { foldInto, type ReferenceRow } from './reference.ts'
import { chi2 } from './statistics/chi2.ts'
import { designEffect, minShards } from './statistics/design-effect.ts'
import { js } from './statistics/js.ts'
import { kl } from './statistics/kl.ts'
import { ksD, ksP } from './statistics/ks.ts'
import { psi } from './statistics/psi.ts'
import { pseudocount, shares, total } from './statistics/shares.ts'
import { psiThreshold } from './statistics/threshold.ts'
import { w1 } from './statistics/w1.ts'
import { numberSubject } from './subjects.ts'

export interface Figure {
  readonly statistic: string
  readonly value: number | null
  /** Beyond it the figure is an alarm; null where it has none. */
  readonly threshold: number | null
  readonly reason: string
  /** On which side of its threshold it alarms, and whether on it: p-values alarm below. Absent: above. */
  readonly alarmsWhen?: '>' | '>=' | '<' | '<='
}

/** Is the figure an alarm? One without a value or a threshold never is. */
export function isOver({ value, threshold, alarmsWhen }: Figure): boolean {
  if (value === null || threshold === null) return false
  switch (alarmsWhen) {
    case '>=':
      return value >= threshold
    case '<':
      return value < threshold
    case '<=':
      return value <= threshold
    default:
      return value > threshold
  }
}

export interface FigureLimits {
  /** How often chance alone may lift PSI over its threshold: of this subject and window alone. */
  readonly alpha: number
  readonly minRows: number
  /** Windows that a reference is made of, for the reason while it is not whole. */
  readonly wantedWindows: number
}

const categoryNames = ['psi', 'kl', 'js', 'chi2', 'chi2_p', 'new_category_rate']
const numberNames = ['psi', 'kl', 'js', 'w1', 'ks_d', 'ks_p', 'chi2', 'chi2_p']

/** `edges`: of the fine bins; null for categories. */
export function figures(
  reference: ReferenceRow,
  current: Histogram,
  edges: Float64Array | null,
  limits: FigureLimits,
): Figure[] {
  const m = current.n
  const rows = m + current.missing
  const missing: Figure = {
    statistic: 'missing_rate',
    value: rows > 0 ? current.missing / rows : null,
    threshold: null,
    reason: rows > 0 ? '' : 'the window has no rows',
  }
  const reason = whyNot(reference, m, limits)
  if (reason !== '')
    return [
      ...(edges ? numberNames : categoryNames).map(statistic => ({
        statistic,
        value: null,
        threshold: null,
        reason,
      })),
      missing,
    ]
  return [...compare(reference, current, edges, limits), missing]
}

function whyNot(reference: ReferenceRow, m: number, limits: FigureLimits): string {
  if (reference.groups === null)
    return `the reference is being collected: ${reference.windows} of ${limits.wantedWindows} windows`
  const n = reference.histogram.n
  if (n < limits.minRows) return `the reference has ${n} rows, ${limits.minRows} are needed`
  // told without the number, so that the column's values stay few
  if (m < limits.minRows) return `the window has fewer than ${limits.minRows} rows`
  return ''
}

function compare(
  reference: ReferenceRow,
  current: Histogram,
  edges: Float64Array | null,
  limits: FigureLimits,
): Figure[] {
  const groups = reference.groups ?? []
  const referenceShards = foldInto(groups, reference.histogram)
  const currentShards = foldInto(groups, current)
  const r = sumShards(referenceShards)
  const c = sumShards(currentShards)
  const n = total(r)
  const m = total(c)
  const p = shares(r, pseudocount)
  const q = shares(c, pseudocount)
  const without = numberSubject(reference.subject)?.noThreshold
  const threshold =
    without === undefined ? thresholdOf(limits.alpha, referenceShards, currentShards) : null
  const few =
    without ??
    (threshold === null ? `rows of fewer than ${minShards} user shards: no threshold` : '')
  const figure = (
    statistic: string,
    value: number | null,
    limit: number | null = null,
    reason = '',
  ): Figure => ({ statistic, value, threshold: limit, reason })
  const test = chi2(r, c)
  const list = [
    figure('psi', psi(p, q), threshold, few),
    figure('kl', kl(q, p)),
    // for small differences the squared distance is an eighth of PSI
    figure('js', js(p, q), threshold === null ? null : Math.sqrt(threshold / 8), few),
    figure('chi2', test.df > 0 ? test.statistic : null, null, test.df > 0 ? '' : 'one group'),
    figure('chi2_p', test.df > 0 ? test.p : null, null, test.df > 0 ? '' : 'one group'),
  ]
  if (edges) {
    const fineR = reference.histogram.totals()
    const fineC = current.totals()
    const d = ksD(fineR, fineC)
    list.push(figure('w1', w1(fineR, fineC, edges)))
    list.push(figure('ks_d', d))
    list.push(figure('ks_p', ksP(d, n, m)))
  } else {
    const known = new Set(reference.histogram.names ?? [])
    const totals = current.totals()
    const fresh = totals.reduce(
      (sum, count, bin) => sum + (known.has(current.names?.[bin] ?? '') ? 0 : count),
      0,
    )
    list.push(figure('new_category_rate', fresh / m))
  }
  return list
}

function thresholdOf(
  alpha: number,
  reference: readonly Float64Array[],
  current: readonly Float64Array[],
): number | null {
  const sides = [reference, current].map(shards => ({
    counts: sumShards(shards),
    design: designEffect(shards),
  }))
  const [r, c] = sides
  if (!r.design || !c.design) return null
  return psiThreshold(
    alpha,
    { counts: r.counts, design: r.design },
    { counts: c.counts, design: c.design },
  )
}

function sumShards(shards: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(shards[0].length)
  for (const shard of shards) for (let b = 0; b < sum.length; b++) sum[b] += shard[b]
  return sum
}

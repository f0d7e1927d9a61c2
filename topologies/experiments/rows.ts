/** The rows of the table `experiments` for what is known at a time. Pure. */
import type { TableRow } from '../../streams/topology/outbox.ts'
import type { Definition } from './book.ts'
import { type Figure, figures } from './metrics.ts'
import { type Adjustment, adjusted } from './statistics/adjust.ts'
import { alike, type Effect, type EffectLimits, effectOf } from './statistics/effect.ts'
import { type Estimate, estimates, none, type Sums } from './statistics/estimates.ts'
import { srmAlarm, srmP } from './statistics/srm.ts'
import { alikeRange, type GuardrailVerdict, guardrailOf, verdictOf } from './statistics/verdict.ts'

export interface RowSettings extends EffectLimits {
  readonly adjust: Adjustment
}

/** The sums of a metric (place in `userMetrics`) over an arm's users. */
export type SumsOf = (arm: string, metric: number) => Sums

interface Found {
  readonly figure: Figure
  readonly arm: string
  readonly estimate: Estimate
  /** null: it is the control. */
  readonly effect: Effect | null
  readonly guardrail: GuardrailVerdict | ''
  adjusted: number | null
}

/** @param time event time up to which the sums are, ms. */
export function experimentRows(
  definition: Definition,
  time: number,
  sumsOf: SumsOf,
  settings: RowSettings,
): TableRow[] {
  const { name: experiment, arms, control, metrics, guardrails } = definition
  const users = arms.map(({ name }) => sumsOf(name, 0).n)
  const srm = srmP(
    users,
    arms.map(({ share }) => share),
  )
  const controlAt = arms.findIndex(({ name }) => name === control)
  const found = figures.flatMap((figure): Found[] => {
    const found = estimates(
      arms.map(({ name }) => sumsOf(name, figure.metric)),
      figure.how,
    )
    const margin = guardrails[figure.name]
    return arms.map(({ name: arm }, k) => {
      const controlled = found[controlAt] ?? nobody
      const effect = k === controlAt ? null : effectOf(found[k], controlled, settings)
      const isAlike = effect?.reason === alike && figure.isShare
      const range = isAlike ? alikeRange(found[k], controlled, settings.alpha) : effect
      const guardrail =
        range === null || margin === undefined
          ? ''
          : guardrailOf(range, margin, figure.moreIsBetter)
      return { figure, arm, estimate: found[k], effect, guardrail, adjusted: null }
    })
  })
  const declared = found.filter(
    ({ figure, effect }) => effect !== null && metrics.includes(figure.name),
  )
  const p = adjusted(
    declared.map(({ effect }) => effect?.p ?? null),
    settings.adjust,
  )
  declared.forEach((each, k) => {
    each.adjusted = p[k]
  })
  const common = { time, experiment, srm_p: srm, revision: 1 }
  const verdicts = arms.flatMap(({ name: arm }, k): TableRow[] => {
    if (k === controlAt) return []
    const own = declared.filter(each => each.arm === arm)
    const verdict = verdictOf({
      srmAlarm: srm !== null && srm < srmAlarm,
      guardrails: found.flatMap(each =>
        each.arm === arm && each.guardrail !== '' ? [each.guardrail] : [],
      ),
      declared: own.map(each => ({ p: each.adjusted, better: isBetter(each) })),
      alpha: settings.alpha,
    })
    return [
      {
        ...common,
        metric: 'verdict',
        arm,
        n: users[k],
        mean: null,
        effect: null,
        low: null,
        high: null,
        p: null,
        p_adjusted: null,
        guardrail_verdict: verdict,
        reason: '',
      },
    ]
  })
  return [...found.map(each => ({ ...common, ...rowOf(each) })), ...verdicts]
}

const nobody: Estimate = { n: none.n, mean: null, variance: null }

function isBetter({ effect, figure }: Found): boolean {
  return (effect?.effect ?? 0) > 0 === figure.moreIsBetter
}

function rowOf({ figure, arm, estimate, effect, guardrail, adjusted }: Found): TableRow {
  return {
    metric: figure.name,
    arm,
    n: estimate.n,
    mean: estimate.mean,
    effect: effect?.effect ?? null,
    low: effect?.low ?? null,
    high: effect?.high ?? null,
    p: effect?.p ?? null,
    p_adjusted: adjusted,
    guardrail_verdict: guardrail,
    reason: effect === null ? 'control' : effect.reason,
  }
}

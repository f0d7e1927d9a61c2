/**
 * What an arm's figures say should be done. Guardrails are non-inferiority tests: each asks whether the arm loses less than
 * the margin, at the level of the interval, without adjustment (asking more of them makes shipping harder, not easier).
 */
import type { Effect } from './effect.ts'
import type { Estimate } from './estimates.ts'

/** 'pass': surely loses less than the margin; 'fail': surely more; 'open': not known yet. */
export type GuardrailVerdict = 'pass' | 'fail' | 'open'

interface Range {
  readonly low: number | null
  readonly high: number | null
}

/**
 * Where the effect may lie though all users of both arms were alike so far (nobody reported anything): as many may be
 * otherwise as n alike ones leave room for, at level 1 - alpha of both arms together, however often one looks. Of a metric
 * between 0 and 1; of others nothing bounds what one user may add.
 *
 * Of n users none was otherwise: the share that is lies below 1 - (a / (n + 1))^(1/n), by Ville's inequality for the
 * mixture of all rates (Robbins 1970), the form of always-valid.ts for a rate. 8% of 100 users, .13% of 10,000 (a = .025).
 */
export function alikeRange(arm: Estimate, control: Estimate, alpha: number): Range {
  if (arm.mean === null || control.mean === null) return { low: null, high: null }
  const room = ({ n }: Estimate): number => 1 - Math.exp(Math.log(alpha / 2 / (n + 1)) / n)
  const least = (of: Estimate): number => (of.mean ?? 0) * (1 - room(of))
  const most = (of: Estimate): number => least(of) + room(of)
  return { low: least(arm) - most(control), high: most(arm) - least(control) }
}

/** @param margin loss that is accepted, in the metric's own unit. @param moreIsBetter whether a loss is a fall or a rise. */
export function guardrailOf(
  { low: least, high: most }: Pick<Effect, 'low' | 'high'>,
  margin: number,
  moreIsBetter: boolean,
): GuardrailVerdict {
  if (least === null || most === null) return 'open'
  if (moreIsBetter) return least > -margin ? 'pass' : most < -margin ? 'fail' : 'open'
  return most < margin ? 'pass' : least > margin ? 'fail' : 'open'
}

export type Verdict = 'ship' | 'hold' | 'stop'

export interface Evidence {
  readonly srmAlarm: boolean
  readonly guardrails: readonly GuardrailVerdict[]
  /** Of the declared metrics: adjusted p, and whether the effect is for the better. */
  readonly declared: readonly { readonly p: number | null; readonly better: boolean }[]
  readonly alpha: number
}

/**
 * - stop: the split is broken, a guardrail fails, or a declared metric is surely worse
 * - ship: every guardrail passes and a declared metric is surely better
 * - hold: go on
 */
export function verdictOf({ srmAlarm, guardrails, declared, alpha }: Evidence): Verdict {
  const sure = declared.filter(({ p }) => p !== null && p < alpha)
  if (srmAlarm || guardrails.includes('fail') || sure.some(({ better }) => !better)) return 'stop'
  return sure.length > 0 && guardrails.every(each => each === 'pass') ? 'ship' : 'hold'
}

/**
 * What an arm's figures say should be done. Guardrails are non-inferiority tests: each asks whether the arm loses less than
 * the margin, at the level of the interval, without adjustment (asking more of them makes shipping harder, not easier).
 */
import type { Effect } from './effect.ts'

/** 'pass': surely loses less than the margin; 'fail': surely more; 'open': not known yet. */
export type GuardrailVerdict = 'pass' | 'fail' | 'open'

/** @param margin loss that is accepted, in the metric's own unit. @param moreIsBetter whether a loss is a fall or a rise. */
export function guardrailOf(
  { low, high, effect, reason }: Effect,
  margin: number,
  moreIsBetter: boolean,
): GuardrailVerdict {
  // where all users of both arms are alike there is no interval, and nothing to doubt
  const certain = reason === 'all users are alike'
  const least = certain ? effect : low
  const most = certain ? effect : high
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

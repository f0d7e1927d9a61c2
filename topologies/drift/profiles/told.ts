/** Figures of the tools' profiles: what is not a finite number is null with a reason, whatever a formula gave. */
import type { Figure } from '../figures.ts'

export interface Limit {
  readonly threshold: number
  readonly alarmsWhen?: Figure['alarmsWhen']
}

/** `value`: a number, or the reason why there is none. */
export function told(statistic: string, value: number | string, limit?: Limit): Figure {
  const threshold = limit?.threshold ?? null
  const side = limit?.alarmsWhen === undefined ? {} : { alarmsWhen: limit.alarmsWhen }
  if (typeof value === 'number' && Number.isFinite(value))
    return { statistic, value, threshold, reason: '', ...side }
  const reason =
    typeof value === 'string' ? value : Number.isNaN(value) ? 'not defined' : 'infinite'
  return { statistic, value: null, threshold, reason, ...side }
}

/** Why two sides cannot be compared; '' where they can. */
export function whyNot(reference: number, current: number): string {
  if (reference === 0) return 'the reference has no values'
  return current === 0 ? 'the window has no values' : ''
}

export const tooClose = 'the values are too close together, or too far apart, for bins'

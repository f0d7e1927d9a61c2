/** What an impression earned, by metric, from a row of the table `examples`. */
export const metrics = [
  'click',
  'watch_time',
  'completion',
  'return_1d',
  'target',
  'positive',
] as const
export type Metric = (typeof metrics)[number]

export interface Outcome {
  readonly label: number | null
  readonly clicked: boolean | null
  readonly completed: boolean | null
  readonly returned: boolean | null
  readonly watched_ms: number | null
  readonly graded: number | null
  readonly target: number | null
}

/**
 * `click`, `completion`, `return_1d`, `positive`: 1 or 0. `watch_time`: seconds watched, a play up to `capMs`, times the share of
 * the item that was watched (the online figure's weight; all of it where the duration is unknown): one film left running must not
 * be worth a hundred clips seen to the end. `target`: the declared mix. null: not known, or not yet.
 */
export function rewardOf(metric: Metric, outcome: Outcome, capMs: number): number | null {
  const { label, clicked, completed, returned, watched_ms: watchedMs, graded, target } = outcome
  const flag = (given: boolean | null): number | null => (given === null ? null : given ? 1 : 0)
  switch (metric) {
    case 'click':
      return flag(clicked)
    case 'completion':
      return flag(completed)
    case 'return_1d':
      return flag(returned)
    case 'target':
      return target
    case 'positive':
      return label
    case 'watch_time':
      return watchedMs === null ? null : (Math.min(watchedMs, capMs) / 1000) * (graded ?? 1)
  }
}

/** When a figure is an alarm: pure, of one figure and what its series was like before. */
export type Condition =
  | {
      readonly kind: 'above' | 'below'
      /** 'threshold': the row's own. */
      readonly limit: number | 'threshold'
      /** The least value that alarms, whatever the limit is. */
      readonly atLeast?: number
    }
  | { readonly kind: 'outside'; readonly low: number; readonly high: number }
  /** More than this share below the mean of the `against` figures before. */
  | { readonly kind: 'drop'; readonly share: number; readonly against: number }
  | { readonly kind: 'is'; readonly texts: readonly string[] }

export interface Figure {
  readonly value: number | null
  readonly text: string
  /** The row's own threshold. */
  readonly threshold: number | null
  /** Upper end of its interval. */
  readonly high: number | null
}

export interface Verdict {
  readonly over: boolean
  /** What it was held against; null for texts. */
  readonly threshold: number | null
}

/** What a series was like before, for `drop`. */
export interface History {
  /** The newest figures, oldest first, at most `against` of them. */
  recent: number[]
  /** The mean that figures are held against since the first of those that dropped; null: that of `recent`. */
  frozen: number | null
  /** How many were held against it. */
  held: number
}

export const noHistory = (): History => ({ recent: [], frozen: null, held: 0 })

/** Undefined where the figure can't be judged: it is not shown to the alarm. */
export function judge(condition: Condition, figure: Figure, history: History): Verdict | undefined {
  if (condition.kind === 'is')
    return { over: condition.texts.includes(figure.text), threshold: null }
  const { value } = figure
  if (value === null || !Number.isFinite(value)) return undefined
  switch (condition.kind) {
    case 'above':
    case 'below': {
      const limit = condition.limit === 'threshold' ? figure.threshold : condition.limit
      if (limit === null || !Number.isFinite(limit)) return undefined
      if (condition.kind === 'below') return { over: value < limit, threshold: limit }
      const { atLeast = Number.NEGATIVE_INFINITY } = condition
      return { over: value > limit && value >= atLeast, threshold: Math.max(limit, atLeast) }
    }
    case 'outside': {
      const { low, high } = condition
      const nearer = Math.abs(value - low) < Math.abs(value - high) ? low : high
      return { over: value < low || value > high, threshold: nearer }
    }
    case 'drop': {
      const { share, against } = condition
      if (history.frozen === null && history.recent.length < against) return undefined
      const mean = history.frozen ?? meanOf(history.recent)
      if (!Number.isFinite(mean)) return undefined
      const threshold = (1 - share) * mean
      // where the figure's own interval reaches the mean, chance may have done it
      const byChance = figure.high !== null && figure.high >= mean
      return { over: value < threshold && !byChance, threshold }
    }
  }
}

/**
 * Takes a judged figure, or one that came before enough were known, into the history. The mean is held from the first
 * figure that dropped until the alarm is over, so that a fall does not become its own measure; after `against` figures
 * the new level is what is usual, and the alarm ends by itself.
 */
export function remember(
  condition: Condition,
  history: History,
  value: number | null,
  suspect: boolean,
): void {
  if (condition.kind !== 'drop' || value === null || !Number.isFinite(value)) return
  const { against } = condition
  if (!suspect) history.frozen = null
  else history.frozen ??= meanOf(history.recent)
  history.held = suspect ? history.held + 1 : 0
  history.recent.push(value)
  if (history.recent.length > against) history.recent.shift()
  if (history.held < against) return
  history.frozen = meanOf(history.recent)
  history.held = 0
}

/** Of at least one value. */
function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

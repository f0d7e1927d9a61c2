/**
 * Parts of the whole that are looked at by themselves: one dimension at a time, never crossed, so that they add windows and
 * do not multiply them. Each dimension has at most `maxValues` values, the first that came; later ones count in the whole only.
 */
export const dimensions = ['surface', 'cohort', 'policy', 'model'] as const
export type Dimension = (typeof dimensions)[number]

export const maxValues = 16

/** Where a row belongs, a value for each dimension; '' where it has none (a play is of no policy). */
export type Place = Readonly<Record<Dimension, string>>

export const placeKey = ({ surface, cohort, policy, model }: Place): string =>
  `${surface}\n${cohort}\n${policy}\n${model}`

/** The option's names, each once, in the order above. */
export function dimensionsOf(text: string): Dimension[] {
  const names = new Set(text.split(',').map(name => name.trim()))
  return dimensions.filter(dimension => names.has(dimension))
}

/** What the option takes: some of the dimensions, or nothing. */
export function areDimensions(text: string): boolean {
  const names = text.split(',').map(name => name.trim())
  return names.every(name => name === '' || (dimensions as readonly string[]).includes(name))
}

/** The values seen, by dimension in order of first sight. */
export class SegmentValues {
  readonly seen: Record<Dimension, string[]> = { surface: [], cohort: [], policy: [], model: [] }
  private readonly watched: readonly Dimension[]

  constructor(watched: readonly Dimension[]) {
    this.watched = watched
  }

  /** The segments that a row counts in, '' (the whole) first; what is new is kept in mind. */
  of(place: Place): string[] {
    const segments = ['']
    for (const dimension of this.watched) {
      const value = place[dimension]
      if (value === '') continue
      const seen = this.seen[dimension]
      if (!seen.includes(value)) {
        if (seen.length >= maxValues) continue
        seen.push(value)
      }
      segments.push(`${dimension}=${value}`)
    }
    return segments
  }
}

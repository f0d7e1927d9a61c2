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

/** Places known at a time; with ids for cohorts there would be no end of them. */
const maxPlaces = 4_096

type ByText<T> = Map<string, T>

/** The value under a key, made where there is none. */
function under<T>(map: ByText<T>, key: string, make: () => T): T {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

/**
 * One object for each place, so that places are the same by identity. Hot: the decoder gives the same text for the same
 * label, so four look-ups cost a third of joining them to one key.
 */
export class Places {
  private known: ByText<ByText<ByText<ByText<Place>>>> = new Map()
  private count = 0

  of(surface: string, cohort: string, policy = '', model = ''): Place {
    const models = under(
      under(
        under(this.known, surface, () => new Map()),
        cohort,
        () => new Map(),
      ),
      policy,
      () => new Map(),
    )
    const found = models.get(model)
    if (found) return found
    const place = { surface, cohort, policy, model }
    if (++this.count > maxPlaces) {
      this.known = new Map()
      this.count = 0
    } else models.set(model, place)
    return place
  }
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

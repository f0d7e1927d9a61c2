/** How often each distinct value occurs on both sides: first those of the reference, then new ones, in order of sight. */
export interface Tally<T> {
  readonly keys: readonly T[]
  readonly reference: Float64Array
  readonly current: Float64Array
}

export function tally<T>(reference: Iterable<T>, current: Iterable<T>): Tally<T> {
  const places = new Map<T, number>()
  const counts: [number[], number[]] = [[], []]
  ;[reference, current].forEach((side, s) => {
    for (const value of side) {
      let place = places.get(value)
      if (place === undefined) {
        place = places.size
        places.set(value, place)
        counts[0].push(0)
        counts[1].push(0)
      }
      counts[s][place]++
    }
  })
  return {
    keys: [...places.keys()],
    reference: Float64Array.from(counts[0]),
    current: Float64Array.from(counts[1]),
  }
}

/**
 * Intervals of ratios over users: users are drawn with replacement, all of a user's predictions together (a cluster
 * bootstrap; Efron and Tibshirani 1993, percentile intervals), since they hang together and would otherwise count as more
 * than they are. The same draws serve every ratio, so that differences are paired.
 */
import { hash53, randomFrom } from '../../streams/serde/hash.ts'

/** Sums by user: the ratio is sum of gains by sum of counts. */
export interface Ratio {
  readonly gains: ArrayLike<number>
  readonly counts: ArrayLike<number>
}

const mostReplicates = 1_000
const leastReplicates = 200
/** Additions in all, some seconds of work: a million users are resampled less often. */
const budget = 2e9

/** By ratio: its value in every resample; NaN where the resample holds no prediction. */
export function resample(ratios: readonly Ratio[], users: number, seed = 1): Float64Array[] {
  const wanted = Math.floor(budget / (Math.max(1, users) * Math.max(1, ratios.length)))
  const replicates = Math.min(mostReplicates, Math.max(leastReplicates, wanted))
  const random = randomFrom(hash53('bootstrap', seed))
  const drawn = new Uint32Array(users)
  const columns = ratios.map(({ gains, counts }) => ({
    gains: Float64Array.from(gains),
    counts: Float64Array.from(counts),
    values: new Float64Array(replicates),
  }))
  for (let r = 0; r < replicates; r++) {
    drawn.fill(0)
    for (let u = 0; u < users; u++) drawn[Math.floor(random() * users)]++
    for (const { gains, counts, values } of columns) {
      let gain = 0
      let count = 0
      for (let u = 0; u < counts.length; u++) {
        if (counts[u] === 0) continue
        gain += drawn[u] * gains[u]
        count += drawn[u] * counts[u]
      }
      values[r] = count > 0 ? gain / count : Number.NaN
    }
  }
  return columns.map(column => column.values)
}

/** The middle 95% of resampled values; null where there is nothing to tell it from. */
export function interval95(values: Float64Array): readonly [number, number] | null {
  const sorted = values.filter(value => !Number.isNaN(value)).sort()
  if (sorted.length < leastReplicates / 2) return null
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]
  return [at(0.025), at(0.975)]
}

export interface Difference {
  readonly difference: number
  readonly interval: readonly [number, number] | null
  /**
   * How many predictions of the same kind of users it takes to see a difference of 1% of the second value: found with 80%
   * at a two-sided level of 5%. null where the resamples do not differ.
   */
  readonly eventsFor1Percent: number | null
}

/** z of the level and of the power. */
const zSum = 1.96 + 0.8416

/** One against another on the same resamples; `events` predictions were made. */
export function pairedDifference(
  values: readonly [Float64Array, Float64Array],
  of: readonly [number, number],
  events: number,
): Difference {
  const [one, other] = values
  const differences = one.map((value, r) => value - other[r])
  const known = differences.filter(value => !Number.isNaN(value))
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length
  const variance = known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length
  const wanted = 0.01 * of[1]
  return {
    difference: of[0] - of[1],
    interval: interval95(differences),
    eventsFor1Percent:
      variance > 0 && wanted > 0 ? Math.ceil((events * zSum ** 2 * variance) / wanted ** 2) : null,
  }
}

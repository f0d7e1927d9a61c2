/**
 * `npm run quality -- intervals [--trials 2000]`: how often the 95% interval of click-through (topologies/quality/interval.ts)
 * holds the truth, where the impressions of a user are alike: each user has a rate of its own (Beta(1, 4), mean .2).
 */
import { parseArgs } from 'node:util'
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { ratioOf } from '../../topologies/quality/interval.ts'

const buckets = 64
const mean = 0.2

export interface Coverage {
  readonly covered: number
  /** Of the interval that takes impressions for independent. */
  readonly naive: number
}

/** `perUser`: mean impressions of a user, geometric; 300 users. Shares of the trials. */
export function coverage(perUser: number, trials: number, users = 300): Coverage {
  const random = randomFrom(hash53(`intervals ${perUser}`))
  let covered = 0
  let naive = 0
  for (let trial = 0; trial < trials; trial++) {
    const clicks = new Float64Array(buckets)
    const shown = new Float64Array(buckets)
    for (let u = 0; u < users; u++) {
      const bucket = hash53(`bucket user-${trial}-${u}`) % buckets
      // Beta(1, 4): 1 - U^(1/4)
      const rate = 1 - random() ** 0.25
      let n = 1
      while (random() > 1 / perUser) n++
      for (let k = 0; k < n; k++) if (random() < rate) clicks[bucket]++
      shown[bucket] += n
    }
    const { value, low, high, n } = ratioOf(
      buckets,
      g => clicks[g],
      g => shown[g],
      1,
      true,
    )
    if (low !== null && high !== null && low <= mean && mean <= high) covered++
    const half = 1.96 * Math.sqrt(((value ?? 0) * (1 - (value ?? 0))) / n)
    if (Math.abs((value ?? 0) - mean) <= half) naive++
  }
  return { covered: covered / trials, naive: naive / trials }
}

if (process.argv[1]?.endsWith('intervals.ts')) {
  const { values } = parseArgs({ options: { trials: { type: 'string', default: '2000' } } })
  for (const perUser of [1, 5, 20]) {
    const { covered, naive } = coverage(perUser, Number(values.trials))
    console.log(
      `${perUser} impressions a user: 95% interval holds the truth in ${(100 * covered).toFixed(1)}% of ${values.trials} trials; taken for independent ${(100 * naive).toFixed(1)}%`,
    )
  }
}

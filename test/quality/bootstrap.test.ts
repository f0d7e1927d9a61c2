/** Intervals against what they promise: how often they hold the truth, and the textbook's variance. */
import { describe, expect, it } from 'vitest'
import { interval95, pairedDifference, resample } from '../../replay/prequential/bootstrap.ts'
import { randomFrom } from '../../streams/serde/hash.ts'

/** Users with 1 to 20 events, each user with a chance of their own; the mean chance of an event is .3. */
function drawUsers(users: number, random: () => number) {
  const counts: number[] = []
  const gains: number[] = []
  for (let u = 0; u < users; u++) {
    const n = 1 + Math.floor(random() * 20)
    const chance = random() < 0.3 ? 0.79 : 0.09
    let hits = 0
    for (let k = 0; k < n; k++) if (random() < chance) hits++
    counts.push(n)
    gains.push(hits)
  }
  return { counts, gains }
}

describe('the bootstrap over users', () => {
  it('holds the truth about as often as it says; one over events would not', () => {
    const random = randomFrom(11)
    const truth = 0.3 * 0.79 + 0.7 * 0.09
    let held = 0
    let heldByEvents = 0
    const rounds = 200
    for (let round = 0; round < rounds; round++) {
      const { counts, gains } = drawUsers(150, random)
      const [values] = resample([{ counts, gains }], counts.length, round)
      const [low, high] = interval95(values) ?? [1, 0]
      if (low <= truth && truth <= high) held++
      const n = counts.reduce((sum, x) => sum + x, 0)
      const mean = gains.reduce((sum, x) => sum + x, 0) / n
      const half = 1.96 * Math.sqrt((mean * (1 - mean)) / n)
      if (Math.abs(mean - truth) <= half) heldByEvents++
    }
    // 95% of 200, less three standard errors and the percentile interval's known shortfall
    expect(held / rounds).toBeGreaterThan(0.89)
    expect(held / rounds).toBeLessThan(0.995)
    expect(heldByEvents / rounds).toBeLessThan(0.8)
  })

  it('of one event a user: the width of the binomial', () => {
    const counts = new Array(2_000).fill(1)
    const gains = counts.map((_, u) => (u % 5 === 0 ? 1 : 0))
    const [values] = resample([{ counts, gains }], 2_000)
    const [low, high] = interval95(values) ?? [0, 0]
    const half = 1.96 * Math.sqrt((0.2 * 0.8) / 2_000)
    // a thousand resamples tell a width to some 4%
    expect((high - low) / 2 / half).toBeGreaterThan(0.87)
    expect((high - low) / 2 / half).toBeLessThan(1.13)
    expect((high + low) / 2).toBeCloseTo(0.2, 2)
  })

  it('pairs differences: two rankers that err together are told apart with fewer events', () => {
    const random = randomFrom(5)
    const users = 3_000
    const counts = new Array(users).fill(1)
    const one = counts.map(() => (random() < 0.3 ? 1 : 0))
    // hits what the other hits, and one in fifty of what it misses
    const other = one.map(hit => (hit === 1 || random() < 0.02 ? 1 : 0))
    const mean = (gains: readonly number[]) => gains.reduce((sum, x) => sum + x, 0) / users
    const values = resample(
      [
        { counts, gains: other },
        { counts, gains: one },
      ],
      users,
    )
    const found = pairedDifference([values[0], values[1]], [mean(other), mean(one)], users)
    const differences = other.map((gain, u) => gain - one[u])
    const difference = mean(differences)
    const variance = mean(differences.map(d => (d - difference) ** 2))
    expect(found.difference).toBeCloseTo(difference, 12)
    expect(found.interval?.[0]).toBeGreaterThan(0)
    // n = ((z.975 + z.8) sd / d)^2 for a paired test
    const expected = ((1.959964 + 0.841621) ** 2 * variance) / (0.01 * mean(one)) ** 2
    expect((found.eventsFor1Percent ?? 0) / expected).toBeGreaterThan(0.85)
    expect((found.eventsFor1Percent ?? 0) / expected).toBeLessThan(1.15)
    const self = pairedDifference([values[0], values[0]], [mean(other), mean(other)], users)
    expect(self).toEqual({ difference: 0, interval: [0, 0], eventsFor1Percent: null })
  })

  it('a part without predictions has no interval', () => {
    const [values] = resample([{ counts: [0, 0], gains: [0, 0] }], 2)
    expect(interval95(values)).toBeNull()
  })
})

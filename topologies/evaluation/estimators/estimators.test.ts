/** Values by hand, intervals against their definitions, and refusals. */
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../../streams/serde/hash.ts'
import { tQuantile } from '../../drift/statistics/student.ts'
import { bernsteinLower, bootstrapIntervals, normalInterval, standardError } from './intervals.ts'
import { halfOf, RewardModel } from './model.ts'
import { sumRounds } from './single.ts'
import { sumSlates } from './slate.ts'
import { overlapOf, propensityFault, refusalOf } from './support.ts'
import { ClusterSums, estimateOf } from './terms.ts'

const step = (ratio: number, reward: number, expected = 0.5, expectedOfTarget = 0.25) => ({
  ratio,
  reward,
  expected,
  expectedOfTarget,
})

function slateValues(slates: Parameters<typeof sumSlates>[0], positions: number) {
  const { sums, estimators } = sumSlates(slates, positions)
  return Object.fromEntries(estimators.map(each => [each.name, estimateOf(each, sums.totals())]))
}

describe('values by hand', () => {
  // w: 2, 1/2, 0; r: 1, 1, 1
  const rounds = [2, 0.5, 0].map((weight, user) => ({
    user,
    weight,
    reward: 1,
    expected: 0.5,
    expectedOfTarget: 0.25,
  }))

  it('of single draws', () => {
    const { sums, estimators } = sumRounds(rounds, {
      clip: 1,
      switch: 1,
      shrink: 2,
      subGaussian: 0.5,
    })
    const values = Object.fromEntries(
      estimators.map(each => [each.name, estimateOf(each, sums.totals())]),
    )
    expect(values.on_policy).toBe(1)
    expect(values.ipw).toBeCloseTo(1.5 / 3, 15)
    expect(values.snipw).toBe(1)
    expect(values.dm).toBe(0.25)
    expect(values.dr).toBeCloseTo(0.25 + 0.75 / 3, 15)
    expect(values.sndr).toBeCloseTo(0.25 + 0.5, 15)
    expect(values.switch_dr).toBeCloseTo(0.25 + 0.25 / 3, 15)
    // 2*2/6, 2*.5/2.25
    expect(values.dros).toBeCloseTo(0.25 + (0.5 * (4 / 6 + 1 / 2.25)) / 3, 15)
    // 2/1.5, .5/.75
    expect(values.sg_ipw).toBeCloseTo((2 / 1.5 + 0.5 / 0.75) / 3, 15)
    expect(values.b_ipw).toBeUndefined()
  })

  it('of lists, of which one viewer stopped early', () => {
    const values = slateValues(
      [
        { user: 'a', steps: [step(2, 1), step(0.5, 0), step(3, 1)] },
        { user: 'b', steps: [step(0.5, 1)] },
      ],
      3,
    )
    expect(values.on_policy).toBe(1.5)
    expect(values.ips_step).toBe((2 + 3 + 0.5) / 2)
    // prefix weights 2, 1, 3 and 1/2
    expect(values.rips).toBe((2 + 3 + 0.5) / 2)
    expect(values.sips).toBe((3 * 2 + 0.5) / 2)
    expect(values.snsips).toBe(6.5 / 3.5)
    expect(values.snips).toBe(2.5 / 2.5 + 0 / 1.5 + 3 / 3.5)
    expect(values.dr).toBeCloseTo(
      (2 * 0.5 + 0.25 + (1 * -0.5 + 2 * 0.25) + (3 * 0.5 + 0.25) + (0.5 * 0.5 + 0.25)) / 2,
      15,
    )
    expect(values.iips).toBeUndefined()
  })

  it('with the model true and no chance in rewards, dr is the value itself, whatever the weights', () => {
    const random = randomFrom(3)
    const q = [0.1, 0.9, 0.4]
    const target = [0.2, 0.5, 0.3]
    const truth = q.reduce((sum, x, i) => sum + x * target[i], 0)
    const noisy = Array.from({ length: 50 }, (_, user) => {
      const item = Math.floor(random() * 3)
      return {
        user,
        weight: random() * 5,
        reward: q[item],
        expected: q[item],
        expectedOfTarget: truth,
      }
    })
    const { sums, estimators } = sumRounds(noisy)
    const dr = estimators.find(({ name }) => name === 'dr')
    expect(dr && estimateOf(dr, sums.totals())).toBeCloseTo(truth, 12)
  })
})

describe('intervals', () => {
  it('normal: of a mean of one row a user, the textbook t interval', () => {
    const x = [3, 5, 4, 8, 1, 2]
    const { sums, estimators } = sumRounds(
      x.map((reward, user) => ({
        user,
        weight: 1,
        reward,
        expected: null,
        expectedOfTarget: null,
      })),
    )
    const ipw = estimators.find(({ name }) => name === 'ipw')!
    const mean = 23 / 6
    const sd = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 5)
    const [low, high] = normalInterval(ipw, sums)!
    // t of 5 degrees of freedom at 97.5%: 2.570581835636314
    expect((high - low) / 2).toBeCloseTo((2.570581835636314 * sd) / Math.sqrt(6), 9)
    expect((high + low) / 2).toBeCloseTo(mean, 12)
  })

  it('normal: of a ratio, the jackknife finds the same error', () => {
    const random = randomFrom(5)
    const rounds = Array.from({ length: 4000 }, (_, i) => ({
      user: i % 400,
      weight: random() * 3,
      reward: random() < 0.3 ? 1 : 0,
      expected: null,
      expectedOfTarget: null,
    }))
    const { sums, estimators } = sumRounds(rounds)
    const snipw = estimators.find(({ name }) => name === 'snipw')!
    const all = sums.totals()
    const [{ above, below }] = snipw.terms
    const left = Array.from({ length: sums.size }, (_, u) => {
      const at = u * sums.columns
      return (all[above] - sums.values[at + above]) / (all[below] - sums.values[at + below])
    })
    const mean = left.reduce((a, b) => a + b, 0) / left.length
    const jackknife = Math.sqrt(
      (left.reduce((sum, x) => sum + (x - mean) ** 2, 0) * (left.length - 1)) / left.length,
    )
    expect(standardError(snipw, sums)! / jackknife).toBeCloseTo(1, 2)
  })

  it('alike draws of one user widen it: copies of a user tell nothing new', () => {
    const rows = (copies: number) =>
      Array.from({ length: 200 * copies }, (_, i) => ({
        user: i % 200,
        weight: 1 + ((i % 200) % 3),
        reward: (i % 200) % 2,
        expected: null,
        expectedOfTarget: null,
      }))
    const once = sumRounds(rows(1))
    const often = sumRounds(rows(20))
    const ipw = once.estimators.find(({ name }) => name === 'ipw')!
    expect(standardError(ipw, often.sums)).toBeCloseTo(standardError(ipw, once.sums)!, 12)
  })

  it('bootstrap: seeded, near the normal one, also with more users than groups', () => {
    for (const users of [300, 9000]) {
      const random = randomFrom(9)
      const { sums, estimators } = sumRounds(
        Array.from({ length: users * 2 }, (_, i) => ({
          user: i >> 1,
          weight: random() * 2,
          reward: random(),
          expected: null,
          expectedOfTarget: null,
        })),
      )
      const settings = { seed: 4, replicates: 3000 }
      const found = bootstrapIntervals(estimators, sums, settings)
      expect(bootstrapIntervals(estimators, sums, settings)).toEqual(found)
      estimators.forEach((each, k) => {
        const [low, high] = found[k]!
        const normal = normalInterval(each, sums)!
        expect((high - low) / (normal[1] - normal[0])).toBeCloseTo(1, 1)
        expect((high + low) / 2).toBeCloseTo((normal[0] + normal[1]) / 2, 2)
      })
    }
  })

  it('none from one user, or from nothing', () => {
    const { sums, estimators } = sumRounds([
      { user: 'a', weight: 1, reward: 1, expected: null, expectedOfTarget: null },
    ])
    expect(normalInterval(estimators[0], sums)).toBeNull()
    expect(bootstrapIntervals(estimators, sums).every(found => found === null)).toBe(true)
    expect(estimateOf(estimators[0], new ClusterSums(20).totals())).toBeNaN()
    expect(bernsteinLower([1])).toBeNull()
    expect(bernsteinLower([1, -1])).toBeNull()
  })

  it('t quantiles are those of the tables', () => {
    for (const [df, t] of [
      [1, 12.706204736],
      [2, 4.30265273],
      [10, 2.228138852],
      [63, 1.998340543],
      [1000, 1.962339081],
    ])
      expect(tQuantile(0.05, df)).toBeCloseTo(t, 8)
  })
})

describe('support', () => {
  const users = (n: number) => Array.from({ length: n }, (_, i) => i)

  it('effective sample size and shares', () => {
    const overlap = overlapOf([1, 1, 1, 1], users(4))
    expect(overlap).toMatchObject({ effectiveSampleSize: 4, mean: 1, largestShare: 0.25, zeros: 0 })
    expect(overlapOf([4, 0, 0, 0], users(4))).toMatchObject({
      effectiveSampleSize: 1,
      mean: 1,
      largestShare: 1,
      zeros: 0.75,
    })
    expect(overlapOf([], [])).toMatchObject({ n: 0, effectiveSampleSize: 0, mean: 0 })
  })

  it('refuses with the reason', () => {
    const refused = (weights: number[]) => refusalOf(overlapOf(weights, users(weights.length)))
    const even = Array.from({ length: 2000 }, () => 1)
    expect(refused(even)).toBe('')
    expect(refused(even.slice(0, 499))).toMatch(/effective sample size 499\.0 is below 500/)
    expect(refused([...even, 150])).toMatch(/one weight is 7\.0% of the sum/)
    expect(refused([])).toMatch(/no draw/)
    expect(refused(even.map(() => 0))).toMatch(/no support/)
    expect(refused(even.map(() => 0.7))).toMatch(/mean weight is 0\.700.*never shows/)
    expect(refused(even.map(() => 1.3))).toMatch(/mean weight is 1\.300.*propensities/)
    // chance alone: 5 standard errors
    expect(refused(even.map((_, i) => (i % 20 === 0 ? 17 : 0)))).toBe(
      'effective sample size 100.0 is below 500',
    )
  })

  it.each([
    [null, 'missing'],
    [undefined, 'missing'],
    [Number.NaN, 'not a number'],
    [0, 'zero or negative'],
    [-0.1, 'zero or negative'],
    [1.01, 'above 1'],
    [Number.POSITIVE_INFINITY, 'above 1'],
    [1, undefined],
    [1e-12, undefined],
  ])('a propensity of %s is %s', (p, fault) => {
    expect(propensityFault(p)).toBe(fault)
  })
})

describe('the reward model', () => {
  it('asks the other half of users alone', () => {
    const model = new RewardModel()
    const half = (which: 0 | 1) =>
      Array.from({ length: 400 }, (_, i) => `u${i}`).filter(user => halfOf(user) === which)
    for (const user of half(0)) model.add(user, 'x', 0, 1)
    for (const user of half(1)) model.add(user, 'x', 0, 0)
    expect(model.q(half(0)[0], 'x', 0)).toBe(0)
    expect(model.q(half(1)[0], 'x', 0)).toBe(1)
  })

  it('finds means by item and position, and smooths what it hardly saw', () => {
    const model = new RewardModel()
    const random = randomFrom(2)
    const truth = (item: number, position: number) => [0.1, 0.3, 0.6][item] / (1 + position)
    for (let i = 0; i < 30_000; i++)
      for (let position = 0; position < 3; position++) {
        const item = Math.floor(random() * 3)
        model.add(`u${i}`, `i${item}`, position, random() < truth(item, position) ? 1 : 0)
      }
    for (let item = 0; item < 3; item++)
      for (let position = 0; position < 3; position++)
        expect(Math.abs(model.q('u1', `i${item}`, position) - truth(item, position))).toBeLessThan(
          0.02,
        )
    const unseen = model.q('u1', 'new', 1)
    expect(unseen).toBeGreaterThan(0.1)
    expect(unseen).toBeLessThan(0.25)
    expect(new RewardModel().q('u', 'x', 0)).toBe(0)
  })
})

/**
 * What p is for: from a log drawn by one policy, the known value of another is recovered within its interval. Values are
 * known by enumeration of every slate through propensities.ts, which shares no code with the draws.
 */
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { chancesAfter, type DrawnCandidate } from './propensities.ts'
import { EXPLORED, FRESH, Slate, type SlateRules, Traits } from './rules.ts'
import { SlateDrawer } from './slate.ts'

const base: SlateRules = {
  size: 3,
  policy: 'plackett-luce',
  temperature: 1,
  epsilon: 0,
  mmr: 0.5,
  mmrPositions: 3,
  creatorCap: 2,
  topicRun: 2,
  caps: [{ mark: 2, most: 1 }],
  floors: [{ mark: 1, share: 0.5, after: 1 }],
  fresh: { atLeast: 1, ofFirst: 3 },
  exploreMost: Number.POSITIVE_INFINITY,
  samples: 8,
  rateWeight: 1,
}
const unit = (angle: number) => Float32Array.from([Math.cos(angle), Math.sin(angle)])
const candidates: readonly DrawnCandidate[] = Array.from({ length: 7 }, (_, i) => ({
  weight: [1.1, 0.9, 0.8, 0.3, 0.2, 0, -0.4][i],
  creator: i % 3,
  topic: i % 2,
  marks: [1, 0, 2, 1 | FRESH, EXPLORED, FRESH | 2, 1][i],
  vector: unit(i),
}))
/** What a viewer gives for an item at a position: more at the top, and less where it follows its like. */
const quality = [0.1, 0.5, 0.2, 0.9, 0.4, 0.7, 0.3]
const reward = (picked: readonly number[], k: number) =>
  (quality[picked[k]] / (k + 1)) * (k > 0 && picked[k] % 2 === picked[k - 1] % 2 ? 0.5 : 1)

function trueValue(rules: SlateRules): number {
  const from = (above: readonly number[]): number => {
    if (above.length === rules.size) return 0
    let value = 0
    for (const [pick, p] of chancesAfter(above, candidates, rules)) {
      const next = [...above, pick]
      value += p * (reward(next, above.length) + from(next))
    }
    return value
  }
  return from([])
}

function traitsOf(): Traits {
  const traits = new Traits(candidates.length, 2)
  traits.count = candidates.length
  candidates.forEach(({ weight, creator, topic, marks, vector }, i) => {
    traits.logit[i] = weight
    traits.creator[i] = creator
    traits.topic[i] = topic
    traits.marks[i] = marks ?? 0
    traits.alpha[i] = 2 + i
    traits.beta[i] = 20
    traits.vectors.set(Array.from(vector), i * 2)
  })
  return traits
}

/** The mean of each position's reward, weighed by the product of target / logged chance down to it, and its error. */
function estimate(
  drawers: readonly SlateDrawer[],
  target: SlateRules,
): { value: number; error: number } {
  const traits = traitsOf()
  const slate = new Slate(base.size)
  const random = randomFrom(77)
  const n = 30_000
  const known = new Map<string, ReadonlyMap<number, number>>()
  const wantedAfter = (above: readonly number[]) => {
    const chances = known.get(above.join()) ?? chancesAfter(above, candidates, target)
    known.set(above.join(), chances)
    return chances
  }
  let sum = 0
  let squares = 0
  for (let log = 0; log < n; log++) {
    drawers[log % drawers.length].draw(traits, random, slate)
    const picked = Array.from(slate.picked.subarray(0, slate.count))
    let weight = 1
    let value = 0
    for (let k = 0; k < slate.count; k++) {
      const wanted = wantedAfter(picked.slice(0, k)).get(picked[k]) ?? 0
      weight *= wanted / slate.p[k]
      if (weight === 0) break
      value += weight * reward(picked, k)
    }
    sum += value
    squares += value * value
  }
  const value = sum / n
  return { value, error: Math.sqrt((squares / n - value * value) / n) }
}

const drawerOf = (rules: Partial<SlateRules>) =>
  new SlateDrawer({ ...base, ...rules }, candidates.length)

const loggers: readonly [string, readonly SlateDrawer[]][] = [
  ['plackett-luce', [drawerOf({})]],
  ['plackett-luce with a budget', [drawerOf({ exploreMost: 0 }), drawerOf({ exploreMost: 1 })]],
  ['epsilon', [drawerOf({ policy: 'epsilon', epsilon: 0.5 })]],
  [
    'epsilons by context, one log of several policies',
    [0.3, 0.6, 0.9].map(epsilon => drawerOf({ policy: 'epsilon', epsilon })),
  ],
  ['thompson', [drawerOf({ policy: 'thompson', samples: 8 })]],
]
const targets: readonly [string, SlateRules][] = [
  ['a colder plackett-luce', { ...base, temperature: 0.5 }],
  ['a warmer one without likeness', { ...base, temperature: 3, mmr: 0 }],
  ['the best', { ...base, policy: 'epsilon', epsilon: 0 }],
  ['epsilon', { ...base, policy: 'epsilon', epsilon: 0.2 }],
]

describe('weights by 1 / p', () => {
  it.each(loggers)('%s: its log gives the value of other policies', (logged, drawers) => {
    for (const [name, target] of targets) {
      // under a budget the log never shows what a policy without one may show
      const wanted = logged.includes('budget') ? { ...target, exploreMost: 0 } : target
      const truth = trueValue(wanted)
      const { value, error } = estimate(drawers, wanted)
      expect(error / truth, `${name}: the interval is narrow enough to tell`).toBeLessThan(0.05)
      expect(Math.abs(value - truth), `${name}: ${value} +- ${error}, truly ${truth}`).toBeLessThan(
        4 * error,
      )
    }
  })

  it('tells policies apart: a wrong p would not pass', () => {
    const values = targets.map(([, target]) => trueValue(target))
    expect(Math.max(...values) / Math.min(...values)).toBeGreaterThan(1.15)
  })
})

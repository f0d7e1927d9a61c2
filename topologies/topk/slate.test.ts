import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { allowedAfter, type DrawnCandidate, propensitiesOf } from './propensities.ts'
import { EXPLORED, FRESH, Slate, type SlateRules, Traits } from './rules.ts'
import { SlateDrawer } from './slate.ts'

const dimension = 3
const plain: SlateRules = {
  size: 50,
  policy: 'plackett-luce',
  temperature: 0.5,
  epsilon: 0.1,
  mmr: 0,
  mmrPositions: 20,
  creatorCap: 0,
  topicRun: 0,
  caps: [],
  floors: [],
  fresh: null,
  exploreMost: Number.POSITIVE_INFINITY,
  samples: 8,
  rateWeight: 1,
}

function traitsOf(candidates: readonly DrawnCandidate[]): Traits {
  const traits = new Traits(Math.max(1, candidates.length), dimension)
  traits.count = candidates.length
  candidates.forEach((candidate, i) => {
    traits.logit[i] = candidate.weight
    traits.creator[i] = candidate.creator
    traits.topic[i] = candidate.topic
    traits.marks[i] = candidate.marks ?? 0
    traits.alpha[i] = 1 + (i % 3)
    traits.beta[i] = 2 + (i % 5)
    for (let k = 0; k < dimension; k++) traits.vectors[i * dimension + k] = candidate.vector[k]
  })
  return traits
}

function drawn(candidates: readonly DrawnCandidate[], rules: SlateRules, random: () => number) {
  const slate = new Slate(rules.size)
  new SlateDrawer(rules, Math.max(1, candidates.length)).draw(traitsOf(candidates), random, slate)
  return {
    picked: [...slate.picked.subarray(0, slate.count)],
    p: [...slate.p.subarray(0, slate.count)],
    score: [...slate.score.subarray(0, slate.count)],
    explored: [...slate.explored.subarray(0, slate.count)],
  }
}

const unit = (angle: number) => Float32Array.from([Math.cos(angle), Math.sin(angle), 0])

const candidate = fc.record({
  weight: fc.integer({ min: -5_000, max: 9_000 }).map(x => x / 1000),
  creator: fc.integer({ min: -1, max: 3 }),
  topic: fc.integer({ min: -1, max: 2 }),
  marks: fc.constantFrom(0, 0, 1, 2, 3, 4, FRESH, FRESH | 1, EXPLORED, EXPLORED | FRESH),
  vector: fc.oneof(
    fc.double({ min: 0, max: 6, noNaN: true }).map(unit),
    fc.constant(new Float32Array(3)),
  ),
})
const orNone = <T>(rules: fc.Arbitrary<T[]>): fc.Arbitrary<T[]> =>
  fc.oneof(fc.constant<T[]>([]), rules)
const mark = fc.constantFrom(1, 2, 4)
const floor = fc.record({
  mark,
  share: fc.constantFrom(0.1, 0.25, 0.3, 0.5, 1),
  after: fc.integer({ min: 0, max: 4 }),
})
const someRules: fc.Arbitrary<SlateRules> = fc.record({
  size: fc.integer({ min: 1, max: 12 }),
  policy: fc.constantFrom('plackett-luce' as const, 'epsilon' as const),
  temperature: fc.constantFrom(0, 0.003, 0.1, 1, 30),
  epsilon: fc.constantFrom(0, 0.1, 1),
  mmr: fc.constantFrom(0, 0.3, 2),
  mmrPositions: fc.integer({ min: 0, max: 6 }),
  creatorCap: fc.integer({ min: 0, max: 3 }),
  topicRun: fc.integer({ min: 0, max: 3 }),
  caps: orNone(
    fc.array(fc.record({ mark, most: fc.integer({ min: 1, max: 3 }) }), { maxLength: 2 }),
  ),
  floors: orNone(fc.array(floor, { maxLength: 3 })),
  fresh: fc.option(
    fc.record({
      atLeast: fc.integer({ min: 1, max: 4 }),
      ofFirst: fc.integer({ min: 1, max: 8 }),
    }),
  ),
  exploreMost: fc.constantFrom(Number.POSITIVE_INFINITY, 0, 1, 2),
  samples: fc.constant(8),
  rateWeight: fc.constant(1),
})

describe('a slate', () => {
  it('L1: p equals the propensity computed from the whole draw', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 16 }),
        someRules,
        fc.nat(),
        (all, rules, seed) => {
          const { picked, p } = drawn(all, rules, randomFrom(seed))
          propensitiesOf({ rules, candidates: all, picked }).forEach((again, position) => {
            expect(Math.abs(p[position] - again)).toBeLessThanOrEqual(1e-9 * Math.max(again, 1e-9))
          })
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('L2: no position breaks a rule, nothing is doubled, and the list ends only where nothing is allowed', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 16 }),
        someRules,
        fc.nat(),
        (all, rules, seed) => {
          const { picked } = drawn(all, rules, randomFrom(seed))
          picked.forEach((pick, position) => {
            expect(allowedAfter(picked.slice(0, position), all, rules)).toContain(pick)
          })
          expect(new Set(picked).size).toBe(picked.length)
          if (picked.length < rules.size) expect(allowedAfter(picked, all, rules)).toEqual([])
          for (const creator of [0, 1, 2, 3])
            if (rules.creatorCap > 0)
              expect(picked.filter(i => all[i].creator === creator).length).toBeLessThanOrEqual(
                rules.creatorCap,
              )
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it('L4: p is in (0, 1] whatever the logits, the temperature and the gaps between them', () => {
    const wild = fc.record({
      weight: fc.oneof(
        fc.constantFrom(0, 1e6, -1e6, 1e300, -1e300),
        fc.double({ min: -1e4, max: 1e4, noNaN: true }),
      ),
      creator: fc.constant(-1),
      topic: fc.integer({ min: -1, max: 1 }),
      vector: fc.constant(new Float32Array(3)),
    })
    fc.assert(
      fc.property(fc.array(wild, { maxLength: 10 }), someRules, fc.nat(), (all, rules, seed) => {
        const { p, score, picked } = drawn(all, { ...rules, creatorCap: 0 }, randomFrom(seed))
        expect(picked.length).toBe(Math.min(all.length, rules.size))
        for (const x of p) expect(x > 0 && x <= 1).toBe(true)
        for (const x of score) expect(Number.isFinite(x)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  it('frequencies over 200,000 draws match p at every position', () => {
    const candidates: DrawnCandidate[] = Array.from({ length: 8 }, (_, i) => ({
      weight: [1.2, 1, 0.9, 0.5, 0.5, 0.1, -0.2, 0][i],
      creator: i % 3,
      topic: i % 2,
      vector: unit(i / 2),
    }))
    const rules = { ...plain, size: 5, mmr: 0.4, creatorCap: 2, topicRun: 2 }
    const traits = traitsOf(candidates)
    const slate = new Slate(5)
    const drawer = new SlateDrawer(rules, 8)
    const random = randomFrom(20)
    // given the same items above, how often each came next, and the p it was given
    const seen = new Map<string, { n: number; next: Map<number, { n: number; p: number }> }>()
    let differing = 0
    for (let draw = 0; draw < 200_000; draw++) {
      drawer.draw(traits, random, slate)
      let above = ''
      for (let position = 0; position < slate.count; position++) {
        const pick = slate.picked[position]
        let at = seen.get(above)
        if (at === undefined) {
          at = { n: 0, next: new Map() }
          seen.set(above, at)
        }
        at.n++
        const next = at.next.get(pick)
        if (next === undefined) at.next.set(pick, { n: 1, p: slate.p[position] })
        else {
          next.n++
          if (slate.p[position] !== next.p) differing++
        }
        above += pick
      }
    }
    expect(differing).toBe(0)
    let compared = 0
    for (const { n, next } of seen.values()) {
      if (n < 1_000) continue
      let chi2 = 0
      let cells = 0
      let sum = 0
      for (const { n: count, p } of next.values()) {
        sum += p
        if (n * p < 5) continue
        chi2 += (count - n * p) ** 2 / (n * p)
        cells++
      }
      expect(sum).toBeCloseTo(1, n > 20_000 ? 6 : 2)
      // far in the tail of chi2 with `cells` degrees (mean cells, variance 2 cells)
      expect(chi2).toBeLessThan(cells + 6 * Math.sqrt(2 * cells) + 6)
      compared++
    }
    expect(compared).toBeGreaterThan(30)
  })

  it('the p of all slates of a small set sum to 1 by enumeration', () => {
    const candidates: DrawnCandidate[] = Array.from({ length: 5 }, (_, i) => ({
      weight: i / 4,
      creator: i % 2,
      topic: i < 3 ? 0 : 1,
      vector: unit(i),
    }))
    for (const policy of ['plackett-luce', 'epsilon'] as const) {
      const rules = { ...plain, policy, size: 4, mmr: 0.5, creatorCap: 2, topicRun: 2 }
      let total = 0
      let slates = 0
      const extend = (picked: number[]): void => {
        const next = allowedAfter(picked, candidates, rules)
        if (picked.length === rules.size || next.length === 0) {
          total += propensitiesOf({ rules, candidates, picked }).reduce((a, b) => a * b, 1)
          slates++
          return
        }
        for (const i of next) extend([...picked, i])
      }
      extend([])
      expect(slates).toBeGreaterThan(20)
      expect(total).toBeCloseTo(1, 12)
    }
  })

  it('at temperature 0 is the order of the scores, p = 1', () => {
    const candidates = [0.3, 2, 1].map(weight => ({
      weight,
      creator: -1,
      topic: -1,
      vector: unit(0),
    }))
    const { picked, p } = drawn(candidates, { ...plain, temperature: 0 }, randomFrom(1))
    expect({ picked, p }).toEqual({ picked: [1, 2, 0], p: [1, 1, 1] })
  })

  it('L3: where all candidates are in the list, its own scores and temperature give p', () => {
    const candidates = Array.from({ length: 20 }, (_, i) => ({
      weight: Math.round(1000 * Math.sin(i)) / 1000,
      creator: -1,
      topic: -1,
      vector: unit(0),
    }))
    const { p, score } = drawn(candidates, plain, randomFrom(4))
    p.forEach((x, k) => {
      const below = score.slice(k).map(s => Math.exp((s - score[k]) / plain.temperature))
      expect(x).toBeCloseTo(1 / below.reduce((a, b) => a + b), 12)
    })
  })

  it('keeps a share of the positions that no binary fraction is: .58 of 50 are 29', () => {
    const candidates = Array.from({ length: 100 }, (_, i) => ({
      weight: -i,
      creator: -1,
      topic: -1,
      marks: i < 50 ? 0 : 1,
      vector: unit(0),
    }))
    const floors = [{ mark: 1, share: 0.58, after: 0 }]
    const { picked } = drawn(candidates, { ...plain, temperature: 0, floors }, randomFrom(1))
    expect(picked.filter(i => i >= 50).length).toBe(29)
  })

  it('has the p of the worked example in docs/lists.md', () => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/lists.md'), 'utf8')
    const candidates = [1.2, 1.1, 1, 0.7].map((weight, i) => ({
      weight,
      creator: [1, 1, 2, 3][i],
      topic: -1,
      vector: new Float32Array(3),
    }))
    const rules = { ...plain, temperature: 0.1, creatorCap: 1 }
    for (const [own, digits] of [
      [rules, ['**0.6623**', '**0.9526**', '**1**']],
      [{ ...rules, policy: 'epsilon' as const }, ['p = 0.925', ' 0.95,', ' 1:']],
    ] as const) {
      let list = drawn(candidates, own, randomFrom(0))
      for (let seed = 1; list.picked.join() !== '0,2,3'; seed++)
        list = drawn(candidates, own, randomFrom(seed))
      list.p.forEach((p, k) => {
        expect(p).toBeCloseTo(Number(/[\d.]+/.exec(digits[k])), 4)
        expect(text).toContain(digits[k])
      })
    }
  })

  it('of no candidates, one, and equal ones is as good as it can be', () => {
    const one = { weight: 0, creator: -1, topic: -1, vector: new Float32Array(3) }
    expect(drawn([], plain, randomFrom(1)).picked).toEqual([])
    expect(drawn([one], plain, randomFrom(1))).toMatchObject({ picked: [0], p: [1] })
    const { p } = drawn([one, one, one, one], plain, randomFrom(1))
    expect(p).toEqual([1 / 4, 1 / 3, 1 / 2, 1])
  })
})

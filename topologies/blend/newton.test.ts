import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { featureCount } from './features.ts'
import { ChoiceModel } from './newton.ts'

const f = featureCount
const none = new Float64Array(21)

/** Rows of small numbers in the first `used` features; the others are 0. */
function rowsOf(random: () => number, n: number, used: number): Float64Array {
  const x = new Float64Array(n * f)
  for (let s = 0; s < n; s++) for (let i = 0; i < used; i++) x[s * f + i] = random() * 2 - 1
  return x
}

/** Puts the row that a user with these weights takes first. */
function choose(x: Float64Array, n: number, truth: readonly number[], random: () => number): void {
  const weights = Array.from({ length: n }, (_, s) =>
    Math.exp(truth.reduce((sum, w, i) => sum + w * x[s * f + i], 0)),
  )
  let left = random() * weights.reduce((a, b) => a + b, 0)
  let taken = 0
  while (taken < n - 1 && left > weights[taken]) left -= weights[taken++]
  const row = x.slice(taken * f, (taken + 1) * f)
  x.copyWithin(taken * f, 0, f)
  x.set(row, 0)
}

/** The gradient of the log likelihood, written out. */
function gradientOf(x: Float64Array, n: number, w: readonly number[], offset: number): number[] {
  const logits = Array.from(
    { length: n },
    (_, s) => (s === 0 ? 0 : offset) + w.reduce((sum, v, i) => sum + v * x[s * f + i], 0),
  )
  const total = logits.reduce((sum, l) => sum + Math.exp(l), 0)
  return Array.from({ length: f }, (_, i) =>
    logits.reduce((g, l, s) => g - (Math.exp(l) / total) * x[s * f + i], x[i]),
  )
}

describe('the choice model', () => {
  it('finds the weights that choices were made with, shared and of a bucket', () => {
    const random = randomFrom(7)
    const model = new ChoiceModel(21)
    const truth = [1.5, -1, 0.5, 0, 2]
    const ofBucket = [0.5, 0, 0, -1, 0]
    for (let step = 0; step < 20_000; step++) {
      const bucket = step % 2 === 0 ? 3 : 5
      const x = rowsOf(random, 21, truth.length)
      const own = truth.map((w, i) => w + (bucket === 3 ? ofBucket[i] : 0))
      choose(x, 21, own, random)
      model.learn(x, 21, bucket, none)
    }
    truth.forEach((w, i) => {
      expect(model.means[i] + model.means[6 * f + i]).toBeCloseTo(w, 0.5)
      expect(model.means[i] + model.means[4 * f + i]).toBeCloseTo(w + ofBucket[i], 0.5)
    })
  })

  it('keeps P the inverse of the discounted sum of gradients squared', () => {
    const random = randomFrom(11)
    const model = new ChoiceModel(6)
    const lambda = 0.9998
    const inverse = Array.from({ length: f }, (_, i) =>
      Array.from({ length: f }, (_, j) => (i === j ? 1 / 0.2 : 0)),
    )
    for (let step = 0; step < 40; step++) {
      const x = rowsOf(random, 6, f)
      const w = Array.from({ length: f }, (_, i) => model.weights[i] + model.weights[f + i])
      const g = gradientOf(x, 6, w, 0.3)
      for (let i = 0; i < f; i++)
        for (let j = 0; j < f; j++) inverse[i][j] = lambda * inverse[i][j] + g[i] * g[j]
      model.learn(x, 6, 0, [0, 0.3, 0.3, 0.3, 0.3, 0.3])
    }
    for (let i = 0; i < f; i++)
      for (let j = 0; j < f; j++) {
        let product = 0
        for (let k = 0; k < f; k++) product += model.curvature[i * f + k] * inverse[k][j]
        expect(product).toBeCloseTo(i === j ? 1 : 0, 8)
      }
  })

  it('N1: leaves out a step that is not finite, and bounds every other', () => {
    const random = randomFrom(3)
    const model = new ChoiceModel(3)
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const x = rowsOf(random, 3, f)
      x[f + 2] = bad
      const before = model.weights.slice()
      expect(model.learn(x, 3, 0, none)).toBeNaN()
      expect(model.weights).toEqual(before)
    }
    expect(model.refused).toBe(3)
    for (let step = 0; step < 2_000; step++) {
      const before = model.weights.slice(0, f)
      model.learn(
        rowsOf(random, 3, f).map(v => v * 1e6),
        3,
        0,
        [0, 5, 5],
      )
      const moved = Math.hypot(...before.map((w, i) => model.weights[i] - w))
      expect(moved).toBeLessThanOrEqual(0.05 + 1e-9)
    }
    expect([...model.weights, ...model.means, ...model.curvature].every(Number.isFinite)).toBe(true)
  })

  it('N3: P keeps its two halves equal, so that 250,000 steps on kindred features do not run away', {
    timeout: 60_000,
  }, () => {
    const random = randomFrom(13)
    const n = 3
    const model = new ChoiceModel(n)
    const truth = Array.from({ length: f }, (_, i) => (i % 3) - 1)
    const loss = { early: 0, late: 0 }
    const x = new Float64Array(n * f)
    for (let step = 1; step <= 250_000; step++) {
      for (let s = 0; s < n; s++) {
        const common = random() * 2 - 1
        for (let i = 0; i < f; i++) x[s * f + i] = common + random() * 2 - 1
      }
      choose(x, n, truth, random)
      const now = model.learn(x, n, 6, none)
      if (step > 20_000 && step <= 40_000) loss.early += now / 20_000
      if (step > 230_000) loss.late += now / 20_000
    }
    for (const set of [0, 7])
      for (let i = 0; i < f; i++) {
        expect(model.curvature[(set * f + i) * f + i]).toBeGreaterThan(0)
        for (let j = 0; j < i; j++)
          expect(model.curvature[(set * f + i) * f + j]).toBe(
            model.curvature[(set * f + j) * f + i],
          )
      }
    expect(model.renewed).toBe(0)
    expect(loss.late).toBeLessThan(loss.early * 1.05)
  })

  it('N3: goes on with what a sound set left, and begins anew what ran away', () => {
    const random = randomFrom(17)
    const model = new ChoiceModel(6)
    for (let step = 0; step < 50; step++) model.learn(rowsOf(random, 6, f), 6, step % 4, none)
    const before = model.weights.slice()
    // set 0: halves apart; 1: a variance below 0, weights sane; 2: one as well, weights ran away; 3: NaN
    const { curvature, weights, means } = model
    curvature[1 * f + 0] += 1e-3
    curvature[(1 * f + 2) * f + 2] = -1
    curvature[(2 * f + 2) * f + 2] = -1
    weights[2 * f + 5] = 1e9
    means[3 * f + 1] = Number.NaN
    model.restored()
    expect(curvature[1 * f + 0]).toBe(curvature[0 * f + 1])
    expect(model.renewed).toBe(2)
    expect(curvature[(1 * f + 2) * f + 2]).toBe(0.04)
    expect(curvature[(1 * f + 2) * f + 3]).toBe(0)
    expect(weights.slice(0, 2 * f)).toEqual(before.slice(0, 2 * f))
    expect(weights.slice(2 * f, 4 * f).every(w => w === 0)).toBe(true)
    expect(means.slice(2 * f, 4 * f).every(w => w === 0)).toBe(true)
    expect(weights.slice(4 * f)).toEqual(before.slice(4 * f))
  })

  it('N3: a P that is negative along a gradient is begun anew, with the weights as they were', () => {
    const random = randomFrom(19)
    const model = new ChoiceModel(3)
    model.learn(rowsOf(random, 3, f), 3, 0, none)
    for (let i = 0; i < f * f; i++) model.curvature[i] = -model.curvature[i]
    const before = model.weights.slice(0, f)
    model.learn(rowsOf(random, 3, f), 3, 0, none)
    expect(model.renewed).toBe(1)
    expect(model.weights.slice(0, f)).toEqual(before)
    for (let i = 0; i < f; i++) expect(model.curvature[i * f + i]).toBe(0.2)
  })

  it('N2: P stays bounded in a direction that nothing moves in', () => {
    const random = randomFrom(5)
    const model = new ChoiceModel(3)
    for (let step = 0; step < 60_000; step++) model.learn(rowsOf(random, 3, 2), 3, 0, none)
    for (let i = 0; i < f; i++) expect(model.curvature[i * f + i]).toBeLessThanOrEqual(50)
  })
})

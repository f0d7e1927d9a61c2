import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { addPosition, at, denseCount, Features } from './features.ts'
import { creatorPrior, itemPrior, ResponseModel } from './model.ts'

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z))
const logit = (p: number): number => Math.log(p / (1 - p))

interface Impression {
  readonly content?: number
  readonly source?: number
  readonly age?: number
  readonly position?: number
  readonly creator?: number
  readonly item?: number
  readonly target: number
  readonly propensity?: number
}

function featuresOf(impression: Impression, x = new Features()): Features {
  x.clear()
  if (impression.source !== undefined) x.add(at.source + impression.source, 1)
  if (impression.age !== undefined) x.add(at.age, impression.age)
  if (impression.content !== undefined) x.add(at.content, impression.content)
  addPosition(impression.position ?? 0, x)
  x.creator = impression.creator ?? -1
  x.item = impression.item ?? -1
  return x
}

function learnAll(impressions: readonly Impression[], model = new ResponseModel()): ResponseModel {
  const x = new Features()
  for (const impression of impressions)
    model.learn(featuresOf(impression, x), impression.target, impression.propensity ?? null)
  return model
}

function withIntercept(x: Features): Features {
  x.add(at.intercept, 1)
  return x
}

const average = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/** Solves A x = b in place by Gaussian elimination. */
function solve(A: number[][], b: number[]): number[] {
  const n = b.length
  for (let i = 0; i < n; i++)
    for (let row = i + 1; row < n; row++) {
      const by = A[row][i] / A[i][i]
      for (let k = i; k < n; k++) A[row][k] -= by * A[i][k]
      b[row] -= by * b[i]
    }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i] -= A[i][k] * b[k]
    b[i] /= A[i][i]
  }
  return b
}

/** The most likely weights given all impressions at once, under the same Gaussian prior: Newton's method. */
function batch(impressions: readonly Impression[], groups: number): number[] {
  const n = denseCount + groups
  const rows = impressions.map(impression => {
    const x = featuresOf(impression)
    const dense: [number, number][] = Array.from({ length: x.count }, (_, k) => [
      x.index[k],
      x.value[k],
    ])
    dense.push([at.intercept, 1])
    if (x.item >= 0) dense.push([denseCount + x.item, 1])
    return { x: dense, y: impression.target }
  })
  const precision = Array.from({ length: n }, (_, i) =>
    i === at.intercept ? 1 / 9 : i >= denseCount ? 1 / itemPrior : 1,
  )
  let w = new Array<number>(n).fill(0)
  for (let round = 0; round < 12; round++) {
    const hessian = precision.map((p, i) => precision.map((_, j) => (i === j ? p : 0)))
    const gradient = w.map((value, i) => -precision[i] * value)
    for (const { x, y } of rows) {
      const p = sigmoid(x.reduce((sum, [i, value]) => sum + w[i] * value, 0))
      for (const [i, value] of x) {
        gradient[i] += (y - p) * value
        for (const [j, other] of x) hessian[i][j] += p * (1 - p) * value * other
      }
    }
    const step = solve(hessian, gradient)
    w = w.map((value, i) => value + step[i])
  }
  return w
}

/** Impressions of a known world: the user's answers, source, age, position and item all count. */
function world(n: number, seed: number, items = 20): Impression[] {
  const random = randomFrom(seed)
  const effects = Array.from({ length: items }, () => (random() - 0.5) * 1.2)
  return Array.from({ length: n }, () => {
    const content = Math.round((random() - 0.5) * 6000) / 1000
    const source = Math.floor(random() * 4)
    const age = random()
    const position = Math.floor(random() * 30)
    const item = Math.floor(random() * items)
    const z = -1 + 0.4 * content + 0.3 * source - 0.8 * age - 0.05 * position + effects[item]
    return { content, source, age, position, item, target: random() < sigmoid(z) ? 1 : 0 }
  })
}

/** Root of the mean squared error between two lists, each less its own mean. */
function spread(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [average(a), average(b)]
  return Math.sqrt(average(a.map((value, k) => (value - meanA - (b[k] - meanB)) ** 2)))
}

describe('the response model', () => {
  it('comes to what a batch regression with the same prior comes to, within .06 logits', () => {
    const impressions = world(20_000, 1)
    const model = learnAll(impressions)
    const w = batch(impressions, 20)
    const off = world(500, 2).map(impression => {
      const x = featuresOf(impression)
      x.add(at.intercept, 1)
      let exact = w[denseCount + x.item]
      for (let k = 0; k < x.count; k++) exact += w[x.index[k]] * x.value[k]
      return Math.abs(model.logit(x) - exact)
    })
    expect(Math.max(...off)).toBeLessThan(0.06)
    // what it found is what is there
    expect(model.weight[at.content]).toBeCloseTo(0.4, 1)
    expect(model.weight[at.age]).toBeCloseTo(-0.8, 1)
  })

  it('tells what a position does from what its items are worth', () => {
    const random = randomFrom(5)
    const examination = Array.from({ length: 10 }, (_, position) => 1 / (1 + 0.35 * position))
    const quality = Array.from({ length: 40 }, (_, item) => -3.5 + (item / 39) * 1.5)
    const seen = quality.map(() => ({ shown: 0, clicked: 0 }))
    const impressions: Impression[] = []
    for (let list = 0; list < 20_000; list++) {
      // the better an item, the higher it is put, most of the time
      const order = quality
        .map((q, item) => ({ item, by: q + 1.2 * (random() + random() + random() - 1.5) }))
        .sort((a, b) => b.by - a.by)
        .slice(0, 10)
      for (const [position, { item }] of order.entries()) {
        const clicked = random() < sigmoid(quality[item]) * examination[position]
        seen[item].shown++
        if (clicked) seen[item].clicked++
        impressions.push({ position, item, target: clicked ? 1 : 0 })
      }
    }
    const model = learnAll(impressions)
    // what is hardly shown stays near its prior
    const known = (values: readonly number[]) => values.filter((_, k) => seen[k].shown > 1_000)
    const learnt = quality.map((_, item) => model.items.weight[item])
    const naive = seen.map(({ shown, clicked }) => logit((clicked + 1) / (shown + 10)))
    // rates are low, so the logarithm of examination is what it takes off the logit
    for (let position = 1; position < 10; position++)
      expect(model.weight[at.position + position - 1]).toBeCloseTo(
        Math.log(examination[position]),
        0,
      )
    const positions = examination.slice(1).map((_, k) => model.weight[at.position + k])
    expect(spread(positions, examination.slice(1).map(Math.log))).toBeLessThan(0.08)
    const error = (values: readonly number[]) => spread(known(values), known(quality))
    expect(error(learnt)).toBeLessThan(0.1)
    expect(error(naive)).toBeGreaterThan(2 * error(learnt))
    // a model that does not look at positions takes exposure for taste
    const blind = learnAll(impressions.map(({ position: _, ...rest }) => rest))
    const blindly = quality.map((_, item) => blind.items.weight[item])
    expect(error(blindly)).toBeGreaterThan(1.5 * error(learnt))
  })

  it('weighs by propensity: who an item was shown to does not pass for what it is', () => {
    const random = randomFrom(9)
    const impressions: Impression[] = []
    for (let k = 0; k < 60_000; k++) {
      // item 1 is shown mostly to those who like it, item 0 to everyone alike; both are worth the same to all
      const fan = random() < 0.5
      const propensity = fan ? 0.8 : 0.2
      const item = random() < propensity ? 1 : 0
      const rate = fan ? 0.6 : 0.1
      const shown = item === 1 ? propensity : 1 - propensity
      impressions.push({ item, propensity: shown, target: random() < rate ? 1 : 0 })
    }
    const weighed = learnAll(impressions)
    const plain = learnAll(impressions.map(({ propensity: _, ...rest }) => rest))
    expect(Math.abs(weighed.items.weight[1] - weighed.items.weight[0])).toBeLessThan(0.1)
    expect(plain.items.weight[1] - plain.items.weight[0]).toBeGreaterThan(1)
  })

  it('R1: small propensities alone change nothing', () => {
    const impressions = world(3_000, 3)
    const plain = learnAll(impressions)
    const rare = learnAll(impressions.map(each => ({ ...each, propensity: 0.001 })))
    expect(rare.meanImportance).toBe(10)
    expect([...rare.weight]).toEqual([...plain.weight])
  })

  it('gives a new item what its topic is worth', () => {
    const random = randomFrom(8)
    const model = new ResponseModel()
    const x = new Features()
    for (let k = 0; k < 10_000; k++) {
      x.clear()
      x.topic = k % 3
      x.item = 3 * Math.floor(random() * 50) + x.topic
      model.learn(x, random() < [0.05, 0.2, 0.5][x.topic] ? 1 : 0, null)
    }
    const chances = [0, 1, 2].map(topic =>
      sigmoid(model.weight[at.intercept] + model.topics.weight[topic]),
    )
    expect(chances[0]).toBeLessThan(0.09)
    expect(chances[1]).toBeCloseTo(0.2, 1)
    expect(chances[2]).toBeGreaterThan(0.4)
  })

  it('gives a new item what its creator is worth, and its own effect once it has been shown', () => {
    const random = randomFrom(7)
    const impressions: Impression[] = []
    const rates = [0.05, 0.2]
    for (let k = 0; k < 20_000; k++) {
      const creator = k % 2
      impressions.push({
        creator,
        item: creator * 50 + Math.floor(random() * 50),
        target: random() < rates[creator] ? 1 : 0,
      })
    }
    const model = learnAll(impressions)
    const { creators, items } = model
    expect(creators.weight[1] - creators.weight[0]).toBeGreaterThan(0.4)
    expect(creators.variance[0]).toBeLessThan(creatorPrior / 5)
    // item 200 is new and far better than its creator's others
    expect(items.weight[200]).toBe(0)
    expect(items.variance[200]).toBeCloseTo(itemPrior, 6)
    learnAll(
      Array.from({ length: 2_000 }, () => ({
        creator: 0,
        item: 200,
        target: random() < 0.5 ? 1 : 0,
      })),
      model,
    )
    const now = model.weight[at.intercept] + creators.weight[0] + items.weight[200]
    expect(sigmoid(now)).toBeGreaterThan(0.4)
  })

  it('R2: is never anything but finite, and what is not is refused', () => {
    const model = learnAll(world(200, 1))
    const before = [...model.weight]
    const x = featuresOf({ position: 3, item: 1, target: 1 })
    for (const target of [Number.NaN, 1.5, -1]) expect(model.learn(x, target, null)).toBeNaN()
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(model.learn(featuresOf({ age: odd, target: 1 }), 1, null)).toBeNaN()
    expect([...model.weight]).toEqual(before)
    // no single impression moves a prediction by more than a logit
    const sure = learnAll(Array.from({ length: 5_000 }, () => ({ item: 1, target: 0 })))
    const surprise = () => featuresOf({ position: 1e9, item: 1, target: 1 })
    const before1 = sure.logit(withIntercept(surprise()))
    sure.learn(surprise(), 1, null)
    const after = sure.logit(withIntercept(surprise()))
    expect(after).toBeGreaterThan(before1)
    expect(after).toBeLessThan(before1 + 1 + 1e-6)
    const random = randomFrom(11)
    for (let k = 0; k < 20_000; k++) {
      const loss = model.learn(
        featuresOf({
          position: Math.floor(random() * 1e6),
          age: random() * 10,
          source: Math.floor(random() * 7),
          creator: 1,
          item: 1,
          target: 0,
        }),
        random() < 0.5 ? 0 : 1,
        random() < 0.5 ? 1e-300 : null,
      )
      expect(loss).toBeGreaterThanOrEqual(0)
    }
    for (const value of [...model.weight, ...model.covariance, model.items.weight[1]])
      expect(Math.abs(value)).toBeLessThan(1e3)
    for (let i = 0; i < denseCount; i++)
      expect(model.covariance[i * denseCount + i]).toBeGreaterThan(0)
  })

  it('R3: goes on learning what changes', () => {
    const random = randomFrom(13)
    const draw = (rate: number, n: number) =>
      Array.from({ length: n }, () => ({ item: 3, target: random() < rate ? 1 : 0 }))
    const model = learnAll(draw(0.1, 100_000))
    learnAll(draw(0.4, 100_000), model)
    const now = sigmoid(model.weight[at.intercept] + model.items.weight[3])
    expect(now).toBeGreaterThan(0.3)
    // 200,000 impressions are remembered as some 20,000
    expect(model.items.variance[3]).toBeGreaterThan(2e-4)
  })
})

import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { SessionEmbeddings } from './embeddings.ts'
import { vectorDimension } from './rows.ts'

const d = vectorDimension
const options = { learningRate: 0.05, negatives: 20, recentPool: 50 }

/** The same model written as the formulas read: plain numbers, one vector an array, gradients by name. */
function plainModel(initial: number[][]) {
  const C = initial.map(vector => [...vector])
  const Q = initial.map(vector => vector.map(() => 0))
  const bias = initial.map(() => 0)
  const recent: number[] = []
  let steps = 0
  const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0)
  return {
    C,
    Q,
    bias,
    learn(target: number, history: number[], random: () => number): number {
      const last = history.slice(0, 10)
      const weights = last.map((_, k) => 0.8 ** k)
      const total = weights.reduce((a, b) => a + b, 0)
      const u = Array.from({ length: d }, (_, i) =>
        total === 0 ? 0 : last.reduce((sum, item, k) => sum + weights[k] * C[item][i], 0) / total,
      )
      const sampled = [target]
      for (let s = 0; s < options.negatives; s++) {
        const pool = s % 2 === 1 && recent.length > 0 ? recent : C.map((_, j) => j)
        const item = pool[Math.floor(random() * pool.length)]
        if (item !== target) sampled.push(item)
      }
      const logits = sampled.map(j => bias[j] + dot(u, Q[j]))
      const logSum = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0))
      const dLogit = logits.map((x, s) => Math.exp(x - logSum) - (s === 0 ? 1 : 0))
      const dU = Array.from({ length: d }, (_, i) =>
        sampled.reduce((sum, j, s) => sum + dLogit[s] * Q[j][i], 0),
      )
      sampled.forEach((j, s) => {
        bias[j] -= options.learningRate * dLogit[s]
        for (let i = 0; i < d; i++) Q[j][i] -= options.learningRate * dLogit[s] * u[i]
      })
      last.forEach((item, k) => {
        for (let i = 0; i < d; i++)
          C[item][i] -= options.learningRate * (weights[k] / total) * dU[i]
      })
      // a ring: the oldest place is written next
      if (recent.length < options.recentPool) recent.push(target)
      else recent[steps % options.recentPool] = target
      steps++
      return logSum - logits[0]
    },
  }
}

/** Users stay in one of `groups` groups of items and hardly ever leave it. */
function world(items: number, groups: number, seed: number) {
  const random = randomFrom(seed)
  return () => {
    const group = Math.floor(random() * groups)
    const pick = () =>
      random() < 0.95
        ? group + groups * Math.floor((random() * items) / groups)
        : Math.floor(random() * items)
    return { target: pick(), history: Array.from({ length: Math.floor(random() * 13) }, pick) }
  }
}

describe('session embeddings', () => {
  it('equal the plain model step by step', () => {
    const learner = new SessionEmbeddings(options)
    for (let i = 0; i < 40; i++) learner.add(i)
    const plain = plainModel(
      Array.from({ length: 40 }, (_, j) => [...learner.context.subarray(j * d, (j + 1) * d)]),
    )
    const next = world(40, 4, 3)
    for (let step = 0; step < 400; step++) {
      const { target, history } = next()
      const loss = learner.learn(target, history, history.length, randomFrom(step))
      expect(loss).toBeCloseTo(plain.learn(target, history, randomFrom(step)), 4)
    }
    for (let j = 0; j < 40; j++) {
      expect(learner.bias[j]).toBeCloseTo(plain.bias[j], 4)
      for (let i = 0; i < d; i++) {
        expect(learner.context[j * d + i]).toBeCloseTo(plain.C[j][i], 4)
        expect(learner.output[j * d + i]).toBeCloseTo(plain.Q[j][i], 4)
      }
    }
  })

  it('descend: a step on the same positive and negatives lowers its loss', () => {
    const learner = new SessionEmbeddings(options)
    for (let i = 0; i < 40; i++) learner.add(i)
    const next = world(40, 4, 5)
    for (let step = 0; step < 200; step++) {
      const { target, history } = next()
      const before = learner.learn(target, history, history.length, randomFrom(step))
      // the pool of recent targets has moved by one, so some negatives may differ; the loss falls all the same
      expect(learner.learn(target, history, history.length, randomFrom(step))).toBeLessThan(
        before + 0.15,
      )
    }
  })

  it('learn who is watched with whom: held-out likelihood rises well above that of popularity', () => {
    const learner = new SessionEmbeddings(options)
    for (let i = 0; i < 100; i++) learner.add(i)
    const next = world(100, 5, 7)
    const heldOut = Array.from({ length: 500 }, next).filter(p => p.history.length > 0)
    const meanLogLikelihood = (): number => {
      let sum = 0
      for (const { target, history } of heldOut) {
        const weights = history.slice(0, 10).map((_, k) => 0.8 ** k)
        const total = weights.reduce((a, b) => a + b, 0)
        const logits = Array.from({ length: 100 }, (_, j) => {
          let logit = learner.bias[j]
          weights.forEach((w, k) => {
            for (let i = 0; i < d; i++)
              logit += (w / total) * learner.context[history[k] * d + i] * learner.output[j * d + i]
          })
          return logit
        })
        sum += logits[target] - Math.log(logits.reduce((a, x) => a + Math.exp(x), 0))
      }
      return sum / heldOut.length
    }
    expect(meanLogLikelihood()).toBeCloseTo(-Math.log(100), 10)
    for (let step = 0; step < 20_000; step++) {
      const { target, history } = next()
      learner.learn(target, history, history.length, randomFrom(step))
    }
    // knowing only that all items are equally popular: -log 100 = -4.6; knowing the group: about -3.2
    expect(meanLogLikelihood()).toBeGreaterThan(-3.6)
  })

  it('are the same for the same positives, bit for bit', () => {
    const run = () => {
      const learner = new SessionEmbeddings(options)
      for (let i = 0; i < 40; i++) learner.add(i)
      const next = world(40, 4, 11)
      for (let step = 0; step < 500; step++) {
        const { target, history } = next()
        learner.learn(target, history, history.length, randomFrom(step))
      }
      return learner
    }
    expect(run().context).toEqual(run().context)
    expect(run().output).toEqual(run().output)
  })

  it('stay finite with one item, no history, an item that is its own history, and doubles in it', () => {
    const learner = new SessionEmbeddings(options)
    learner.add(1)
    for (let step = 0; step < 100; step++) {
      expect(learner.learn(0, [], 0, randomFrom(step))).toBe(0)
      learner.learn(0, [0, 0, 0], 3, randomFrom(step))
    }
    learner.add(2)
    for (let step = 0; step < 5_000; step++) learner.learn(1, [0, 0, 1], 3, randomFrom(step))
    for (const value of [
      ...learner.context.subarray(0, 2 * d),
      ...learner.output.subarray(0, 2 * d),
    ])
      expect(Number.isFinite(value)).toBe(true)
    expect(Number.isFinite(learner.bias[0] + learner.bias[1])).toBe(true)
  })

  it('grow beyond their first room without losing what was learnt', () => {
    const learner = new SessionEmbeddings(options)
    for (let i = 0; i < 1_000; i++) learner.add(i)
    learner.learn(7, [3], 1, randomFrom(1))
    const before = learner.output.slice(7 * d, 8 * d)
    expect(before.some(x => x !== 0)).toBe(true)
    for (let i = 1_000; i < 3_000; i++) learner.add(i)
    expect(learner.output.slice(7 * d, 8 * d)).toEqual(before)
  })
})

import { describe, expect, it } from 'vitest'
import { randomFrom } from '../../streams/serde/hash.ts'
import { RatePrior } from './rate-prior.ts'

/** A Beta(a, b) draw for whole a, b: the a-th smallest of a + b - 1 uniforms. */
function beta(a: number, b: number, random: () => number): number {
  const draws = Array.from({ length: a + b - 1 }, random).sort((x, y) => x - y)
  return draws[a - 1]
}

describe('the prior of rates', () => {
  it('finds the Beta that rates were drawn from', () => {
    const random = randomFrom(5)
    const prior = new RatePrior()
    for (let i = 0; i < 4_000; i++) {
      const rate = beta(2, 18, random)
      const n = 20 + Math.floor(random() * 400)
      let k = 0
      for (let j = 0; j < n; j++) if (random() < rate) k++
      // counts arrive in two steps
      prior.replace(0, 0, 10, Math.min(1, k))
      prior.replace(10, Math.min(1, k), n, k)
    }
    const { a, b } = prior.prior
    expect(a / (a + b)).toBeCloseTo(0.1, 2)
    expect(a + b).toBeGreaterThan(16)
    expect(a + b).toBeLessThan(24)
  })

  it('is strong where rates do not differ, and a default while little was shown', () => {
    const prior = new RatePrior()
    expect(prior.prior).toEqual({ a: 1, b: 19 })
    for (let i = 0; i < 50; i++) prior.replace(0, 0, 100, 10)
    const { a, b } = prior.prior
    expect(a + b).toBe(10_000)
    expect(a / (a + b)).toBeCloseTo(0.1, 3)
  })
})

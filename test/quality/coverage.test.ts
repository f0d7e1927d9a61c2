/** The program that measures how often intervals hold the truth, in small: what docs/evaluation.md says of 2,000 logs. */
import { describe, expect, it } from 'vitest'
import { coverage } from './coverage.ts'
import { SlateWorld } from './slate-world.ts'

describe('intervals of policy evaluation', () => {
  it('hold the truth about as often as they say, and ips_step does not pass as the value of a list policy', () => {
    const trials = 150
    const found = coverage({ trials, users: 700, positions: 3, replicates: 600, seed: 5 })
    expect(found.trials).toBe(trials)
    const of = (name: string) => {
      const each = found.estimators.find(estimator => estimator.name === name)
      if (each === undefined) throw new Error(name)
      return each
    }
    // 4 standard errors of a share of 95% in 150 logs
    for (const name of ['rips', 'snips', 'dr']) {
      const { normal, bootstrap, bias } = of(name)
      expect(normal, `${name}, normal`).toBeGreaterThan(0.95 - 0.072)
      expect(bootstrap, `${name}, bootstrap`).toBeGreaterThan(0.95 - 0.072)
      expect(Math.abs(bias), `${name}: ${bias}`).toBeLessThan(0.012)
    }
    expect(of('rips').bernstein).toBeGreaterThanOrEqual(0.95)
    expect(of('ips_step').bias).toBeGreaterThan(0.03)
    expect(of('ips_step').normal).toBeLessThan(0.8)
  })

  it('are judged by a truth that a long log finds, too', () => {
    const world = new SlateWorld({
      kinds: 3,
      items: 5,
      positions: 3,
      loggedTemperature: 1,
      targetTemperature: 0.5,
      visits: 2,
    })
    let state = 1
    const random = (): number => {
      state = (state * 16_807) % 2_147_483_647
      return state / 2_147_483_647
    }
    const log = world.log(60_000, random)
    const clicks = log.reduce((sum, { steps }) => sum + steps.reduce((s, r) => s + r.reward, 0), 0)
    expect(clicks / log.length).toBeCloseTo(world.truth(1), 2)
    expect(world.truth(0.5)).toBeGreaterThan(world.truth(1) * 1.02)
  })
})

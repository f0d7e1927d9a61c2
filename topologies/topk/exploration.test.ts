import { describe, expect, it } from 'vitest'
import { bucketOf, budgetLeft, contextHash, countExplored, isHoldout } from './exploration.ts'

const day = 86_400_000

describe('the holdout', () => {
  const options = (share: number, salt = '') => ({ 'explore.holdout': share, 'explore.salt': salt })

  it('X1: is the share asked for, the same users at every time, others for another salt', () => {
    const users = Array.from({ length: 100_000 }, (_, u) => `user-${u}`)
    const held = users.filter(user => isHoldout(user, options(0.01)))
    // 4.5 standard deviations of a binomial of 1%
    expect(Math.abs(held.length - 1_000)).toBeLessThan(4.5 * Math.sqrt(990))
    expect(users.filter(user => isHoldout(user, options(0.01)))).toEqual(held)
    const both = held.filter(user => isHoldout(user, options(0.01, 'again')))
    expect(both.length).toBeLessThan(40)
    // a larger share holds the smaller one
    expect(held.every(user => isHoldout(user, options(0.02)))).toBe(true)
    expect(users.some(user => isHoldout(user, options(0)))).toBe(false)
    expect(users.every(user => isHoldout(user, options(1)))).toBe(true)
  })
})

describe('epsilons by context', () => {
  it('X2: equal values of the declared keys have one bucket, and contexts are spread over all', () => {
    const keys = ['device', 'hour']
    expect(contextHash({ device: 'tv', hour: '9', network: 'lan' }, keys)).toBe(
      contextHash({ hour: '9', network: 'wifi', device: 'tv' }, keys),
    )
    expect(contextHash({ device: 'tv' }, keys)).toBe(contextHash({ device: 'tv', hour: '' }, keys))
    expect(contextHash({ device: 'a"', hour: 'b' }, keys)).not.toBe(
      contextHash({ device: 'a', hour: '"b' }, keys),
    )
    const counts = [0, 0, 0]
    for (let hour = 0; hour < 3_000; hour++)
      counts[bucketOf('s', 'home', contextHash({ hour: String(hour) }, keys), 3)]++
    for (const n of counts) expect(Math.abs(n - 1_000)).toBeLessThan(4.5 * Math.sqrt(667))
    const other = Array.from({ length: 300 }, (_, k) => k).filter(
      k => bucketOf('s', 'home', k, 3) === bucketOf('t', 'home', k, 3),
    )
    expect(other.length).toBeLessThan(150)
  })
})

describe('a day of explored positions', () => {
  it('X3: counts what was shown of each surface, forgets the day before, and ignores it when late', () => {
    const noon = 20_000 * day + day / 2
    let shown = countExplored(undefined, noon, 1)
    shown = countExplored(shown, noon + 5, 1)
    shown = countExplored(shown, noon + 6, 0)
    expect([0, 1, 2].map(surface => budgetLeft(5, shown, noon, surface))).toEqual([4, 3, 5])
    expect(budgetLeft(1, shown, noon, 1)).toBe(0)
    expect(budgetLeft(5, shown, noon + day, 1)).toBe(5)
    shown = countExplored(shown, noon + day, 1)
    shown = countExplored(shown, noon, 1)
    expect(budgetLeft(5, shown, noon + day, 1)).toBe(4)
    expect(budgetLeft(5, undefined, noon, 1)).toBe(5)
  })
})

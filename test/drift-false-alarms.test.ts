/** The declared rate of false alarms and the shifts found, in short; in full: `npm run quality -- drift`. */
import { describe, expect, it } from 'vitest'
import { falseAlarms, found } from './quality/drift-null.ts'

describe('PSI over its threshold', () => {
  // five times the default, so that a few hundred windows can tell
  const alpha = 0.05

  it.each([
    { perUser: 1, alike: 0 },
    { perUser: 5, alike: 0.8 },
    { perUser: 20, alike: 0.9 },
  ])('in quiet windows as often as declared: $perUser rows a user', user => {
    const { any } = falseAlarms({
      ...user,
      n: 1_000,
      reference: 5_000,
      windows: 300,
      each: 20,
      alpha,
    })
    expect(any).toBeGreaterThan(alpha * 0.3)
    expect(any).toBeLessThan(alpha * 1.7)
  })

  it('within three windows of a shift of PSI .2', () => {
    const at = { perUser: 5, alike: 0.4, n: 1_000, reference: 20_000, alpha: 0.01 }
    const { once, alert } = found(at, 0.2, 40)
    expect(once).toBe(1)
    expect(alert).toBeGreaterThanOrEqual(0.95)
  })
})

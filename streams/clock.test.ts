import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { steadyNow, systemClock } from './clock.ts'

/** A wall clock that jumps by `jumpMs` before each step of `stepMs`. */
function run(steps: readonly { stepMs: number; jumpMs: number }[]): {
  walls: number[]
  nows: number[]
} {
  let wall = 1_700_000_000_000
  let monotonic = 0
  const now = steadyNow(
    () => wall,
    () => monotonic,
  )
  const walls: number[] = []
  const nows: number[] = []
  for (const { stepMs, jumpMs } of steps) {
    wall += jumpMs + stepMs
    monotonic += stepMs
    walls.push(wall)
    nows.push(now())
  }
  return { walls, nows }
}

const steps = fc.array(
  fc.record({
    stepMs: fc.integer({ min: 0, max: 60_000 }),
    jumpMs: fc.oneof(fc.constant(0), fc.integer({ min: -7_200_000, max: 7_200_000 })),
  }),
  { minLength: 2, maxLength: 60 },
)

describe('a steady clock', () => {
  it('never goes back and never stands still, whatever the wall clock does', () => {
    fc.assert(
      fc.property(steps, all => {
        const { walls, nows } = run(all)
        const waits = (i: number): boolean => walls[i] < nows[i - 1]
        for (let i = 1; i < nows.length; i++) {
          expect(nows[i]).toBeGreaterThanOrEqual(nows[i - 1])
          // from the second look on that finds the wall clock behind: half of what really passed
          if (i < 2 || !waits(i) || !waits(i - 1)) continue
          expect(nows[i] - nows[i - 1]).toBeGreaterThanOrEqual(Math.floor(all[i].stepMs / 2))
        }
      }),
    )
    const back = run([
      { stepMs: 1000, jumpMs: 0 },
      { stepMs: 1000, jumpMs: -3_600_000 },
      ...Array.from({ length: 10 }, () => ({ stepMs: 1000, jumpMs: 0 })),
    ])
    expect((back.nows.at(-1) as number) - back.nows[1]).toBe(5_000)
  })

  it('is the wall clock again once that has caught up', () => {
    const { walls, nows } = run([
      { stepMs: 1000, jumpMs: -60_000 },
      ...Array.from({ length: 130 }, () => ({ stepMs: 1000, jumpMs: 0 })),
    ])
    expect(nows.at(-1)).toBe(walls.at(-1))
  })

  it('follows a jump ahead at once', () => {
    const { walls, nows } = run([{ stepMs: 10, jumpMs: 3_600_000 }])
    expect(nows[0]).toBe(walls[0])
  })
})

describe('sleep', () => {
  it('ends when it is told to', async () => {
    const abort = new AbortController()
    const slept = systemClock.sleep(3_600_000, abort.signal)
    abort.abort()
    await slept
    await systemClock.sleep(3_600_000, abort.signal)
  })
})

/** Users of the holdout train nobody; what they watched is counted as that of all others. */
import { expect, it } from 'vitest'
import { openLockstep } from '../replay/lockstep/lockstep.ts'
import { resolveOptions } from '../streams/options.ts'
import { topologyOptions } from '../topologies/options.ts'
import { isHoldout } from '../topologies/topk/exploration.ts'

const startAt = Date.UTC(2026, 0, 1)

it('the learner and co-visitation know nothing of what the holdout watched, popularity counts it', async () => {
  const { values: options } = resolveOptions(topologyOptions, {
    flags: { 'explore.holdout': '0.5' },
    environment: {},
    file: {},
  })
  const lockstep = await openLockstep({ options, startAt })
  const held = new Set<string>()
  for (let n = 0; n < 400; n++) {
    const user = n % 20
    const userId = `u${user}`
    const isHeld = isHoldout(userId, options)
    if (isHeld) held.add(userId)
    // who is held out watches other items than the rest
    const itemId = `${isHeld ? 'held' : 'free'}${(n * 7) % 41}`
    lockstep.sendEvent({
      ...{ type: 'watch', eventId: `e${n}`, playId: `p${n}`, userId, itemId, consent: 'full' },
      ...{ ts: startAt + n * 1000, watchedMs: 100_000, durationMs: 100_000 },
    })
  }
  expect(held.size).toBeGreaterThan(4)
  expect(held.size).toBeLessThan(16)
  const { items } = lockstep
  const learnt = { held: 0, free: 0 }
  const counted = { held: 0, free: 0 }
  for (let i = 0; i < items.size; i++) {
    const sort = items.idOf(i).startsWith('held') ? 'held' : 'free'
    if (items.hasVector(i) || items.neighbours(i) !== undefined) learnt[sort]++
    if (items.positives(i) > 0) counted[sort]++
  }
  expect(counted.held).toBeGreaterThan(20)
  expect(learnt.free).toBe(counted.free)
  expect(learnt.held).toBe(0)
})

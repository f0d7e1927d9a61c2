import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ListQueue, type Waiting } from './queue.ts'

const options = { minIntervalMs: 500, oldestFirstAfterMs: 1_000 }
const someone = (name: string) => ({ name, scratch: {} as Waiting })

describe('the queue of lists', () => {
  it('Q2: takes the newest first, but the oldest before all once it waits too long', () => {
    const queue = new ListQueue<ReturnType<typeof someone>>(options)
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(someone)
    queue.markDirty(a, 0)
    queue.markDirty(b, 400)
    queue.markDirty(c, 800)
    expect(queue.next(900)).toBe(c)
    queue.built(c, 900)
    queue.markDirty(d, 1_000)
    expect(queue.next(1_001)).toBe(a)
    queue.built(a, 1_001)
    expect(queue.next(1_002)).toBe(d)
    queue.built(d, 1_002)
    expect(queue.next(1_003)).toBe(b)
    queue.built(b, 1_003)
    expect(queue.next(9_999)).toBeUndefined()
  })

  it('Q1: rests a user for the interval, and counts what came in between', () => {
    const queue = new ListQueue<ReturnType<typeof someone>>(options)
    const a = someone('a')
    queue.markDirty(a, 0)
    expect(queue.next(0)).toBe(a)
    queue.built(a, 0)
    queue.markDirty(a, 100)
    queue.markDirty(a, 200)
    expect(queue.coalesced).toBe(1)
    expect([...queue.waiting()]).toEqual([a])
    expect(queue.next(499)).toBeUndefined()
    expect(queue.next(500)).toBe(a)
  })

  it('Q3: takes an urgent user before all, resting or not, and once', () => {
    const queue = new ListQueue<ReturnType<typeof someone>>(options)
    const [a, b] = ['a', 'b'].map(someone)
    queue.markDirty(a, 0)
    queue.next(0)
    queue.built(a, 0)
    queue.markDirty(b, 1)
    queue.markUrgent(a, 2)
    expect(queue.next(2)).toBe(a)
    queue.built(a, 2)
    expect(queue.next(3)).toBe(b)
    queue.built(b, 3)
    expect(queue.next(600)).toBeUndefined()
    queue.markDirty(b, 700)
    queue.markUrgent(b, 700)
    expect(queue.next(700)).toBe(b)
    queue.built(b, 700)
    expect(queue.next(5_000)).toBeUndefined()
  })

  it('never forgets a dirty user, never builds too often or twice for nothing', () => {
    const action = fc.record({
      user: fc.nat({ max: 4 }),
      wait: fc.nat({ max: 400 }),
      what: fc.constantFrom('dirty', 'dirty', 'urgent', 'build', 'build'),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), actions => {
        const queue = new ListQueue<ReturnType<typeof someone>>(options)
        const users = ['a', 'b', 'c', 'd', 'e'].map(someone)
        const dirty = new Set<string>()
        const urgent = new Set<string>()
        const builtAt = new Map<string, number>()
        let now = 0
        const build = (): boolean => {
          const user = queue.next(now)
          if (user === undefined) return false
          expect(dirty.has(user.name)).toBe(true)
          if (!urgent.has(user.name))
            expect(now - (builtAt.get(user.name) ?? -500)).toBeGreaterThanOrEqual(500)
          else expect(urgent.size).toBeGreaterThan(0)
          queue.built(user, now)
          dirty.delete(user.name)
          urgent.delete(user.name)
          builtAt.set(user.name, now)
          return true
        }
        for (const { user, wait, what } of actions) {
          now += wait
          if (what === 'build') build()
          else {
            dirty.add(users[user].name)
            if (what === 'urgent') urgent.add(users[user].name)
            if (what === 'urgent') queue.markUrgent(users[user], now)
            else queue.markDirty(users[user], now)
          }
          expect(new Set([...queue.waiting()].map(u => u.name))).toEqual(dirty)
        }
        now += 500
        while (build());
        expect([...dirty]).toEqual([])
      }),
    )
  })
})

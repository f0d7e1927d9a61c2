import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { START, UserTask, watch } from '../../test/support/user-task.ts'
import { DISLIKED, FINISHED, HIDDEN, REPORTED } from './user-state.ts'

const steps = fc.array(
  fc.record({
    user: fc.nat(1),
    item: fc.nat(150),
    reason: fc.constantFrom(FINISHED, FINISHED, HIDDEN, DISLIKED, REPORTED),
    asks: fc.nat(150),
  }),
  { minLength: 150, maxLength: 300 },
)

describe('many exclusions', () => {
  it('are found as a plain set finds them, whoever is asked for in between', () => {
    fc.assert(
      fc.property(steps, all => {
        const task = new UserTask()
        const users = ['a', 'b'].map(id => {
          task.send(watch(id, 'none', START, `p${id}`, 1))
          const user = task.users.get(id)
          if (user === undefined) throw new Error(`no user ${id}`)
          return { state: user.state, reasons: new Map<number, number>() }
        })
        Object.assign(task.items, { catalog: (item: number) => ({ creator: item % 2 }) })
        for (const { user, item, reason, asks } of all) {
          const { state, reasons } = users[user]
          state.exclude(item, reason, START)
          reasons.set(item, Math.max(reason, reasons.get(item) ?? 0))
          for (const other of users) {
            expect(other.state.excludes(asks)).toBe(other.reasons.has(asks))
            let weight = 1
            for (const [refused, why] of other.reasons)
              if (refused % 2 === 1) weight *= [1, 0.7, 0.5, 0.2][why]
            expect(other.state.creatorWeight(1)).toBeCloseTo(Math.max(0.01, weight), 9)
          }
        }
      }),
      { numRuns: 20 },
    )
  })
})

/** Feedback on an item moves the weight of its creator: counted again from the feedback, over restarts and packing. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import { feedback, MINUTE, START, UserTask } from '../../test/support/user-task.ts'
import { sessionsOptions } from '../sessions/options.ts'
import { USER_STORES } from './store-ids.ts'

const factors: Readonly<Record<string, number>> = {
  like: 1.1,
  save: 1.2,
  share: 1.3,
  follow: 2,
  hide: 0.7,
  dislike: 0.5,
  report: 0.2,
}
/** Of the refusals of an item the strongest stands. */
const refusals = ['hide', 'dislike', 'report']
const creatorOf = (item: number) => item % 3

interface Given {
  readonly item: number
  readonly kind: string
}

function expectedWeight(all: readonly Given[], creator: number): number {
  const distinct = new Map<string, number>()
  const refused = new Map<number, number>()
  for (const { item, kind } of all) {
    if (creatorOf(item) !== creator) continue
    const rank = refusals.indexOf(kind)
    if (rank >= 0) refused.set(item, Math.max(refused.get(item) ?? 0, rank))
    else if (kind in factors) distinct.set(`${item} ${kind}`, factors[kind])
  }
  let weight = 1
  for (const factor of distinct.values()) weight *= factor
  for (const rank of refused.values()) weight *= factors[refusals[rank]]
  return Math.min(4, Math.max(0.01, weight))
}

function taskWith(given: readonly Given[], unpackedUsers: number): UserTask {
  const task = new UserTask({ unpackedUsers })
  given.forEach(({ item, kind }, k) => {
    task.send(feedback('u', `i${item}`, START + k * MINUTE, kind, { eventId: `e${k}` }))
  })
  return task
}

/** Creators are asked of the catalog, which here knows items by their names alone. */
function weightOf(task: UserTask, creator: number): number | undefined {
  Object.assign(task.items, {
    catalog: (index: number) => {
      const item = Number(task.items.idOf(index).slice(1))
      return Number.isNaN(item) ? undefined : { creator: creatorOf(item) }
    },
  })
  return task.users.get('u')?.creatorWeight(creator)
}

const some = fc.array(
  fc.record({
    item: fc.nat(7),
    kind: fc.constantFrom(...Object.keys(factors), 'click', 'other'),
  }),
  { minLength: 1, maxLength: 30 },
)

describe('the weight of a creator', () => {
  it('is the product of what was said of its items, whatever was restored or packed in between', () => {
    fc.assert(
      fc.property(some, fc.constantFrom(0, 100), (given, unpackedUsers) => {
        const task = taskWith(given, unpackedUsers)
        const check = () => {
          for (const creator of [0, 1, 2])
            expect(weightOf(task, creator)).toBeCloseTo(expectedWeight(given, creator), 9)
          expect(weightOf(task, -1)).toBe(1)
        }
        check()
        task.commit()
        task.tick()
        check()
        task.restart()
        check()
      }),
      { numRuns: 60 },
    )
  })

  it('keeps the newest eighty approvals at most', () => {
    const given = Array.from({ length: 200 }, (_, item) => ({ item, kind: 'like' }))
    const task = taskWith(given, 100)
    task.commit()
    task.restart()
    const kept = task.users.get('u')?.state.approved?.values.length ?? 0
    expect(kept).toBeGreaterThan(64)
    expect(kept).toBeLessThanOrEqual(80)
  })

  it('leaves no row behind of a user who is gone', () => {
    const task = taskWith(
      Array.from({ length: 40 }, (_, item) => ({ item, kind: 'follow' })),
      100,
    )
    task.commit()
    const rows = () => {
      const standing = new Map<string, boolean>()
      for (const { records } of task.batches)
        for (const { key, value } of records)
          if (key?.[0] === USER_STORES.approvals) standing.set(key.toString('hex'), value !== null)
      return [...standing.values()]
    }
    expect(rows()).toEqual([true, true, true])
    task.send(feedback('u', 'i1', START + 60 * MINUTE, 'like', { consent: 'none', eventId: 'no' }))
    task.commit()
    expect(rows()).toEqual([false, false, false])
  })

  it('has factors by option, and refuses what is none', () => {
    const resolve = (given: string) =>
      resolveOptions(sessionsOptions, {
        flags: { 'feedback.creators': given },
        environment: {},
        file: {},
      }).values['feedback.creators']
    expect(resolve('follow=3')).toBe('follow=3')
    for (const wrong of ['follow', 'follow=', 'follow=0', 'follow=11', 'love=2', 'like=1;hide=2'])
      expect(() => resolve(wrong)).toThrow(/feedback.creators .* takes factors from .01 to 10/)
  })
})

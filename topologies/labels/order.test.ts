import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { labelTask, newest, rowsOf, settle } from '../../test/support/label-task.ts'
import { feedback, HOUR, impression, MINUTE, START, watch } from '../../test/support/user-task.ts'
import type { LabelFact } from '../user/labels-port.ts'

describe('labels', () => {
  it('L5: of a user who is removed leave with no row any more, those of others do', () => {
    const { task, facts } = labelTask()
    task.send(impression('u', 'a', START, { requestId: 'r' }))
    task.send(impression('v', 'a', START, { requestId: 'r' }))
    // the label of this one is final by the time that the user goes, the sweep has not been there yet
    task.send(impression('w', 'a', START + 20 * MINUTE, { requestId: 'r' }))
    task.send(impression('u', 'b', START + 21 * MINUTE, { requestId: 'r2' }))
    task.send(impression('u', 'b', START + 22 * MINUTE, { consent: 'none' }))
    task.commit()
    const names = new Set(rowsOf(task).map(row => row.user))
    expect(names).toEqual(
      new Set(['v', 'w'].map(id => createHmac('sha256', 'the key').update(id).digest('hex'))),
    )
    expect(facts.map(fact => fact.userId)).toEqual(['u'])
    // who comes back begins anew
    task.send(impression('u', 'c', START + 23 * MINUTE, { requestId: 'r3' }))
    task.commit()
    expect(rowsOf(task).at(-1)).toMatchObject({ item: 'c' })
  })

  it('L3: do not depend on when the sweep runs, nor on crashes', () => {
    const step = fc.record({
      kind: fc.constantFrom('impression', 'watch', 'watch', 'feedback'),
      user: fc.constantFrom('u', 'v'),
      item: fc.constantFrom('a', 'b'),
      request: fc.constantFrom('', 'r1', 'r2', 'r3'),
      play: fc.nat(4),
      wait: fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: 1, max: 12 * MINUTE }) },
        { weight: 1, arbitrary: fc.integer({ min: 31 * MINUTE, max: 25 * HOUR }) },
      ),
      back: fc.constantFrom(0, 0, 0, 3 * MINUTE, 14 * MINUTE),
      watched: fc.constantFrom(0, 10_000, 40_000, 200_000),
      end: fc.constantFrom('none', 'none', 'finished', 'left'),
      feedback: fc.constantFrom('like', 'hide', 'click'),
      consent: fc.constantFrom('full', 'full', 'full', 'full', 'full', 'full', 'none'),
      next: fc.constantFrom('', '', 'tick', 'commit', 'restart', 'compacted'),
    })
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 40 }), (asksReturn, steps) => {
        const asks = { graded: 1, click: 0.5, return1d: asksReturn ? 1 : 0 }
        const lazy = labelTask(asks)
        const eager = labelTask(asks)
        const broken = labelTask(asks)
        let now = START
        // impressions of users who were removed: how many of their rows had left before is another matter (L5)
        const before = new Map<string, string[]>()
        const gone = new Set<string>()
        for (const [k, one] of steps.entries()) {
          now += one.wait
          const { consent } = one
          const base = { eventId: `e${k}`, requestId: one.request || null, consent }
          const event =
            one.kind === 'feedback'
              ? feedback(one.user, one.item, now - one.back, one.feedback, base)
              : one.kind === 'impression'
                ? impression(one.user, one.item, now - one.back, {
                    ...base,
                    requestId: one.request,
                  })
                : watch(one.user, one.item, now - one.back, `${one.item}${one.play}`, one.watched, {
                    ...base,
                    endReason: one.end,
                  })
          for (const { task } of [lazy, eager, broken]) task.send(event)
          const name = createHmac('sha256', 'the key').update(one.user).digest('hex')
          const own = before.get(one.user) ?? []
          if (lazy.task.users.get(one.user) === undefined) for (const key of own) gone.add(key)
          else if (one.kind === 'impression')
            own.push(`${name}/${one.request}/${one.item}/${event.ts}`)
          before.set(one.user, own)
          eager.task.tick()
          eager.task.commit()
          if (one.next === 'tick') broken.task.tick()
          else if (one.next === 'commit') broken.task.commit()
          else if (one.next !== '') broken.task.restart(one.next === 'compacted')
        }
        for (const { task } of [lazy, eager, broken]) settle(task)
        const told = (facts: LabelFact[]) =>
          facts
            .map(({ request: { requestId, policy }, ...fact }) =>
              JSON.stringify({ ...fact, requestId, policy, item: '', timesShown: 0, answers: 0 }),
            )
            .sort()
        const named = ({ task, facts, complete }: typeof lazy) => ({
          rows: [...newest(task).entries()]
            .filter(([key]) => !gone.has(key))
            .sort(([a], [b]) => (a < b ? -1 : 1)),
          facts: told(facts),
          complete: told(complete),
          left: task.users.get('u')?.pendingLabels ?? null,
        })
        expect(named(eager)).toEqual(named(lazy))
        expect(named(broken)).toEqual(named(lazy))
      }),
      { numRuns: 300 },
    )
  })
})

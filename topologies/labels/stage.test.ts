import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DAY,
  feedback,
  HOUR,
  impression,
  type JsonEvent,
  MINUTE,
  START,
  UserTask,
  watch,
} from '../../test/support/user-task.ts'
import type { LabelFact } from '../user/labels-port.ts'
import { createLabelsStage } from './stage.ts'
import type { Objectives } from './target.ts'

const times = {
  startWithinMs: 10 * MINUTE,
  joinWithinMs: 30 * MINUTE,
  silenceMs: 5 * MINUTE,
  longestMs: 4 * HOUR,
  returnWithinMs: 0,
}

interface LabelTask {
  readonly task: UserTask
  readonly facts: LabelFact[]
  /** As `facts`, once their whole target is known. */
  readonly complete: LabelFact[]
}

function labelTask(asks: Partial<Objectives> = { graded: 1, completion: 0.3 }): LabelTask {
  const facts: LabelFact[] = []
  const complete: LabelFact[] = []
  const task = new UserTask({
    stages: (ctx, users) => [
      createLabelsStage(ctx, {
        users,
        times: { ...times, returnWithinMs: asks.return1d ? DAY : 0 },
        objectives: { click: 0, graded: 0, completion: 0, return1d: 0, ...asks },
        feedback: { like: 0.25, share: 0.5, hide: -1 },
        slackMs: 5 * MINUTE,
        examples: true,
        answers: ({ requestId }, _item, at) => (requestId === 'r' ? 77 : at % 1_000),
        pseudonymKey: 'the key',
        pseudonymKeyId: 'k1',
        sinks: [{ label: fact => facts.push({ ...fact }) }],
        complete: [{ label: fact => complete.push({ ...fact }) }],
      }),
    ],
  })
  return { task, facts, complete }
}

const rowsOf = (task: UserTask) =>
  task.commits.flatMap(commit => commit.effects.blocks.flatMap(block => [...(block.rows ?? [])]))

/** What a reader sees: the newest revision of each key. */
function newest(task: UserTask): Map<string, Record<string, unknown>> {
  const byKey = new Map<string, Record<string, unknown>>()
  for (const row of rowsOf(task)) {
    const key = `${row.user}/${row.request}/${row.item}/${row.ts}`
    const known = byKey.get(key)
    if (!known || Number(known.revision) < Number(row.revision)) byKey.set(key, row)
  }
  return byKey
}

/** Moves the watermark far on and lets everything that is due come out. */
function settle(task: UserTask): void {
  task.send(impression('last', 'z', START + 60 * DAY, { requestId: 'last' }))
  task.tick()
  task.commit()
}

function labelOf(events: readonly JsonEvent[]) {
  const { task, facts } = labelTask()
  for (const event of events) task.send(event)
  settle(task)
  const row = [...newest(task).values()].find(one => one.item === 'a')
  return { label: row?.label, watched: row?.watched_ms, graded: row?.graded, facts }
}

const shown = impression('u', 'a', START, {
  requestId: 'r',
  score: 0.25,
  position: 3,
  propensity: 0.5,
  candidateSource: 'covisit',
})

describe('a label', () => {
  it('is told once, with the prediction that was served and the time it became final', () => {
    const { facts } = labelOf([shown])
    expect(facts).toEqual([
      {
        userId: 'u',
        request: expect.objectContaining({ requestId: 'r' }),
        item: 1,
        explore: false,
        clicked: false,
        completed: false,
        returned: null,
        watchedMs: 0,
        durationMs: 0,
        feedback: 0,
        prediction: 0.25,
        answers: 77,
        positive: false,
        graded: 0,
        target: 0,
        position: 3,
        propensity: 0.5,
        source: 'covisit',
        timesShown: 0,
        surface: 'home',
        cohort: '',
        model: '',
        shownAt: START,
        finalAt: START + 10 * MINUTE,
      },
    ])
  })

  it.each([
    ['no watch', [], 0, 0],
    [
      'a watch of its request',
      [watch('u', 'a', START + MINUTE, 'p', 40_000, { requestId: 'r' })],
      1,
      40_000,
    ],
    [
      'a watch of another request',
      [watch('u', 'a', START + MINUTE, 'p', 40_000, { requestId: 'x' })],
      0,
      0,
    ],
    ['a watch without a request', [watch('u', 'a', START + 29 * MINUTE, 'p', 40_000)], 1, 40_000],
    ['one that is too old for it', [watch('u', 'a', START + 32 * MINUTE, 'p', 40_000)], 0, 0],
    [
      'a play of its request that started too late',
      [watch('u', 'a', START + 11 * MINUTE, 'p', 40_000, { requestId: 'r' })],
      0,
      0,
    ],
    [
      'one event at the end of a long play',
      [watch('u', 'a', START + 12 * MINUTE, 'p', 5 * MINUTE, { requestId: 'r' })],
      1,
      5 * MINUTE,
    ],
    ['another viewer', [watch('v', 'a', START + MINUTE, 'p', 40_000, { requestId: 'r' })], 0, 0],
    [
      'heartbeats of one play, the later ones without their request',
      [
        watch('u', 'a', START + MINUTE, 'p', 5_000, { requestId: 'r' }),
        watch('u', 'a', START + 2 * MINUTE, 'p', 50_000),
      ],
      1,
      50_000,
    ],
    [
      'a heartbeat after a long silence',
      [
        watch('u', 'a', START + MINUTE, 'p', 5_000, { requestId: 'r' }),
        watch('u', 'a', START + 40 * MINUTE, 'p', 50_000, { requestId: 'r' }),
      ],
      0,
      5_000,
    ],
  ] as const)('of %s', (_, watches, label, watched) => {
    expect(labelOf([shown, ...watches])).toMatchObject({ label, watched })
  })

  it('goes to the newest impression of the item where the watch names no request', () => {
    const { task } = labelTask()
    task.send(impression('u', 'a', START, { requestId: 'r1' }))
    task.send(impression('u', 'a', START + MINUTE, { requestId: 'r2' }))
    task.send(watch('u', 'a', START + 2 * MINUTE, 'p', 40_000))
    settle(task)
    const labels = [...newest(task).values()].map(row => [row.request, row.label])
    expect(labels.slice(0, 2)).toEqual([
      ['r1', 0],
      ['r2', 1],
    ])
  })

  it('is written at once when certain, and again when final', () => {
    const { task } = labelTask()
    task.send(shown)
    task.commit()
    task.send(watch('u', 'a', START + MINUTE, 'p', 30_000, { requestId: 'r', durationMs: 60_000 }))
    task.commit()
    task.send(watch('u', 'a', START + 2 * MINUTE, 'p', 60_000, { durationMs: 60_000 }))
    settle(task)
    const rows = rowsOf(task).filter(row => row.item === 'a')
    expect(rows.map(row => [row.revision, row.label, row.graded])).toEqual([
      [1, null, null],
      [2, 1, 0.5],
      [3, 1, 1],
    ])
    const hmac = createHmac('sha256', 'the key').update('u').digest('hex')
    expect(rows[0]).toMatchObject({ user: hmac, user_key: 'k1', ts: START, prediction: 0.25 })
  })

  it.each([
    ['nothing', [], { clicked: false, completed: false, feedback: [], target: 0 }],
    [
      'half of it watched',
      [watch('u', 'a', START + MINUTE, 'p', 5_000, { requestId: 'r', durationMs: 10_000 })],
      { clicked: true, completed: false, feedback: [], target: 0.5 / 1.3 },
    ],
    [
      'all of it, and liked',
      [
        watch('u', 'a', START + MINUTE, 'p', 1_000, { requestId: 'r', durationMs: 10_000 }),
        feedback('u', 'a', START + 2 * MINUTE, 'like'),
        watch('u', 'a', START + 3 * MINUTE, 'p', 10_000, {
          durationMs: 10_000,
          endReason: 'finished',
        }),
      ],
      { clicked: true, completed: true, feedback: ['like'], target: 1 },
    ],
    [
      'a click, and hidden',
      [
        feedback('u', 'a', START + MINUTE, 'click', { requestId: 'r' }),
        feedback('u', 'a', START + 2 * MINUTE, 'hide', { requestId: 'r' }),
      ],
      { clicked: true, completed: false, feedback: ['click', 'hide'], target: 0 },
    ],
    [
      'feedback on another request or too late',
      [
        feedback('u', 'a', START + MINUTE, 'like', { requestId: 'x' }),
        feedback('u', 'a', START + 40 * MINUTE, 'like', { requestId: 'r' }),
      ],
      { clicked: false, completed: false, feedback: [], target: 0 },
    ],
    [
      'feedback after the wait for a play',
      [feedback('u', 'a', START + 20 * MINUTE, 'share', { requestId: 'r' })],
      { clicked: false, completed: false, feedback: ['share'], target: 0.5 },
    ],
  ] as const)('has what came of it: %s', (_, events, expected) => {
    const { task } = labelTask()
    for (const event of [shown, ...events]) task.send(event)
    settle(task)
    const row = [...newest(task).values()].find(one => one.item === 'a')
    expect(row).toMatchObject({ ...expected, target: expect.closeTo(expected.target, 4) })
  })

  it('L4: is written again once the user comes back within a day, or has not', () => {
    const run = (backAt: number) => {
      const { task, facts, complete } = labelTask({ graded: 1, return1d: 1 })
      task.send(shown)
      task.send(watch('u', 'a', START + MINUTE, 'p', 5_000, { requestId: 'r', durationMs: 10_000 }))
      task.send(impression('last', 'z', START + 2 * HOUR, { requestId: 'last' }))
      task.tick()
      task.commit()
      task.send(impression('u', 'b', START + backAt, { requestId: 'q' }))
      settle(task)
      const rows = rowsOf(task).filter(row => row.item === 'a')
      return {
        rows: rows.map(row => [row.revision, row.returned, row.target]),
        told: facts.filter(fact => fact.shownAt === START).map(fact => fact.target),
        complete: complete.filter(fact => fact.shownAt === START).map(fact => fact.target),
      }
    }
    const early = expect.closeTo(0.25, 4)
    expect(run(23 * HOUR)).toEqual({
      rows: [
        [1, null, null],
        [2, null, null],
        [3, null, null],
        [4, true, expect.closeTo(0.75, 4)],
      ],
      told: [null],
      complete: [expect.closeTo(0.75, 4)],
    })
    expect(run(25 * HOUR)).toMatchObject({ complete: [early] })
    // the same session is no return
    expect(run(20 * MINUTE)).toMatchObject({ complete: [early] })
  })

  it.each([
    ['comes back', impression('u', 'b', START + 23 * HOUR, { requestId: 'q' })],
    ['is heard again', watch('u', 'a', START + 20 * MINUTE, 'p', 9_000, { durationMs: 10_000 })],
  ])('L4: is the same whenever it is looked at, where a user %s late', (_, late) => {
    const run = (looks: boolean) => {
      const { task, complete } = labelTask({ graded: 1, return1d: 1 })
      const watching = { requestId: 'r', durationMs: 10_000 }
      task.send(shown)
      task.send(watch('u', 'a', START + MINUTE, 'p', 5_000, watching))
      task.send(impression('last', 'z', START + (late.itemId === 'b' ? 25 : 4) * HOUR, {}))
      if (looks) task.tick()
      task.send({ ...late, eventId: `late ${late.itemId}` })
      settle(task)
      return {
        rows: rowsOf(task).filter(row => row.item === 'a'),
        complete: complete.filter(fact => fact.shownAt === START).map(fact => fact.target),
      }
    }
    expect(run(true)).toEqual(run(false))
  })

  it('of a user who is removed goes without a word', () => {
    const { task, facts } = labelTask()
    task.send(shown)
    task.commit()
    task.send(impression('u', 'b', START + MINUTE, { consent: 'none' }))
    settle(task)
    expect(facts.filter(fact => fact.userId === 'u')).toEqual([])
    task.restart(true)
    const left = task.batches
      .flatMap(batch => batch.records)
      .filter(({ key }) => key && (key[0] === 10 || key[0] === 11) && key.includes('u'))
    const last = new Map(left.map(({ key, value }) => [key?.toString('latin1'), value]))
    expect([...last.values()].every(value => value === null)).toBe(true)
  })
})

describe('labels', () => {
  it('L5: of a user who is removed leave with no row any more, those of others do', () => {
    const { task, facts } = labelTask()
    task.send(shown)
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

import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { labelTask, newest, rowsOf, settle } from '../../test/support/label-task.ts'
import {
  feedback,
  HOUR,
  impression,
  type JsonEvent,
  MINUTE,
  START,
  watch,
} from '../../test/support/user-task.ts'

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

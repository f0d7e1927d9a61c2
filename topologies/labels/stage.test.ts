import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DAY,
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

const times = {
  startWithinMs: 10 * MINUTE,
  joinWithinMs: 30 * MINUTE,
  silenceMs: 5 * MINUTE,
  longestMs: 4 * HOUR,
}

function labelTask(): { task: UserTask; facts: LabelFact[] } {
  const facts: LabelFact[] = []
  const task = new UserTask({
    stages: (ctx, users) => [
      createLabelsStage(ctx, {
        users,
        times,
        slackMs: 5 * MINUTE,
        examples: true,
        pseudonymKey: 'the key',
        pseudonymKeyId: 'k1',
        sink: { label: fact => facts.push({ ...fact }) },
      }),
    ],
  })
  return { task, facts }
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

const shown = impression('u', 'a', START, { requestId: 'r', score: 0.25 })

describe('a label', () => {
  it('is told once, with the prediction that was served and the time it became final', () => {
    const { facts } = labelOf([shown])
    expect(facts).toEqual([
      {
        userId: 'u',
        item: 1,
        prediction: 0.25,
        positive: false,
        graded: 0,
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
  it('L3: do not depend on when the sweep runs, nor on crashes', () => {
    const step = fc.record({
      kind: fc.constantFrom('impression', 'watch', 'watch'),
      user: fc.constantFrom('u', 'v'),
      item: fc.constantFrom('a', 'b'),
      request: fc.constantFrom('', 'r1', 'r2', 'r3'),
      play: fc.nat(4),
      wait: fc.integer({ min: 1, max: 12 * MINUTE }),
      back: fc.constantFrom(0, 0, 0, 3 * MINUTE, 14 * MINUTE),
      watched: fc.constantFrom(0, 10_000, 40_000, 200_000),
      end: fc.constantFrom('none', 'none', 'finished', 'left'),
      next: fc.constantFrom('', '', 'tick', 'commit', 'restart', 'compacted'),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const lazy = labelTask()
        const eager = labelTask()
        const broken = labelTask()
        let now = START
        for (const [k, one] of steps.entries()) {
          now += one.wait
          const base = { eventId: `e${k}`, requestId: one.request || null }
          const event =
            one.kind === 'impression'
              ? impression(one.user, one.item, now - one.back, { ...base, requestId: one.request })
              : watch(one.user, one.item, now - one.back, `${one.item}${one.play}`, one.watched, {
                  ...base,
                  endReason: one.end,
                })
          for (const { task } of [lazy, eager, broken]) task.send(event)
          eager.task.tick()
          eager.task.commit()
          if (one.next === 'tick') broken.task.tick()
          else if (one.next === 'commit') broken.task.commit()
          else if (one.next !== '') broken.task.restart(one.next === 'compacted')
        }
        for (const { task } of [lazy, eager, broken]) settle(task)
        const named = ({ task, facts }: typeof lazy) => ({
          rows: [...newest(task).entries()].sort(([a], [b]) => (a < b ? -1 : 1)),
          facts: facts
            .map(fact => JSON.stringify([fact.userId, fact.positive, fact.shownAt, fact.finalAt]))
            .sort(),
          left: task.users.get('u')?.pendingLabels ?? null,
        })
        expect(named(eager)).toEqual(named(lazy))
        expect(named(broken)).toEqual(named(lazy))
      }),
      { numRuns: 300 },
    )
  })
})

import { describe, expect, it } from 'vitest'
import { Decoder, Encoder, SchemaRegistry } from '../../schemas/index.ts'
import {
  DAY,
  feedback,
  GAP,
  HOUR,
  impression,
  MINUTE,
  START,
  UserTask,
  watch,
} from '../../test/support/user-task.ts'
import { isPositive, isSkip } from './outcome.ts'

describe('the outcome of a heartbeat', () => {
  it.each([
    [30_000, 0, 'none', true],
    [29_999, 0, 'none', false],
    [29_999, 60_000, 'left', false],
    [5_000, 10_000, 'left', true],
    [4_999, 10_000, 'left', false],
    [0, 10_000, 'finished', true],
  ] as const)('%d of %d ms, %s: positive %s', (watched, duration, end, expected) => {
    expect(isPositive(watched, duration, end)).toBe(expected)
  })

  it('is a skip under 2 s only', () => {
    expect(isSkip(1999, 'skipped')).toBe(true)
    expect(isSkip(2000, 'skipped')).toBe(false)
    expect(isSkip(1000, 'left')).toBe(false)
  })
})

describe('a session', () => {
  it('goes on after exactly the gap and ends one ms later', () => {
    const task = new UserTask()
    task.send(impression('u', 'a', START))
    task.send(impression('u', 'b', START + GAP))
    expect(task.users.get('u')?.session.impressions).toBe(2)
    task.send(impression('u', 'c', START + 2 * GAP + 1))
    expect(task.users.get('u')?.session.impressions).toBe(1)
    expect(task.events.at(-1)).toMatchObject({ sessionStarted: true, closedSessionMs: GAP })
  })

  it('is one again when a late event bridges two, and views show the newest', () => {
    const task = new UserTask()
    task.send(watch('u', 'a', START, 'p1', 40_000))
    task.send(watch('u', 'b', START + 50 * MINUTE, 'p2', 40_000))
    task.commit()
    task.send(feedback('u', 'a', START + 25 * MINUTE, 'click'))
    task.now += 1000
    task.commit()
    const user = task.users.get('u')
    expect(user?.session).toMatchObject({ startedAt: START, watches: 2, positives: 2 })
    expect(user?.state.older).toBeNull()
    const view = task.views().at(-1)
    expect(view).toMatchObject({ op: 'hash', key: 'session:u', ttlMs: GAP + HOUR })
    const fields = view?.op === 'hash' ? view.fields : []
    expect(fields.filter((_, k) => k % 2 === 0)).toEqual([
      'session_id',
      'started_at',
      'last_event_at',
      'impressions',
      'watches',
      'positives',
      'watched_ms',
      'completes',
      'skips',
      'last_items',
    ])
    expect(fields.at(-1)).toBe('["b","a"]')
  })

  it('is written at most every interval, and once more when the interval is over', () => {
    const task = new UserTask()
    task.send(impression('u', 'a', START))
    task.commit()
    task.send(impression('u', 'b', START + 1))
    task.now += 100
    task.commit()
    expect(task.views()).toHaveLength(1)
    task.now += 100
    task.commit()
    expect(task.views()).toHaveLength(2)
  })

  it('is written after a restart when it was held back while others committed', () => {
    const task = new UserTask()
    task.send(impression('u', 'a', START))
    task.commit()
    task.send(impression('u', 'b', START + 1))
    task.now += 50
    task.commit()
    task.send(impression('v', 'a', START + 1))
    task.now += 50
    task.commit()
    task.restart()
    const before = task.views().length
    task.now += 200
    task.commit()
    const again = task
      .views()
      .slice(before)
      .map(view => view.key)
    expect(again).toContain('session:u')
  })

  it('is written again after a restart when it was in the last batch', () => {
    const task = new UserTask()
    task.send(impression('u', 'a', START))
    task.send(impression('v', 'a', START))
    task.commit()
    task.send(impression('u', 'b', START + 1))
    task.restart()
    const before = task.views().length
    task.commit()
    expect(
      task
        .views()
        .slice(before)
        .map(view => view.key),
    ).toEqual(['session:u'])
  })
})

describe('facts', () => {
  it('say once a play that it is a positive, and what each heartbeat added', () => {
    const task = new UserTask()
    const beat = (seq: number, ms: number) =>
      watch('u', 'a', START + seq * 10_000, 'p', ms, { seq, durationMs: 100_000 })
    for (const event of [beat(1, 10_000), beat(3, 35_000), beat(2, 20_000), beat(4, 40_000)])
      task.send(event)
    expect(task.events.map(e => e.watchedMs)).toEqual([10_000, 25_000, 0, 5_000])
    expect(task.events.map(e => e.positive)).toEqual([false, true, false, false])
    expect(task.events.map(e => e.firstPositive)).toEqual([false, true, false, false])
    expect(task.events.map(e => e.playStarted)).toEqual([true, false, false, false])
    expect(task.users.get('u')?.positives.length).toBe(1)
    expect(task.items.idOf(task.users.get('u')?.positives.item(0) ?? -1)).toBe('a')
  })

  it('drop doubles by eventId, by request and item, by play and number', () => {
    const task = new UserTask()
    const event = impression('u', 'a', START, { requestId: 'r' })
    task.send(event)
    task.send(event)
    task.send(impression('u', 'a', START + 5, { requestId: 'r' }))
    task.send(watch('u', 'a', START, 'p', 1000, { seq: 1 }))
    task.send(watch('u', 'a', START, 'p', 1000, { seq: 1 }))
    expect(task.events).toHaveLength(2)
  })

  it('drop what is later than the grace, and report it where asked', () => {
    for (const lateDeadLetters of [false, true]) {
      const task = new UserTask({ lateDeadLetters })
      task.send(impression('u', 'a', START + DAY))
      task.send(impression('u', 'b', START))
      task.send(impression('u', 'c', START - 1))
      task.commit()
      expect(task.events).toHaveLength(2)
      const codes = task.commits[0].effects.records.map(record => record.headers?.code)
      expect(codes).toEqual(lateDeadLetters ? ['LATE'] : [])
    }
  })
})

describe('lists of a user', () => {
  it('keep the last 200 positives, newest first, through a restart', () => {
    const task = new UserTask()
    for (let k = 0; k < 450; k++) task.send(watch('u', `i${k}`, START + k * 1000, `p${k}`, 40_000))
    for (let round = 0; round < 2; round++) {
      const positives = task.users.get('u')?.positives
      expect(positives?.length).toBe(200)
      expect(task.items.idOf(positives?.item(0) ?? -1)).toBe('i449')
      expect(task.items.idOf(positives?.item(199) ?? -1)).toBe('i250')
      expect(positives?.at(199)).toBe(START + 250_000)
      task.restart(true)
    }
  })

  it('keep the last 2,000 exclusions and the last 512 hashes, through a restart', () => {
    const task = new UserTask()
    const events = Array.from({ length: 2600 }, (_, k) => feedback('u', `i${k}`, START + k, 'hide'))
    for (const [k, event] of events.entries()) {
      task.send(event)
      if (k % 97 === 0) task.commit()
    }
    for (let round = 0; round < 2; round++) {
      const user = task.users.get('u')
      expect(user?.excludes(task.items.index('i2599'))).toBe(true)
      expect(user?.excludes(task.items.index('i600'))).toBe(true)
      expect(user?.excludes(task.items.index('i500'))).toBe(false)
      const before = task.events.length
      for (const event of events.slice(-512)) task.send(event)
      expect(task.events.length).toBe(before)
      task.restart(true)
    }
  })

  it('exclude what is finished, for as long as topk.repeat says', () => {
    const finished = (task: UserTask) =>
      task.send(watch('u', 'a', START, 'p', 1000, { endReason: 'finished' }))
    const never = new UserTask()
    finished(never)
    expect(never.users.get('u')?.excludes(never.items.index('a'))).toBe(true)
    const after = new UserTask({ repeatAfterMs: 10 * DAY })
    finished(after)
    expect(after.users.get('u')?.excludes(after.items.index('a'))).toBe(true)
    after.send(impression('v', 'x', START + 11 * DAY))
    expect(after.users.get('u')?.excludes(after.items.index('a'))).toBe(false)
    const always = new UserTask({ repeatAfterMs: 0 })
    finished(always)
    expect(always.users.get('u')?.excludes(always.items.index('a'))).toBe(false)
  })

  it('count impressions until the item is watched', () => {
    const task = new UserTask()
    for (let k = 0; k < 5; k++) task.send(impression('u', 'a', START + k * DAY))
    const item = task.items.index('a')
    const now = START + 4 * DAY
    expect(task.users.get('u')?.shown.last24h(item, now)).toBe(2)
    expect(task.users.get('u')?.shown.last7d(item, now)).toBe(5)
    task.restart()
    expect(task.users.get('u')?.shown.last7d(task.items.index('a'), now)).toBe(5)
    task.send(watch('u', 'a', now, 'p', 10))
    expect(task.users.get('u')?.shown.last7d(task.items.index('a'), now)).toBe(0)
  })
})

async function erasureOf(userId: string, ts: number) {
  const registry = new SchemaRegistry({ url: 'mock://erasure' })
  const encoder = await Encoder.open(registry, 'freshet.')
  const erasures = new Decoder('erasures', registry)
  const value = encoder.encode('Erasure', { eventId: 'x', userId, ts })
  const needs = erasures.decode(value)
  if ('needs' in needs) await erasures.resolve(needs.needs)
  return { erasures, value }
}

describe('consent', () => {
  const gone = (task: UserTask) => {
    task.restart(true)
    expect(task.users.get('u')).toBeUndefined()
    for (const { key, value } of task.batches.flatMap(batch => batch.records)) {
      // 1-6: rows of users; the last word on each must be a tombstone
      if (!key || key[0] < 1 || key[0] > 7) continue
      const last = task.batches
        .flatMap(batch => batch.records)
        .findLast(other => other.key?.equals(key))
      if (value) expect(last?.value).toBeNull()
    }
  }

  it('contextual: facts without a user, nothing stored', () => {
    const task = new UserTask()
    const contextual = { consent: 'contextual' }
    task.send(watch('u', 'a', START, 'p', 1000, contextual))
    task.send(watch('u', 'a', START + 1, 'p', 40_000, contextual))
    expect(task.events.map(e => [e.user, e.playStarted, e.positive])).toEqual([
      [null, true, false],
      [null, false, true],
    ])
    const commit = task.commit()
    expect(commit?.rows).toBe(1)
    expect(task.views()).toEqual([])
    task.send(watch('u', 'a', START + GAP + 2, 'p', 50_000, contextual))
    expect(task.events.at(-1)?.playStarted).toBe(true)
  })

  it('none: goes no further', () => {
    const task = new UserTask()
    task.send(watch('u', 'a', START, 'p', 1000, { consent: 'none' }))
    expect(task.events).toEqual([])
    expect(task.users.size).toBe(0)
  })

  it.each(['contextual', 'none'])('a later event with %s removes what was stored', consent => {
    const task = new UserTask()
    for (let k = 0; k < 30; k++)
      task.send(
        watch('u', `i${k}`, START + k * MINUTE * 40, `p${k}`, 40_000, { endReason: 'finished' }),
      )
    task.commit()
    task.send(impression('u', 'a', START + 2 * DAY, { consent }))
    task.commit()
    expect(task.views().slice(-2)).toEqual([
      { op: 'delete', key: 'session:u' },
      { op: 'delete', key: 'topk:home:u:u' },
    ])
    // older events that come now are not used either
    task.send(impression('u', 'a', START + 2 * DAY - 1))
    expect(task.users.get('u')).toBeUndefined()
    gone(task)
    task.send(impression('u', 'a', START + 2 * DAY - 1))
    expect(task.users.get('u')).toBeUndefined()
    task.send(impression('u', 'a', START + 2 * DAY + 1))
    expect(task.users.get('u')?.session.impressions).toBe(1)
  })

  it('an erasure of a user who is not known bars older events of theirs, as that of any other', async () => {
    const { erasures, value } = await erasureOf('u', START + HOUR)
    const task = new UserTask({ erasures })
    task.erase('u', value, START + HOUR)
    task.commit()
    task.restart(true)
    task.send(impression('u', 'a', START + HOUR))
    expect(task.users.get('u')).toBeUndefined()
    task.send(impression('u', 'a', START + HOUR + 1))
    expect(task.users.get('u')?.session.impressions).toBe(1)
  })

  it('an erasure removes everything, and later stages see it', async () => {
    const { erasures, value } = await erasureOf('u', START + HOUR)
    const task = new UserTask({ erasures })
    for (let k = 0; k < 30; k++)
      task.send(watch('u', `i${k}`, START + k, `p${k}`, 40_000, { endReason: 'finished' }))
    task.commit()
    task.erase('u', value, START + HOUR)
    expect(task.events.at(-1)).toMatchObject({ kind: 'erasure', userId: 'u', user: null })
    task.commit()
    expect(task.views().at(-2)).toEqual({ op: 'delete', key: 'session:u' })
    task.send(impression('u', 'a', START + HOUR))
    gone(task)
    task.send(impression('u', 'a', START + HOUR + 1))
    expect(task.users.get('u')?.positives.length).toBe(0)
  })
})

/** Sessions against a recount of the sorted, deduplicated log; disorder, doubles, joins, crashes and compaction. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DAY,
  GAP,
  HOUR,
  type JsonEvent,
  MINUTE,
  START,
  UserTask,
} from '../../test/support/user-task.ts'
import type { StoredUser } from '../user/stored-user.ts'
import type { SessionState } from './session.ts'

interface Counted {
  startedAt: number
  lastEventAt: number
  impressions: number
  watches: number
  positives: number
  watchedMs: number
  completes: number
  skips: number
  items: string[]
}

/** What arrived, as the contract says it counts: late and doubled events fall out in order of arrival, the rest is sorted. */
function recount(arrivals: readonly JsonEvent[]): Map<string, Counted[]> {
  let watermark = 0
  const seen = new Set<string>()
  const accepted = new Map<string, JsonEvent[]>()
  for (const e of arrivals) {
    watermark = Math.max(watermark, e.ts)
    if (e.ts < watermark - DAY) continue
    const ids = [`${e.userId} ${e.eventId}`]
    if (e.type === 'impression' && e.requestId) ids.push(`${e.userId} ${e.requestId} ${e.itemId}`)
    if (e.type === 'watch' && Number(e.seq) > 0) ids.push(`${e.userId} ${e.playId} #${e.seq}`)
    if (ids.some(id => seen.has(id))) continue
    for (const id of ids) seen.add(id)
    const own = accepted.get(e.userId) ?? []
    own.push(e)
    accepted.set(e.userId, own)
  }
  return new Map([...accepted].map(([userId, events]) => [userId, sessionsOf(events)]))
}

function sessionsOf(events: readonly JsonEvent[]): Counted[] {
  const sessions: Counted[] = []
  const plays = new Map<string, { watched: number; done: Set<string> }>()
  for (const e of [...events].sort((a, b) => a.ts - b.ts)) {
    let s = sessions.at(-1)
    if (!s || e.ts - s.lastEventAt > GAP) {
      s = {
        startedAt: e.ts,
        lastEventAt: e.ts,
        impressions: 0,
        watches: 0,
        positives: 0,
        watchedMs: 0,
        completes: 0,
        skips: 0,
        items: [],
      }
      sessions.push(s)
    }
    s.lastEventAt = e.ts
    if (e.type === 'impression') s.impressions++
    if (e.type !== 'watch') continue
    let play = plays.get(String(e.playId))
    if (!play) {
      play = { watched: 0, done: new Set() }
      plays.set(String(e.playId), play)
      s.watches++
      const itemId = String(e.itemId)
      s.items = [itemId, ...s.items.filter(item => item !== itemId)].slice(0, 50)
    }
    const watched = Number(e.watchedMs)
    const duration = Number(e.durationMs)
    s.watchedMs += Math.max(0, watched - play.watched)
    play.watched = Math.max(play.watched, watched)
    const certain = duration > 0 ? Math.min(30_000, duration / 2) : 30_000
    const facts = {
      positives: watched >= certain || e.endReason === 'finished',
      completes: e.endReason === 'finished',
      skips: watched < 2000 && e.endReason === 'skipped',
    }
    for (const name of ['positives', 'completes', 'skips'] as const)
      if (facts[name] && !play.done.has(name)) {
        play.done.add(name)
        s[name]++
      }
  }
  return sessions
}

function counted(task: UserTask, s: SessionState): Counted {
  return {
    startedAt: s.startedAt,
    lastEventAt: s.lastEventAt,
    impressions: s.impressions,
    watches: s.watches,
    positives: s.positives,
    watchedMs: s.watchedMs,
    completes: s.completes,
    skips: s.skips,
    items: s.items.map(item => task.items.idOf(item)),
  }
}

function compare(task: UserTask, arrivals: readonly JsonEvent[]): void {
  const expected = recount(arrivals)
  expect([...task.users.values()].map(user => user.id).sort()).toEqual([...expected.keys()].sort())
  const horizon = task.users.watermark.at - DAY
  for (const [userId, sessions] of expected) {
    const user = task.users.get(userId) as StoredUser
    expect(counted(task, user.session)).toEqual(sessions.at(-1))
    const older = (user.state.older ?? []).map(session => counted(task, session))
    // what no event can change any more may have been forgotten
    const kept = sessions.slice(0, -1).filter(s => s.lastEventAt + GAP >= horizon)
    expect(older.slice(older.length - kept.length)).toEqual(kept)
    for (const session of older) expect(sessions).toContainEqual(session)
  }
}

const userIds = ['ann', 'böb']

/** Events in order of time, how late each arrives, which are repeated, and what happens between arrivals. */
const streams = fc
  .array(
    fc.record({
      user: fc.nat(1),
      kind: fc.constantFrom('impression', 'watch', 'watch', 'watch', 'feedback'),
      item: fc.nat(5),
      play: fc.nat(3),
      step: fc.oneof(
        fc.integer({ min: 1, max: 20 * MINUTE }),
        fc.constantFrom(GAP, GAP + 1, 45 * MINUTE, 5 * HOUR),
      ),
      delay: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        fc.integer({ min: 1, max: 2 * HOUR }),
        fc.integer({ min: 1, max: 12 * HOUR }),
        fc.integer({ min: DAY, max: 3 * DAY }),
      ),
      watched: fc.constantFrom(0, 1500, 5000, 20_000, 31_000, 80_000),
      duration: fc.constantFrom(0, 8000, 60_000),
      numbered: fc.boolean(),
      end: fc.constantFrom('none', 'none', 'finished', 'skipped', 'left'),
      request: fc.constantFrom('', 'r1', 'r2'),
      again: fc.option(fc.integer({ min: 0, max: 6 * HOUR }), { freq: 4 }),
      next: fc.constantFrom('', '', '', '', 'commit', 'tick', 'restart', 'compacted'),
    }),
    { maxLength: 60 },
  )
  .map(drafts => {
    let ts = START
    const seqs = new Map<string, number>()
    const arrivals: { at: number; event: JsonEvent; next: string }[] = []
    for (const [k, draft] of drafts.entries()) {
      ts += draft.step
      // a play lasts at most some hours, so that none is forgotten while its heartbeats still come
      const playId = `${userIds[draft.user]}-${draft.play}-${Math.floor((ts - START) / (4 * HOUR))}`
      const seq = (seqs.get(playId) ?? 0) + 1
      seqs.set(playId, seq)
      const event: JsonEvent = {
        type: draft.kind,
        eventId: `e${k}`,
        userId: userIds[draft.user],
        itemId: draft.kind === 'watch' ? `i${draft.play}` : `i${draft.item}`,
        ts,
        ...(draft.kind === 'impression' ? { requestId: draft.request } : {}),
        ...(draft.kind === 'feedback' ? { kind: 'click' } : {}),
        ...(draft.kind === 'watch'
          ? {
              playId,
              watchedMs: draft.watched,
              durationMs: draft.duration,
              seq: draft.numbered ? seq : 0,
              endReason: draft.end,
            }
          : {}),
      }
      arrivals.push({ at: ts + draft.delay, event, next: draft.next })
      if (draft.again !== null)
        arrivals.push({ at: ts + draft.delay + draft.again, event, next: '' })
    }
    return arrivals.sort((a, b) => a.at - b.at)
  })

describe('sessions', () => {
  it('equal a recount of the sorted log, through disorder, doubles, joins, crashes and compaction', () => {
    fc.assert(
      fc.property(streams, fc.boolean(), (arrivals, packing) => {
        const task = new UserTask(packing ? { unpackedUsers: 0 } : {})
        for (const { event, next } of arrivals) {
          task.send(event)
          if (next === 'commit') task.commit()
          else if (next === 'tick') task.tick()
          else if (next !== '') task.restart(next === 'compacted')
        }
        compare(
          task,
          arrivals.map(({ event }) => event),
        )
        task.restart(true)
        compare(
          task,
          arrivals.map(({ event }) => event),
        )
      }),
      { numRuns: 1500 },
    )
  })
})

/**
 * Within the grace, the order of arrival changes neither sessions nor counts, and doubles change nothing. Expected values are
 * those of the sorted log, and a recount of it by the contract's words (CONTRACT 5).
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compose, Recommender } from '../support/recommender.ts'
import { GAP, HOUR, type JsonEvent, MINUTE, START } from '../support/user-task.ts'
import { sessionViews, totals } from './exact-parts.ts'

const composition = await compose({}, 'sessions,popularity,drift')

const streams = fc
  .array(
    fc.record({
      user: fc.nat(1),
      kind: fc.constantFrom('impression', 'watch', 'watch', 'feedback'),
      item: fc.nat(3),
      wait: fc.oneof(fc.integer({ min: 1, max: 10 * MINUTE }), fc.constantFrom(GAP, GAP + 1)),
      watched: fc.constantFrom(0, 1_000, 20_000, 31_000, 90_000),
      end: fc.constantFrom('none', 'none', 'finished', 'skipped'),
      /** By how much later it arrives; again after so much more. */
      delay: fc.integer({ min: 0, max: 9 * HOUR }),
      again: fc.option(fc.integer({ min: 0, max: 9 * HOUR })),
      crash: fc.boolean(),
    }),
    { minLength: 3, maxLength: 40, size: 'max' },
  )
  .map(drafts => {
    let ts = START
    return drafts.map((draft, k) => {
      ts += draft.wait
      const itemId = `i${draft.item}`
      const event: JsonEvent = {
        type: draft.kind,
        eventId: `e${k}`,
        userId: `u${draft.user}`,
        itemId,
        ts,
        ...(draft.kind === 'impression' ? { requestId: `r${k}` } : {}),
        ...(draft.kind === 'feedback' ? { kind: 'click' } : {}),
        ...(draft.kind === 'watch'
          ? {
              playId: `p${draft.user}-${draft.item}`,
              watchedMs: draft.watched,
              durationMs: 100_000,
              seq: k + 1,
              endReason: draft.end,
            }
          : {}),
      }
      return { ...draft, event }
    })
  })

function run(arrivals: readonly { event: JsonEvent; crash: boolean }[]) {
  let now = START
  const recommender = new Recommender({ composition, now: () => now })
  for (const { event, crash } of arrivals) {
    recommender.arrive(event, START + 24 * HOUR)
    recommender.users[0].take()
    now += 300
    if (!crash) continue
    recommender.commitUser(0)
    recommender.restart(true)
  }
  for (let k = 0; k < 3; k++) {
    recommender.commitAll()
    now += 1_000
  }
  return { sessions: sessionViews(recommender), counts: totals(recommender.items[0]) }
}

/** Counts of each item, from the sorted log, each event once. */
function recount(events: readonly JsonEvent[]): string[] {
  const counts = new Map<string, number[]>()
  const plays = new Map<string, { watched: number; positive: boolean }>()
  for (const e of events) {
    const own = counts.get(e.itemId as string) ?? [0, 0, 0, 0]
    if (e.type === 'feedback') continue
    counts.set(e.itemId as string, own)
    if (e.type === 'impression') own[0]++
    else {
      const play = plays.get(e.playId as string) ?? { watched: 0, positive: false }
      if (!plays.has(e.playId as string)) own[1]++
      plays.set(e.playId as string, play)
      const watched = Number(e.watchedMs)
      own[3] += Math.max(0, watched - play.watched)
      play.watched = Math.max(play.watched, watched)
      const positive = watched >= 30_000 || e.endReason === 'finished'
      if (positive && !play.positive) own[2]++
      play.positive ||= positive
    }
  }
  return [...counts].map(([item, own]) => `${item} ${own.join(' ')}`).sort()
}

describe('the order of arrival', () => {
  it('within the grace, with doubles and crashes anywhere, changes neither sessions nor counts', () => {
    fc.assert(
      fc.property(streams, events => {
        const inOrder = run(events.map(({ event }) => ({ event, crash: false })))
        expect(inOrder.counts).toEqual(recount(events.map(({ event }) => event)))
        const arrivals = events.flatMap(({ event, delay, again, crash }) => [
          { at: event.ts + delay, event, crash },
          ...(again === null ? [] : [{ at: event.ts + delay + again, event, crash: false }]),
        ])
        expect(run(arrivals.sort((a, b) => a.at - b.at))).toEqual(inOrder)
      }),
      { numRuns: 30 },
    )
  })
})

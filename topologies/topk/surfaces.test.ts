/** What surfaces declare, seen from the stage: their own intervals, epsilons by context, budgets of a day. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../streams/options.ts'
import type { Outbox, ViewWrite } from '../../streams/topology/outbox.ts'
import type { UserEvent } from '../user/event.ts'
import { createCohortStage } from './cohort-stage.ts'
import { bucketOf, cohortHash, contextHash } from './exploration.ts'
import { contextOf, FakeItems, FakeUsers, fakeUser } from './fakes.ts'
import { topkOptions } from './options.ts'
import { createTopkStage } from './stage.ts'

interface Body {
  readonly policy: string
  readonly items: readonly { readonly id: string; readonly x: boolean }[]
}
const bodyOf = (write: ViewWrite): Body =>
  JSON.parse(write.op === 'json' ? `{${write.body}` : 'null') as Body
const keyOf = (write: ViewWrite) => ('key' in write ? write.key : '')

function setUp(policies: unknown, surfaces = 'home', flags: Record<string, string> = {}) {
  const items = new FakeItems({ items: 200, seed: 5 })
  const users = new FakeUsers()
  const clock = { now: 1_700_000_000_000 }
  const ctx = contextOf('user', items, clock)
  const { values: options } = resolveOptions(topkOptions, {
    flags: {
      'topk.policies': JSON.stringify(policies),
      ...flags,
      'topk.surfaces': surfaces,
      'explore.holdout': '0',
    },
    environment: {},
    file: {},
  })
  const stage = createTopkStage(ctx, { users, options, activeMs: 30 * 60_000 })
  const cohorts = createCohortStage(ctx, {
    options,
    popularity: {
      listed: [0, 1],
      cohortName: () => 'de',
      popular: () => new Map([[3, 1]]),
      refresh: () => {},
    },
  })
  const user = users.add(fakeUser('u1', [1, 2]))
  const flush = (of: { flush?(out: Outbox): void } = stage) => {
    const writes: ViewWrite[] = []
    of.flush?.({
      view: (write: ViewWrite) => writes.push(write),
      row: () => {},
    } as unknown as Outbox)
    return writes
  }
  const event = (kind: string, more: object = {}, ts = user.lastSeenAt) =>
    stage.process?.({
      kind,
      user,
      ts,
      recordTs: 77,
      event: { kind: '', context: {}, ...more },
    } as unknown as UserEvent)
  return { items, user, clock, stage, cohorts, flush, event }
}

describe('surfaces with intervals of their own', () => {
  const policies = {
    surfaces: {
      home: { minInterval: 1_000, size: 10 },
      clips: { profile: 'short-form', size: 6 },
      later: { minInterval: '5s', size: 8 },
    },
  }
  const intervals: Readonly<Record<string, number>> = { home: 1_000, clips: 200, later: 5_000 }

  it('B1: are written at most that often and within it after every event; a refusal renews all at once', () => {
    const steps = fc.array(
      fc.record({
        wait: fc.constantFrom(50, 100, 150, 400, 900, 2_500),
        kind: fc.constantFrom('watch', 'watch', 'watch', 'hide'),
      }),
      { minLength: 1, maxLength: 20 },
    )
    fc.assert(
      fc.property(steps, fc.constantFrom(50, 100, 350), (all, commitEvery) => {
        const { clock, stage, flush, event, user } = setUp(policies, 'home,clips,later')
        const written: { surface: string; at: number }[] = []
        const begun = clock.now
        const refusals: number[] = []
        const events: number[] = []
        const step = () => {
          stage.tick?.(5)
          if ((clock.now - begun) % commitEvery === 0)
            for (const write of flush()) {
              const [, surface] = keyOf(write).split(':')
              written.push({
                surface,
                at: Number(/"at":(\d+)/.exec(JSON.stringify(bodyOf(write)))?.[1]),
              })
            }
          clock.now += 50
        }
        for (const { wait, kind } of all) {
          events.push(clock.now)
          if (kind === 'hide') refusals.push(clock.now)
          event(kind === 'hide' ? 'feedback' : 'watch', { kind })
          for (let t = 0; t < wait; t += 50) step()
        }
        for (let t = 0; t < 6_000; t += 50) step()
        for (const [surface, interval] of Object.entries(intervals)) {
          const times = written.filter(each => each.surface === surface).map(({ at }) => at)
          times.forEach((at, k) => {
            if (k > 0 && !refusals.includes(at))
              expect(at - times[k - 1]).toBeGreaterThanOrEqual(interval)
          })
          for (const at of events)
            expect(times.some(time => time >= at && time <= at + interval + commitEvery + 50)).toBe(
              true,
            )
          for (const at of refusals) {
            // a newer one of the same commit may have taken its place
            expect(times.some(time => time >= at && time < at + commitEvery + 50)).toBe(true)
          }
        }
        expect(user.scratch.surfacesOwed).toBeUndefined()
        stage.delivered?.()
        expect(stage.unfinishedFrom?.()).toBeUndefined()
      }),
      {
        numRuns: 60,
        // one surface's list is made, then another's that owes nothing more, before the commit
        examples: [
          [
            ([50, 400, 100, 900, 2_500, 50, 50] as const).map(wait => ({
              wait,
              kind: 'watch' as const,
            })),
            350,
          ],
        ],
      },
    )
  })

  it('Q4: a surface without an interval beside one with: what is owed waits, and nothing is asked for again and again', () => {
    const slow = { surfaces: { clips: { minInterval: '200ms' } } }
    const { clock, stage, flush, event, user } = setUp(slow, 'home,clips', {
      'topk.minInterval': '0ms',
    })
    const surfaces = () => flush().map(write => keyOf(write).split(':')[1])
    const drain = () => {
      for (let turns = 0; stage.tick?.(5); turns++) expect(turns).toBeLessThan(5)
      return surfaces()
    }
    event('watch', {})
    expect(drain()).toEqual(['home', 'clips'])
    clock.now += 50
    event('watch', {})
    expect(drain()).toEqual(['home'])
    expect(stage.unfinishedFrom?.()).toBeDefined()
    clock.now += 50
    // a new event does not wait for what is owed
    event('watch', {})
    expect(drain()).toEqual(['home'])
    clock.now += 99
    expect(drain()).toEqual([])
    clock.now += 1
    expect(drain()).toEqual(['clips'])
    expect(user.scratch.surfacesOwed).toBeUndefined()
  })

  it('B2: an item that is withdrawn leaves the list of a surface that was not built with the others', () => {
    const { clock, stage, flush, event, items, user } = setUp(policies, 'home,clips,later')
    event('watch')
    stage.tick?.(5)
    const first = flush()
    const later = first.find(write => keyOf(write).startsWith('topk:later:'))
    clock.now += 300
    event('watch')
    stage.tick?.(5)
    expect(flush().map(keyOf)).toEqual(['topk:clips:u:u1'])
    expect(stage.unfinishedFrom?.()).toBe(user.lastOffset)
    const held = bodyOf(later ?? first[0]).items[4].id
    items.withdraw(Number(held))
    stage.tick?.(5)
    stage.tick?.(5)
    const writes = flush()
    expect(writes.map(keyOf).sort()).toEqual([
      'topk:clips:u:u1',
      'topk:home:u:u1',
      'topk:later:u:u1',
    ])
    for (const write of writes) expect(bodyOf(write).items.map(({ id }) => id)).not.toContain(held)
  })
})

describe('exploration of a surface', () => {
  it('goes by the context of the newest event, by the cohort before there is one', () => {
    const epsilons = [0.1, 0.2, 0.3, 0.4]
    const { clock, stage, cohorts, flush, event, user } = setUp({
      context: ['device'],
      surfaces: { home: { policy: 'epsilon', epsilons } },
    })
    const epsilonFor = (context: number) => epsilons[bucketOf('', 'home', context, 4)]
    const drawn = (more: object, ts?: number) => {
      clock.now += 1_000
      event('watch', more, ts)
      stage.tick?.(5)
      return bodyOf(flush()[0]).policy
    }
    for (const device of ['tv', 'phone', 'web', 'car']) {
      const epsilon = epsilonFor(contextHash({ device }, ['device']))
      expect(drawn({ context: { device, network: 'x' } })).toMatch(
        new RegExp(`-eps${String(epsilon).slice(1)}@1$`),
      )
    }
    const before = user.scratch.contextHash
    // an event from earlier does not say what the context is
    drawn({ context: { device: 'tv' } }, user.lastSeenAt - 1)
    expect(user.scratch.contextHash).toBe(before)
    cohorts.tick?.(1_000)
    const bySurface = new Map(flush(cohorts).map(write => [keyOf(write), bodyOf(write).policy]))
    for (const [key, cohort] of [
      ['topk:home:global:0', ''],
      ['topk:home:c:de:15', 'de'],
    ])
      expect(bySurface.get(key)).toMatch(
        new RegExp(`-eps${String(epsilonFor(cohortHash(cohort))).slice(1)}@1$`),
      )
  })

  it('ends for the day once the user was shown its budget, on that surface alone', () => {
    const { clock, stage, flush, event, user } = setUp(
      {
        surfaces: {
          home: { policy: 'epsilon', epsilon: 0.9, explore: { perDay: 2 } },
          clips: { policy: 'epsilon', epsilon: 0.9, explore: { perDay: 5 } },
        },
      },
      'home,clips',
    )
    const drawn = () => {
      clock.now += 1_000
      stage.tick?.(5)
      return flush().map(write => {
        const { policy, items } = bodyOf(write)
        return `${/-b\d+/.exec(policy)} ${items.filter(({ x }) => x).length}`
      })
    }
    const shown = (surface: string, explore: boolean) => event('impression', { surface, explore })
    shown('home', false)
    expect(drawn()).toEqual(['-b2 2', '-b5 5'])
    shown('home', true)
    expect(drawn()).toEqual(['-b1 1', '-b5 5'])
    shown('home', true)
    shown('clips', true)
    shown('elsewhere', true)
    expect(drawn()).toEqual(['-b0 0', '-b4 4'])
    user.lastSeenAt += 86_400_000
    shown('home', false)
    expect(drawn()).toEqual(['-b2 2', '-b5 5'])
  })
})

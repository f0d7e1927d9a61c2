import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { drifted, parseDrift } from './drift.ts'
import { LoggingPolicy } from './policy.ts'
import { Catalog, Users } from './population.ts'
import { Truth } from './truth.ts'
import { createWorld, type ServedList, type SimulatedEvent, type WorldOptions } from './world.ts'

const startTs = Date.UTC(2026, 0, 5, 12)
const small = { seed: 7, users: 3000, items: 500, startTs }

function run(
  count: number,
  options: Partial<WorldOptions> = {},
  ratePerSecond = 200,
): SimulatedEvent[] {
  const events = createWorld({ ...small, ...options }).events({ ratePerSecond })
  return Array.from({ length: count }, () => events.next().value)
}

type Of<K extends SimulatedEvent['kind']> = Extract<SimulatedEvent, { kind: K }>
const only = <K extends SimulatedEvent['kind']>(events: SimulatedEvent[], kind: K): Of<K>[] =>
  events.filter((event): event is Of<K> => event.kind === kind)

const events = run(60_000)
const impressions = only(events, 'Impression').map(({ record }) => record)
const watches = only(events, 'Watch')

describe('the simulated stream', () => {
  it('is the same for the same seed, and another for another', () => {
    const digest = (list: SimulatedEvent[]) =>
      createHash('sha256').update(JSON.stringify(list)).digest('hex')
    const first = digest(events.slice(0, 20_000))
    expect(digest(run(20_000))).toBe(first)
    expect(digest(run(20_000, { seed: 8 }))).not.toBe(first)
  })

  it('comes in order of sending; only declared parts are late or doubled (W1)', () => {
    expect(events.every(({ at }, i) => i === 0 || at >= events[i - 1].at)).toBe(true)
    const late = watches.filter(({ at, record }) => at - record.ts >= 5000)
    expect(late.length / watches.length).toBeGreaterThan(0.005)
    expect(late.length / watches.length).toBeLessThan(0.025)
    const ids = new Set(watches.map(({ record }) => record.eventId))
    const doubled = (watches.length - ids.size) / watches.length
    expect(doubled).toBeGreaterThan(0.004)
    expect(doubled).toBeLessThan(0.02)
    const strict = run(20_000, { lateRate: 0, doubledRate: 0 })
    expect(strict.every(e => e.kind === 'Item' || e.at === e.record.ts)).toBe(true)
    expect(new Set(strict.flatMap(e => (e.kind === 'Item' ? [] : [e.record.eventId]))).size).toBe(
      strict.filter(e => e.kind !== 'Item').length,
    )
  })

  it('starts with the catalog and then keeps about the rate that was asked for (W4)', () => {
    expect(events.slice(0, 500).every(({ kind }) => kind === 'Item')).toBe(true)
    const rest = events.slice(500)
    const seconds = (rest[rest.length - 1].at - rest[0].at) / 1000
    expect(rest.length / seconds).toBeGreaterThan(130)
    expect(rest.length / seconds).toBeLessThan(270)
  })

  it('never lets watchedMs of a play fall with its heartbeat number, nor pass the duration (W3)', () => {
    const plays = new Map<string, { seq: number; watchedMs: number; durationMs: number }[]>()
    for (const { record } of watches) {
      const { playId, seq = 0, watchedMs, durationMs = 0 } = record
      plays.set(playId, [...(plays.get(playId) ?? []), { seq, watchedMs, durationMs }])
    }
    let wrong = 0
    for (const beats of plays.values()) {
      beats.sort((a, b) => a.seq - b.seq)
      for (let i = 0; i < beats.length; i++) {
        if (i > 0 && beats[i].watchedMs < beats[i - 1].watchedMs) wrong++
        if (beats[i].watchedMs > beats[i].durationMs) wrong++
      }
    }
    expect(plays.size).toBeGreaterThan(1000)
    expect(wrong).toBe(0)
  })

  it('has the mix of consent, logged-out users and kinds that was declared', () => {
    const world = createWorld({ ...small, users: 20_000 })
    const share = (of: (user: (typeof world.users)[number]) => boolean) =>
      world.users.filter(of).length / 20_000
    expect(share(user => user.consent === 'contextual')).toBeCloseTo(0.07, 1.7)
    expect(share(user => user.consent === 'none')).toBeCloseTo(0.03, 1.7)
    expect(share(user => user.id.startsWith('anon:'))).toBeCloseTo(0.1, 1.7)
    expect(only(events, 'Feedback').length).toBeGreaterThan(100)
    expect(new Set(watches.map(({ record }) => record.endReason))).toEqual(
      new Set(['none', 'finished', 'skipped', 'left']),
    )
  })

  it('withdraws and replaces items at the declared rate', () => {
    const day = run(20_000, { churnPerDay: 200 }, 100)
    const withdrawn = day.filter(event => event.kind === 'Item' && event.record === null)
    const days = (day[day.length - 1].at - startTs) / 86_400_000
    expect(withdrawn.length / days / 500).toBeGreaterThan(190)
    expect(withdrawn.length / days / 500).toBeLessThan(210)
  })

  it('begins at its start after an unseen warm-up, in which the catalog stands still', () => {
    const events = createWorld(small).events({ ratePerSecond: 200, warmUpMs: 120_000 })
    const warm = Array.from({ length: 3000 }, () => events.next().value)
    expect(Math.min(...warm.map(({ at }) => at))).toBe(startTs)
    expect(warm.slice(500).every(({ kind }) => kind !== 'Item')).toBe(true)
    expect(warm[2999].at).toBeGreaterThan(startTs)
  })

  it('can be had once', () => {
    const world = createWorld(small)
    world.events().next()
    expect(() => world.events().next()).toThrowError(/once/)
  })
})

describe('the logging policy', () => {
  it('draws as often as its propensities say, and they sum to 1 over what could stand there (W2)', () => {
    const users = new Users(1, 5, { anonymous: 0, contextual: 0, none: 0 })
    const catalog = new Catalog(1, 6, startTs)
    const policy = new LoggingPolicy(new Truth(users, catalog, [], startTs), catalog)
    let state = 1
    const dice = () => {
      state = (state * 48271) % 2147483647
      return state / 2147483647
    }
    const draws = 20_000
    let error = 0
    const firsts = new Map<number, { drawn: number; expected: number }>()
    const seconds = new Map<number, { drawn: number; expected: number }>()
    const note = (map: typeof firsts, slot: number, propensity: number) => {
      const row = map.get(slot) ?? { drawn: 0, expected: 0 }
      map.set(slot, { drawn: row.drawn + 1, expected: row.expected + propensity })
    }
    for (let n = 0; n < draws; n++) {
      const drawn = policy.draw(0, 6, dice, () => false)
      // independent recount: each conditional from the scores of what is below
      for (let k = 0; k < drawn.length; k++) {
        const below = drawn.slice(k).reduce((sum, { score }) => sum + Math.exp(score), 0)
        error = Math.max(error, Math.abs(drawn[k].propensity - Math.exp(drawn[k].score) / below))
      }
      note(firsts, drawn[0].slot, 1 / drawn[0].propensity)
      note(seconds, drawn[1].slot, 1 / drawn[1].propensity)
    }
    expect(error).toBeLessThan(1e-12)
    // E[1{slot first} / p] is the part of the draws in which the slot was a candidate: nearly all
    for (const map of [firsts, seconds]) {
      const total = [...map.values()].reduce((sum, { expected }) => sum + expected, 0) / draws
      expect(total).toBeGreaterThan(map === firsts ? 5.5 : 4.5)
      expect(total).toBeLessThan(map === firsts ? 6.2 : 5.2)
    }
  })

  it('gives every impression a propensity in (0, 1] and positions from 0 without holes', () => {
    const pages = new Map<string, number[]>()
    for (const { requestId = '', position = 0 } of impressions)
      pages.set(requestId, [...(pages.get(requestId) ?? []), position])
    const exact = ({ propensity }: { propensity?: number | null }) =>
      typeof propensity === 'number' && propensity > 0 && propensity <= 1
    expect(impressions.every(exact)).toBe(true)
    const whole = [...pages.values()].filter(page => page.every((position, i) => position === i))
    expect(whole.length).toBe(pages.size)
  })
})

describe('the truth', () => {
  it('is what the viewers do: positives come as often as the expected reward at the top says', () => {
    const world = createWorld({ ...small, churnPerDay: 0, lateRate: 0, doubledRate: 0 })
    const stream = world.events({ ratePerSecond: 400 })
    let expected = 0
    const tops = new Set<string>()
    const positives = new Set<string>()
    for (let i = 0; i < 120_000; i++) {
      const event = stream.next().value
      if (event.kind === 'Impression' && event.record.position === 0) {
        const { userId, itemId, ts, requestId = '' } = event.record
        expected += world.truth.expectedReward(userId, itemId, ts)
        tops.add(`${requestId}-0`)
      } else if (event.kind === 'Watch') {
        const { watchedMs, durationMs = 0, playId, endReason } = event.record
        if (endReason === 'finished' || watchedMs >= Math.min(30_000, durationMs / 2))
          positives.add(playId)
      }
    }
    const happened = [...tops].filter(play => positives.has(play)).length
    expect(tops.size).toBeGreaterThan(3000)
    expect(Math.abs(happened - expected)).toBeLessThan(4 * Math.sqrt(expected))
  })

  it('ranks by expected reward', () => {
    const { truth, users } = createWorld(small)
    const best = truth.oracle(users[3].id, 500, startTs)
    expect(best).toHaveLength(500)
    expect(best[0].reward).toBe(Math.max(...best.map(({ reward }) => reward)))
    expect(truth.expectedReward(users[3].id, best[9].itemId, startTs)).toBe(best[9].reward)
  })
})

describe('the default world', () => {
  const world = createWorld({ seed: 1, startTs })
  const sample = world.users.filter((_, i) => i % 25 === 0)
  const rewards = sample.map(({ id }) => {
    const byItem = new Map(
      world.truth.oracle(id, 5_000, startTs).map(({ itemId, reward }) => [itemId, reward]),
    )
    return { best: [...byItem.values()].slice(0, 10), byItem }
  })
  const meanOf = (numbers: readonly number[]) =>
    numbers.reduce((sum, x) => sum + x, 0) / numbers.length

  it('has 5,000 users, 2,000 items and a positive in 8% of all pairs', () => {
    expect(world.users).toHaveLength(5_000)
    expect(rewards[0].byItem.size).toBe(2_000)
    const all = meanOf(rewards.map(({ byItem }) => meanOf([...byItem.values()])))
    expect(all).toBeGreaterThan(0.075)
    expect(all).toBeLessThan(0.085)
  })

  it('pays two to three times as much for the best of a user as for the best of all', () => {
    const ofAll = [...rewards[0].byItem.keys()]
      .map(id => ({ id, reward: meanOf(rewards.map(({ byItem }) => byItem.get(id) ?? 0)) }))
      .sort((a, b) => b.reward - a.reward)
      .slice(0, 10)
    const ratio = meanOf(rewards.map(({ best }) => meanOf(best))) / meanOf(ofAll.map(i => i.reward))
    expect(ratio).toBeGreaterThan(2)
    expect(ratio).toBeLessThan(3)
  })

  it('lets viewers come across items by Zipf, exponent 1', () => {
    const { attention } = new Catalog(1, 2_000, startTs)
    let state = 1
    const dice = () => {
      state = (state * 48271) % 2147483647
      return state / 2147483647
    }
    const counts = new Float64Array(2_000)
    for (let i = 0; i < 400_000; i++) counts[attention.draw(dice)]++
    let harmonic = 0
    for (let rank = 1; rank <= 2_000; rank++) harmonic += 1 / rank
    // chi2 over the ranks, 1,999 degrees of freedom: 2,250 is four deviations out
    let chi2 = 0
    for (let rank = 0; rank < 2_000; rank++) {
      const expected = 400_000 / harmonic / (rank + 1)
      chi2 += (counts[rank] - expected) ** 2 / expected
    }
    expect(chi2).toBeLessThan(2_250)
  })

  it('replaces one item in a hundred a day', () => {
    const events = createWorld({ seed: 1, startTs }).events({ ratePerSecond: 0.2 })
    let withdrawn = 0
    for (let event = events.next().value; event.at < startTs + 86_400_000; ) {
      if (event.kind === 'Item' && event.record === null) withdrawn++
      event = events.next().value
    }
    expect(withdrawn).toBeGreaterThanOrEqual(19)
    expect(withdrawn).toBeLessThanOrEqual(20)
  })
})

describe('lists of a provider', () => {
  it('are shown in order, with their own propensity, version, policy and index', () => {
    const list: ServedList = {
      version: '000001-0000000000000001-0000000001',
      policy: 'blend-pl@3',
      model: 'abc',
      experiments: { rank7: 'b' },
      items: Array.from({ length: 15 }, (_, i) => ({
        id: i === 3 ? 'unknown' : `i${i}`,
        score: 1 - i / 100,
        p: 0.5 / (i + 1),
        src: i === 4 ? 'new-stage' : 'covisit',
      })),
    }
    const shown = only(run(5000, { lists: () => list, churnPerDay: 0 }), 'Impression').map(
      ({ record }) => record,
    )
    for (const record of shown) {
      const index = record.listIndex ?? -1
      const item = list.items[index]
      expect(record).toMatchObject({
        itemId: item.id,
        listVersion: list.version,
        policy: 'blend-pl@3',
        modelVersion: 'abc',
        experiments: { rank7: 'b' },
        candidateSource: index === 4 ? 'other' : 'covisit',
      })
      // below a dropped item the conditionals no longer hold
      expect(record.propensity).toBe(index === 3 || (index > 3 && index <= 10) ? null : item.p)
    }
  })
})

/** Positives that the scores foretell, and those that came, an impression: of those in the first half of the events. */
function calibrationOf(options: Partial<WorldOptions>) {
  const list = run(60_000, options)
  const shown = only(list, 'Impression').slice(0, 15_000)
  const positive = new Set(
    only(list, 'Watch')
      .filter(
        ({ record: { watchedMs, durationMs = 0, endReason } }) =>
          endReason === 'finished' || watchedMs >= Math.min(30_000, durationMs / 2),
      )
      .map(({ record }) => `${record.requestId} ${record.itemId}`),
  )
  const mean = (value: (one: (typeof shown)[number]) => number) =>
    shown.reduce((sum, one) => sum + value(one), 0) / shown.length
  return {
    predicted: mean(({ record }) => 1 / (1 + Math.exp(-(record.score ?? 0)))),
    observed: mean(({ record }) => (positive.has(`${record.requestId} ${record.itemId}`) ? 1 : 0)),
  }
}

describe('drift', () => {
  const ratioOf = (list: SimulatedEvent[], from: number, to: number) => {
    const ended = only(list, 'Watch').filter(
      ({ record, at }) => record.endReason !== 'none' && at >= startTs + from && at < startTs + to,
    )
    return (
      ended.reduce((sum, { record }) => sum + record.watchedMs / (record.durationMs ?? 1), 0) /
      ended.length
    )
  }

  it('begins at its time and not before', () => {
    const changed = run(40_000, { drift: ['watched_ratio@20s', 'context.device:new=tv@20s'] })
    expect(ratioOf(changed, 0, 20_000)).toBe(ratioOf(events, 0, 20_000))
    const change = ratioOf(changed, 120_000, 190_000) / ratioOf(events, 120_000, 190_000)
    expect(change).toBeGreaterThan(0.35)
    expect(change).toBeLessThan(0.65)
    const tv = only(changed, 'Impression').filter(({ record }) => record.context?.device === 'tv')
    expect(tv.length).toBeGreaterThan(50)
    expect(Math.min(...tv.map(({ at }) => at))).toBeGreaterThanOrEqual(startTs + 20_000)
  })

  it('comes in evenly over its time, and a season comes and goes', () => {
    const at = (text: string, since: number) =>
      drifted([parseDrift(text)], 'watched_ratio', 0.5, since)
    expect(
      [0, 10_000, 30_000, 50_000, 90_000].map(ms => at('watched_ratio:shift=-0.2@10s/40s', ms)),
    ).toEqual([0.5, 0.5, 0.4, 0.3, 0.3])
    const day = 86_400_000
    const season = [0, 1.75, 3.5, 5.25, 7].map(days =>
      at('watched_ratio:season=0.1@0s', days * day),
    )
    for (const [k, value] of [0.5, 0.6, 0.5, 0.4, 0.5].entries())
      expect(season[k]).toBeCloseTo(value, 12)
  })

  it('of a prediction parts it from what happens; until then both agree', () => {
    const { predicted, observed } = calibrationOf({})
    expect(Math.abs(predicted / observed - 1)).toBeLessThan(0.1)
    const sure = calibrationOf({ drift: ['prediction:shift=1@0s'] })
    expect(sure.observed).toBe(observed)
    expect(sure.predicted / observed).toBeGreaterThan(1.8)
  })

  it('is read from its text, and refused with a sentence', () => {
    expect(parseDrift('watched_ratio@300s')).toEqual({
      kind: 'scale',
      subject: 'watched_ratio',
      amount: 0.5,
      afterMs: 300_000,
      overMs: 0,
    })
    expect(parseDrift('label:flip=0.2@5m/1d')).toEqual({
      kind: 'flip',
      amount: 0.2,
      afterMs: 300_000,
      overMs: 86_400_000,
    })
    for (const wrong of [
      'watched_ratio',
      'x@5s',
      'watched_ratio:new@5s',
      'label:flip=x@5s',
      'label@soon',
      'label@5m/often',
      'prediction:new@5m',
    ])
      expect(() => parseDrift(wrong)).toThrowError(/--drift got/)
  })
})

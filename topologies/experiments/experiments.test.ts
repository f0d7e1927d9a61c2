/**
 * The whole way at task level, against a recount: the figures of a time are those of what each partition knew when its event
 * time reached it, whatever was committed, ticked, lost and restored in between.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assign, type Experiment } from '../../schemas/index.ts'
import { partitionOfText } from '../../streams/serde/hash.ts'
import type { TableRow } from '../../streams/topology/outbox.ts'
import { compose, Recommender } from '../../test/support/recommender.ts'
import { DAY, GAP, HOUR, type JsonEvent, MINUTE, START } from '../../test/support/user-task.ts'
import { isHoldout } from '../topk/exploration.ts'

const interval = 5 * MINUTE
const capMs = 60_000

const experiment = (name: string, end: number | null): Experiment => ({
  experiment: name,
  salt: 's',
  arms: [
    { name: 'a', share: 0.4, overrides: {} },
    { name: 'b', share: 0.4, overrides: { 'topk.mmr': '0' } },
  ],
  control: 'a',
  metrics: [],
  guardrails: { return_1d: 0.1 },
  start: 0,
  end,
})
const rank7 = experiment('rank7', null)
const short = { ...experiment('short', START + 6 * HOUR + 7), start: START + HOUR }

const composition = await compose(
  {
    'explore.holdout': '0.3',
    'experiments.minUsers': '2',
    'experiments.watchCap': '1m',
  },
  'sessions,labels,drift,experiments',
  [rank7, short],
)
const holdout = composition.values

const arms: Readonly<Record<string, readonly string[]>> = {
  exploration: ['on', 'holdout'],
  rank7: ['a', 'b'],
  short: ['a', 'b'],
}

function armOf(name: string, user: string): string | null {
  if (name === 'exploration') return isHoldout(user, holdout) ? 'holdout' : 'on'
  return name === 'rank7' || name === 'short'
    ? assign(name === 'rank7' ? rank7 : short, user)
    : null
}

/** What a user came to, by the letter of docs/experiments.md. */
interface Told {
  readonly user: string
  readonly name: string
  readonly arm: string
  readonly exposedAt: number
  readonly covariate: number
  readonly covariateDays: number
  readonly days: Set<number>
  watchedMs: number
  positives: number
  plays: number
  sessions: number
  closed: number[]
  impressions: number
  reports: number
  returned: boolean
  /** The partition's event time when the user was removed. */
  removedAt: number
}

interface Arrived {
  readonly event: JsonEvent | { readonly erases: string; readonly ts: number }
  readonly facts: readonly (string | number | boolean)[] | undefined
}

/** What partition `arrivals` knew when its event time reached `until`. */
function recount(arrivals: readonly Arrived[], until: number): Told[] {
  const all: Told[] = []
  const history = new Map<string, { at: number }[]>()
  const lastSeen = new Map<string, number>()
  let watermark = 0
  const remove = (user: unknown): void => {
    for (const each of all)
      if (each.user === user) each.removedAt = Math.min(each.removedAt, watermark)
    history.delete(String(user))
    lastSeen.delete(String(user))
  }
  for (const { event, facts } of arrivals) {
    if ('erases' in event) {
      remove(event.erases)
      continue
    }
    const { ts, userId: user } = event
    watermark = Math.max(watermark, ts)
    if (watermark >= until) break
    if (event.consent === 'none' && ts >= (lastSeen.get(user) ?? Number.POSITIVE_INFINITY))
      remove(user)
    if (facts === undefined || event.consent === 'none') continue
    lastSeen.set(user, Math.max(ts, lastSeen.get(user) ?? 0))
    const [, , kind, playStarted, watchedMs, positive, firstPositive, , , sessionStarted, closed] =
      facts
    const endOf = (name: string) => (name === 'short' ? (short.end ?? 0) : Number.POSITIVE_INFINITY)
    for (const each of all) {
      if (each.user !== user || each.removedAt < Number.POSITIVE_INFINITY) continue
      if (ts < each.exposedAt || ts >= endOf(each.name) || watermark >= endOf(each.name)) continue
      each.days.add(Math.floor(ts / DAY))
      if (sessionStarted) each.sessions++
      if (sessionStarted && ts > each.exposedAt && ts <= each.exposedAt + DAY) each.returned = true
      if (Number(closed) >= 0) each.closed.push(Number(closed))
      if (kind === 'impression') each.impressions++
      if (kind === 'watch') each.watchedMs += Number(watchedMs)
      if (playStarted) each.plays++
      if (positive) each.positives++
      if (event.kind === 'report') each.reports++
    }
    const carried = kind === 'impression' ? (event.experiments as Record<string, string>) : {}
    for (const [name, arm] of Object.entries(carried)) {
      if (armOf(name, user) !== arm || ts >= endOf(name) || watermark >= endOf(name)) continue
      if (name === 'short' && ts < short.start) continue
      if (all.some(e => e.user === user && e.name === name && e.removedAt === Infinity)) continue
      const before = (history.get(user) ?? []).filter(({ at }) => at < ts && at >= ts - 28 * DAY)
      all.push({
        user,
        name,
        arm,
        exposedAt: ts,
        covariate: before.length,
        covariateDays: new Set(before.map(({ at }) => Math.floor(at / DAY))).size,
        days: new Set([Math.floor(ts / DAY)]),
        watchedMs: 0,
        positives: 0,
        plays: 0,
        sessions: 1,
        closed: [],
        impressions: 1,
        reports: 0,
        returned: false,
        removedAt: Number.POSITIVE_INFINITY,
      })
    }
    if (firstPositive) history.set(user, [...(history.get(user) ?? []), { at: ts }])
  }
  return all
}

/** Had the day after the exposure passed, to the interval, by `until`, before removal and end? */
function isMature(told: Told, until: number): boolean {
  const at = (Math.floor((told.exposedAt + DAY) / interval) + 1) * interval
  const removed = Math.floor(told.removedAt / interval) * interval
  const end = told.name === 'short' ? (short.end ?? 0) : Number.POSITIVE_INFINITY
  return at <= until && at <= removed && at <= end
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length

/** n and mean of a figure over users, null where there is nothing to divide by. */
const figures: Readonly<
  Record<string, (users: readonly Told[], until: number) => { n: number; mean: number | null }>
> = {
  watch_time: users =>
    per(users, u => Math.floor(Math.min(u.watchedMs, capMs * u.days.size) / 1000)),
  positives: users => per(users, u => u.positives),
  sessions: users => per(users, u => u.sessions),
  dau: users => per(users, u => u.days.size),
  return_1d: (users, until) =>
    per(
      users.filter(u => isMature(u, until)),
      u => Number(u.returned),
    ),
  session_depth: users =>
    over(
      users,
      u => u.plays,
      u => u.sessions,
    ),
  session_length: users =>
    over(
      users,
      u => Math.floor(u.closed.reduce((a, b) => a + b, 0) / 1000),
      u => u.closed.length,
    ),
  report_rate: users =>
    over(
      users,
      u => u.reports,
      u => u.impressions,
    ),
  restricted_share: users =>
    over(
      users,
      () => 0,
      u => u.impressions,
    ),
}

function per(users: readonly Told[], of: (told: Told) => number) {
  return { n: users.length, mean: users.length === 0 ? null : mean(users.map(of)) }
}

function over(users: readonly Told[], y: (told: Told) => number, x: (told: Told) => number) {
  const below = users.reduce((sum, told) => sum + x(told), 0)
  return {
    n: users.length,
    mean: below === 0 ? null : users.reduce((sum, told) => sum + y(told), 0) / below,
  }
}

type Around = '' | 'commit' | 'tick' | 'restart' | 'compacted' | 'statistics'

const steps = fc.array(
  fc.record({
    user: fc.nat(9),
    kind: fc.constantFrom('impression', 'impression', 'watch', 'watch', 'feedback', 'erase'),
    item: fc.nat(5),
    play: fc.nat(6),
    wait: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 9 * MINUTE }) },
      fc.constantFrom(GAP, GAP + 1, 3 * HOUR, 9 * HOUR),
    ),
    late: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 5 * HOUR })),
    watched: fc.constantFrom(0, 1500, 31_000, 180_000),
    carries: fc.constantFrom('arms', 'arms', 'arms', 'rank7', 'wrong', 'unknown', 'nothing'),
    consent: fc.constantFrom('full', 'full', 'full', 'full', 'full', 'full', 'full', 'none'),
    again: fc.constantFrom(false, false, false, false, true),
    around: fc.constantFrom<Around>(
      '',
      '',
      'commit',
      'commit',
      'tick',
      'statistics',
      'restart',
      'compacted',
    ),
  }),
  { minLength: 20, maxLength: 120, size: 'max' },
)
type Steps = typeof steps extends fc.Arbitrary<infer T> ? T : never

function carried(how: Steps[number]['carries'], user: string): Record<string, string> {
  if (how === 'nothing') return {}
  if (how === 'unknown') return { nobody: 'a' }
  const all: Record<string, string> = {}
  for (const name of Object.keys(arms)) {
    const own = armOf(name, user)
    if (own === null) continue
    if (how === 'wrong') all[name] = arms[name].find(arm => arm !== own) ?? ''
    else if (how === 'arms' || name === 'rank7') all[name] = own
  }
  return all
}

class Played {
  readonly world: Recommender
  readonly arrivals: { event: Arrived['event']; at: string }[][] = [[], []]
  private ts = START + HOUR / 2
  private readonly offsets = [0, 0]
  private readonly isDisturbed: boolean
  private number = 0

  constructor(isDisturbed: boolean) {
    this.isDisturbed = isDisturbed
    this.world = new Recommender({ composition, now: () => START + 365 * DAY, partitions: 2 })
  }

  play(all: Steps): void {
    for (const step of all) this.step(step)
    this.end()
  }

  private send(event: Arrived['event'], user: string): void {
    const p = partitionOfText(user, 2)
    this.arrivals[p].push({ event, at: `${p}@${this.offsets[p]++}` })
    if ('erases' in event) this.world.arriveErasure(user, event.ts)
    else this.world.arrive(event, this.ts)
    this.world.users[p].take()
  }

  private step(step: Steps[number]): void {
    this.ts += step.wait
    const user = `user${step.user}`
    const ts = this.ts - step.late
    if (!step.again) this.number++
    const common = {
      userId: user,
      itemId: `i${step.item}`,
      eventId: `e${this.number}`,
      ts,
      consent: step.consent,
    }
    if (step.kind === 'erase' && step.play === 0) this.send({ erases: user, ts: this.ts }, user)
    else if (step.kind === 'impression')
      this.send(
        {
          type: 'impression',
          ...common,
          experiments: carried(step.carries, user),
          requestId: `r${step.play}`,
        },
        user,
      )
    else if (step.kind === 'watch')
      this.send(
        {
          type: 'watch',
          ...common,
          playId: `${user}${step.play}`,
          watchedMs: step.watched,
          seq: this.number,
        },
        user,
      )
    else
      this.send({ type: 'feedback', ...common, kind: step.item === 0 ? 'report' : 'click' }, user)
    if (!this.isDisturbed) return
    const { world } = this
    if (step.around === 'commit') world.commitUser(step.play % 2)
    if (step.around === 'tick') world.tickAll()
    if (step.around === 'statistics') world.commitStatistics()
    if (step.around === 'restart' || step.around === 'compacted') {
      world.commitUser(0)
      world.restart(step.around === 'compacted')
      for (const task of world.users) task.take()
    }
  }

  /** Two days later somebody new comes to each partition, and again once labels are given. */
  private end(): void {
    for (const after of [2 * DAY, 2 * interval]) {
      this.ts += after
      for (let p = 0, k = 0; p < 2; k++) {
        const userId = `last${k}`
        if (partitionOfText(userId, 2) !== p) continue
        const eventId = `last${p} ${after}`
        this.send(
          { type: 'feedback', userId, itemId: 'i1', eventId, ts: this.ts, kind: 'click' },
          userId,
        )
        p++
      }
      for (let n = 0; n < 2; n++) {
        this.world.tickAll()
        this.world.commitAll()
      }
    }
  }

  known(): Arrived[][] {
    return this.arrivals.map(all =>
      all.map(({ event, at }) => {
        const text = this.world.facts.get(at)
        return { event, facts: text === undefined ? undefined : (JSON.parse(text) as string[]) }
      }),
    )
  }

  rows(): TableRow[] {
    return [...this.world.sent.rows]
      .filter(([key]) => key.startsWith('experiments|'))
      .map(([, row]) => row)
  }
}

/** Gives how many rows there are. Plain comparisons: there are ten thousands of them. */
function checkRows(played: Played): number {
  const known = played.known()
  const byTime = new Map<number, TableRow[]>()
  for (const row of played.rows()) {
    const time = Number(row.time)
    byTime.set(time, [...(byTime.get(time) ?? []), row])
  }
  const wrong: string[] = []
  for (const [time, rows] of byTime) {
    if (time % interval !== 0) wrong.push(`${time} is between two intervals`)
    const told = known.flatMap(arrivals => recount(arrivals, time))
    for (const row of rows) {
      if (Object.values(row).some(Number.isNaN)) wrong.push(`NaN in ${JSON.stringify(row)}`)
      const users = told.filter(({ name, arm }) => name === row.experiment && arm === row.arm)
      const wanted = figures[String(row.metric)]?.(users, time)
      if (wanted === undefined) continue
      const isMean =
        wanted.mean === null || row.mean === null
          ? wanted.mean === row.mean
          : Math.abs(Number(row.mean) - wanted.mean) < 1e-9 * (1 + wanted.mean)
      if (row.n !== wanted.n || !isMean)
        wrong.push(`${JSON.stringify(row)}, recounted ${JSON.stringify(wanted)}`)
    }
  }
  expect(wrong.slice(0, 5)).toEqual([])
  return [...byTime.values()].flat().length
}

describe('figures of experiments', () => {
  it('are a recount of what was known at the time, whatever happened around', {
    timeout: 300_000,
  }, () => {
    let most = 0
    fc.assert(
      fc.property(steps, all => {
        const plain = new Played(false)
        plain.play(all)
        most = Math.max(most, checkRows(plain))
        const disturbed = new Played(true)
        disturbed.play(all)
        checkRows(disturbed)
        // what the labels stage finds out stands where it was found out; in the end all of it does
        const last = (played: Played) => {
          const rows = played.rows()
          const newest = new Map<string, TableRow>()
          for (const row of rows) {
            const key = `${row.experiment} ${row.metric} ${row.arm}`
            if (Number(newest.get(key)?.time ?? 0) <= Number(row.time)) newest.set(key, row)
          }
          return [...newest].map(([key, row]) => [key, { ...row, time: 0 }]).sort()
        }
        expect(last(disturbed)).toEqual(last(plain))
      }),
      { numRuns: 12, endOnFailure: true },
    )
    expect(most).toBeGreaterThan(100)
  })
})

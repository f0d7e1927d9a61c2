/** Two experiments and the built-in one, and what their users came to, recounted by the letter of docs/experiments.md. */
import { assign, type Experiment } from '../../schemas/index.ts'
import { isHoldout } from '../../topologies/topk/exploration.ts'
import { compose } from './recommender.ts'
import { DAY, HOUR, type JsonEvent, MINUTE, START } from './user-task.ts'

export const interval = 5 * MINUTE
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

export const composition = await compose(
  {
    'explore.holdout': '0.3',
    'experiments.minUsers': '2',
    'experiments.watchCap': '1m',
  },
  'sessions,labels,drift,experiments',
  [rank7, short],
)
const holdout = composition.values

export const arms: Readonly<Record<string, readonly string[]>> = {
  exploration: ['on', 'holdout'],
  rank7: ['a', 'b'],
  short: ['a', 'b'],
}

export function armOf(name: string, user: string): string | null {
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

export interface Arrived {
  readonly event: JsonEvent | { readonly erases: string; readonly ts: number }
  readonly facts: readonly (string | number | boolean)[] | undefined
}

/** What partition `arrivals` knew when its event time reached `until`. */
export function recount(arrivals: readonly Arrived[], until: number): Told[] {
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
export const figures: Readonly<
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

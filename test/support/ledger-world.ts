/** Viewers with known outcomes, and their events through the recommender's tasks: what the ledger is recounted from. */
import { hash53, randomFrom } from '../../streams/serde/hash.ts'
import { compose, Recommender } from './recommender.ts'
import {
  DAY,
  feedback,
  HOUR,
  impression,
  type JsonEvent,
  MINUTE,
  START,
  watch,
} from './user-task.ts'

const composition = await compose({ 'catalog.required': 'false' }, 'quality')
const GAP = 30 * MINUTE

export interface Shown {
  readonly user: string
  readonly at: number
  readonly position: number
  readonly policy: string
  readonly surface: string
  readonly cohort: string
  readonly arms: readonly string[]
  readonly model: string
  readonly score: number | null
  readonly item: string
  clicked: boolean
  positive: boolean
  completed: boolean
  watchedMs: number
  graded: number
  reported: boolean
  explored: boolean
}

export interface World {
  readonly events: JsonEvent[]
  readonly requests: { readonly at: number; readonly shown: Shown[] }[]
  readonly sessions: {
    readonly user: string
    readonly first: Shown
    start: number
    end: number
    shown: number
    plays: number
    watchedMs: number
    next: number
  }[]
}

/** Users who come several times within a day, are shown pages, and watch some of it. Times are whole seconds. */
export function world(seed: number, users: number, hours: number): World {
  const random = randomFrom(hash53(`world ${seed}`))
  const upTo = (n: number): number => Math.floor(random() * n)
  const made: World = { events: [], requests: [], sessions: [] }
  for (let u = 0; u < users; u++) {
    const user = `user-${u}`
    const cohort = ['', 'young', 'old'][u % 3]
    const experiments: Record<string, string> = u % 2 ? { rank: u % 4 === 1 ? 'a' : 'b' } : {}
    if (u % 5 === 0) experiments.page = 'long'
    const arms = Object.keys(experiments)
      .sort()
      .map(name => `${name}=${experiments[name]}`)
    let at = START + upTo(3 * HOUR)
    let before: World['sessions'][number] | undefined
    while (at < START + hours * HOUR) {
      let last = at
      let session: World['sessions'][number] | undefined
      for (let page = 0; page <= upTo(3); page++) {
        const requestId = `r-${u}-${made.requests.length}`
        const common = {
          requestId,
          surface: upTo(3) ? 'home' : 'next',
          policy: upTo(2) ? 'blend' : 'popular',
          modelVersion: upTo(2) ? 'm1' : 'm2',
          cohort,
          experiments,
        }
        const shown: Shown[] = []
        const openedAt = last + 1000 * (1 + upTo(60))
        last = openedAt
        for (let position = 0; position < 1 + upTo(6); position++) {
          const item = `item-${upTo(40)}-${position}`
          const score = upTo(10)
            ? common.modelVersion === 'm1'
              ? random()
              : 6 * random() - 3
            : null
          const explore = upTo(8) === 0
          made.events.push(impression(user, item, last, { ...common, position, score, explore }))
          const one: Shown = {
            user,
            at: last,
            position,
            policy: common.policy,
            surface: common.surface,
            cohort: cohort || '~none',
            arms,
            model: common.modelVersion,
            score,
            item,
            clicked: false,
            positive: false,
            completed: false,
            watchedMs: 0,
            graded: 0,
            reported: false,
            explored: explore,
          }
          shown.push(one)
          session ??= {
            user,
            first: one,
            start: last,
            end: last,
            shown: 0,
            plays: 0,
            watchedMs: 0,
            next: 0,
          }
          session.shown++
          last += 1000
        }
        for (const one of shown) {
          const what = upTo(6)
          if (what === 0) {
            last += 1000 * (1 + upTo(60))
            const durationMs = 60_000
            const watchedMs = 1000 * upTo(61)
            const finished = watchedMs === durationMs
            const play = `play-${user}-${last}`
            made.events.push(
              watch(user, one.item, last, play, watchedMs, {
                requestId,
                durationMs,
                endReason: finished ? 'finished' : 'left',
                surface: common.surface,
                cohort,
                experiments,
              }),
            )
            one.clicked = true
            one.watchedMs = watchedMs
            one.graded = watchedMs / durationMs
            one.positive = watchedMs >= 30_000
            one.completed = finished
            if (session) {
              session.plays++
              session.watchedMs += watchedMs
            }
          } else if (what === 1) {
            last += 1000
            made.events.push(
              feedback(user, one.item, last, 'report', {
                requestId,
                surface: common.surface,
                cohort,
                experiments,
              }),
            )
            one.reported = true
          }
        }
        made.requests.push({ at: openedAt, shown })
      }
      if (!session) throw new Error('a session without a page')
      session.end = made.events[made.events.length - 1].ts
      made.sessions.push(session)
      if (before) before.next = session.start
      before = session
      at = last + GAP + 1000 * (1 + upTo((hours * 3600) / 2))
    }
  }
  made.events.sort((a, b) => a.ts - b.ts)
  return made
}

/** Lets the events through two partitions; how commits, ticks and restarts fall is chance. */
export function run(made: World, seed: number, restarts: number): Recommender {
  const random = randomFrom(hash53(`run ${seed}`))
  const upTo = (n: number): number => Math.floor(random() * n)
  let now = START + 365 * DAY
  const recommender = new Recommender({ composition, now: () => now, partitions: 2 })
  const step = (): void => {
    for (const task of recommender.users) task.take()
    recommender.tickAll()
    for (let p = 0; p < 2; p++) if (upTo(3)) recommender.commitUser(p)
    now += 1000 + upTo(4000)
    if (upTo(3)) recommender.commitStatistics()
  }
  const lost = new Set(Array.from({ length: restarts }, () => upTo(made.events.length)))
  // others' clocks: events of different users swap places
  const late = new Map(made.events.map(event => [event.userId, 1000 * upTo(60)]))
  const arrivals = [...made.events].sort(
    (a, b) => a.ts + (late.get(a.userId) ?? 0) - b.ts - (late.get(b.userId) ?? 0),
  )
  arrivals.forEach((event, k) => {
    recommender.arrive(event)
    if (upTo(10) === 0) step()
    if (lost.has(k)) recommender.restart(upTo(2) === 0)
  })
  // time goes on: somebody is there in each partition now and then
  const end = START + 9 * DAY
  const last = arrivals[arrivals.length - 1].ts
  for (let at = last; at < end; at += at < last + 6 * HOUR ? 10 * MINUTE : 2 * HOUR) {
    for (let k = 0; k < 4; k++)
      recommender.arrive({
        type: 'watch',
        consent: 'contextual',
        userId: `clock-${k}`,
        eventId: `c-${at}-${k}`,
        itemId: 'x',
        playId: `c-${at}-${k}`,
        watchedMs: 0,
        ts: at + 1000,
      })
    step()
  }
  for (let k = 0; k < 30; k++) {
    now += 5_000
    for (const task of recommender.users) task.take()
    recommender.tickAll()
    recommender.commitAll()
  }
  return recommender
}

/**
 * The oracle: what CONTRACT promises of sessions and popularity, counted again from the plain events of a rating log, all
 * at once and as simply as can be. Shares no code with freshet.
 */

/** A play as one event, as ratings become it: durationMs 100000, finished if positive. */
export interface Play {
  readonly user: string
  readonly item: string
  readonly at: number
  readonly watchedMs: number
  readonly finished: boolean
  readonly positive: boolean
}

export type Positive = Pick<Play, 'item' | 'at'>

const GAP_MS = 30 * 60_000

/** `user::movie::rating::seconds`, in order of time; rows of the same second as they stand in the file. */
export function playsOf(log: string): Play[] {
  return log
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [user, item, rating, seconds] = line.split('::')
      const positive = Number(rating) >= 8
      return {
        user,
        item,
        at: Number(seconds) * 1000,
        watchedMs: positive ? 100_000 : Math.min(29_000, Number(rating) * 2900),
        finished: positive,
        positive,
      }
    })
    .sort((a, b) => a.at - b.at)
}

/** The fields of each user's newest session, but session_id and version, which are freshet's to choose. */
export function newestSessions(plays: readonly Play[]): Map<string, Record<string, string>> {
  const byUser = new Map<string, Play[]>()
  for (const play of plays) byUser.set(play.user, [...(byUser.get(play.user) ?? []), play])
  const sessions = new Map<string, Record<string, string>>()
  for (const [user, all] of byUser) {
    let from = all.length - 1
    while (from > 0 && all[from].at - all[from - 1].at <= GAP_MS) from--
    const session = all.slice(from)
    const items = session.map(play => play.item).reverse()
    sessions.set(user, {
      started_at: String(session[0].at),
      last_event_at: String(session.at(-1)?.at),
      impressions: '0',
      watches: String(session.length),
      positives: String(session.filter(play => play.positive).length),
      watched_ms: String(session.reduce((sum, play) => sum + play.watchedMs, 0)),
      completes: String(session.filter(play => play.finished).length),
      skips: '0',
      last_items: JSON.stringify([...new Set(items)].slice(0, 50)),
    })
  }
  return sessions
}

export const windows: Readonly<Record<string, number>> = {
  '5m': 5,
  '1h': 60,
  '24h': 24 * 60,
  '7d': 7 * 24 * 60,
}

/** Positives by item in the minute buckets (at - w, at]. */
export function positivesIn(
  positives: readonly Positive[],
  at: number,
  minutes: number,
): Map<string, number> {
  const last = Math.floor(at / 60_000)
  const counts = new Map<string, number>()
  for (const { item, at } of positives) {
    const minute = Math.floor(at / 60_000)
    if (minute > last - minutes && minute <= last) counts.set(item, (counts.get(item) ?? 0) + 1)
  }
  return counts
}

/** Positives each halved with every half-life that has passed: what `trend` is near to. */
export function decayedPositives(
  plays: readonly Play[],
  at: number,
  halfLifeMs: number,
): Map<string, number> {
  const scores = new Map<string, number>()
  for (const play of plays)
    if (play.positive)
      scores.set(play.item, (scores.get(play.item) ?? 0) + 2 ** ((play.at - at) / halfLifeMs))
  return scores
}

/** The items of a user that it finished. */
export function finishedBy(plays: readonly Play[]): Map<string, Set<string>> {
  const finished = new Map<string, Set<string>>()
  for (const play of plays)
    if (play.finished)
      finished.set(play.user, (finished.get(play.user) ?? new Set()).add(play.item))
  return finished
}

/**
 * The oracle: sessions and counts of a simulated log, counted again from its events, all at once and as simply as can be; for
 * logs that are shorter than a session's gap, so that a user has one session. Shares no code with freshet.
 */
import type { SimulatedRecord } from './simulated-log.ts'

interface Counted {
  /** start, last event, impressions, plays, positives, watched ms, finished, skipped, items of plays, newest first. */
  readonly sessions: ReadonlyMap<string, readonly unknown[]>
  /** impressions, plays, positives, watched ms. */
  readonly items: ReadonlyMap<string, readonly number[]>
}

interface Play {
  readonly item: string
  first: number
  watched: number
  positive: boolean
  finished: boolean
  skipped: boolean
}

interface User {
  readonly seen: Set<string>
  readonly plays: Map<string, Play>
  readonly times: number[]
  impressions: number
}

/** In the order of sending; erasures among them. */
export function recount(records: readonly SimulatedRecord[]): Counted {
  const users = new Map<string, User>()
  const passing = new Set<string>()
  const erased = new Map<string, number>()
  const items = new Map<string, number[]>()
  const add = (item: string, place: number, by: number): void => {
    const counts = items.get(item) ?? [0, 0, 0, 0]
    counts[place] += by
    items.set(item, counts)
  }
  for (const { topic, key, event, at } of records) {
    if (topic === 'erasures') {
      const newest = Math.max(at, ...(users.get(key)?.times ?? []))
      erased.set(key, Math.max(erased.get(key) ?? 0, newest))
      users.delete(key)
    }
    if (event?.topic !== 'events') continue
    const { kind, record } = event
    const { userId, itemId, eventId, consent } = record
    const ts = Number(record.ts)
    if (consent === 'none' || ts <= (erased.get(userId) ?? -1)) continue
    if (consent === 'contextual') passing.add(userId)
    const user: User = users.get(userId) ?? {
      seen: new Set(),
      plays: new Map(),
      times: [],
      impressions: 0,
    }
    users.set(userId, user)
    const ids = [eventId]
    if (kind === 'Impression' && record.requestId) ids.push(`${record.requestId}/${itemId}`)
    if (kind === 'Watch' && record.seq) ids.push(`${record.playId}#${record.seq}`)
    if (ids.some(id => user.seen.has(id))) continue
    for (const id of ids) user.seen.add(id)
    user.times.push(ts)
    if (kind === 'Impression') {
      user.impressions++
      add(itemId, 0, 1)
    }
    if (kind !== 'Watch') continue
    const { playId, watchedMs = 0, durationMs = 0, endReason } = record
    let play = user.plays.get(playId)
    if (!play) {
      play = {
        item: itemId,
        first: ts,
        watched: 0,
        positive: false,
        finished: false,
        skipped: false,
      }
      user.plays.set(playId, play)
      add(itemId, 1, 1)
    }
    const certain = durationMs > 0 ? Math.min(30_000, durationMs / 2) : 30_000
    const isPositive = watchedMs >= certain || endReason === 'finished'
    if (isPositive && !play.positive) add(itemId, 2, 1)
    add(itemId, 3, Math.max(0, watchedMs - play.watched))
    play.first = Math.min(play.first, ts)
    play.watched = Math.max(play.watched, watchedMs)
    play.positive ||= isPositive
    play.finished ||= endReason === 'finished'
    play.skipped ||= endReason === 'skipped' && watchedMs < 2_000
  }
  const sessions = [...users].flatMap(([id, user]) =>
    passing.has(id) || user.times.length === 0 ? [] : [[id, sessionOf(user)] as const],
  )
  return { sessions: new Map(sessions), items }
}

function sessionOf({ plays, times, impressions }: User): readonly unknown[] {
  const all = [...plays.values()].sort((a, b) => b.first - a.first)
  const many = (is: (play: Play) => boolean): number => all.filter(is).length
  return [
    Math.min(...times),
    Math.max(...times),
    impressions,
    all.length,
    many(play => play.positive),
    all.reduce((sum, play) => sum + play.watched, 0),
    many(play => play.finished),
    many(play => play.skipped),
    [...new Set(all.map(play => play.item))].slice(0, 50),
  ]
}

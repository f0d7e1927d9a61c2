/**
 * The oracle of fault runs: what CONTRACT promises of sessions, counts and labels, counted from the events of a story in
 * the order they were sent. Shares no code with freshet.
 */

export interface StoryEvent {
  readonly type: 'impression' | 'watch' | 'feedback'
  readonly eventId: string
  readonly userId: string
  readonly itemId: string
  readonly ts: number
  readonly consent: 'full' | 'contextual' | 'none'
  readonly requestId: string | null
  readonly position?: number
  readonly kind?: string
  readonly playId?: string
  readonly seq?: number
  readonly watchedMs?: number
  readonly durationMs?: number
  readonly endReason?: 'none' | 'finished' | 'skipped' | 'left'
}

/** All-time counts of an item: what the deltas of all user tasks must sum to. */
export interface ItemTotals {
  impressions: number
  watches: number
  positives: number
  watchedMs: number
}

interface PlayTally {
  readonly item: string
  /** Event time of its earliest heartbeat. */
  first: number
  watchedMs: number
  positive: boolean
  finished: boolean
  skipped: boolean
}

interface UserTally {
  /** Event times of all events; the older half is dropped now and then. */
  times: number[]
  impressions: number[]
  plays: Map<string, PlayTally>
  newest: number
}

export interface Positive {
  readonly item: string
  readonly at: number
}

const GAP_MS = 30 * 60_000
const DAY_MS = 86_400_000
const KEPT = 4_000

export class Tally {
  readonly items = new Map<string, ItemTotals>()
  readonly positives: Positive[] = []
  /** Impressions of consent full and contextual. */
  impressions = 0
  /** `request item` -> 1 where its play became a positive. Consent full only. */
  readonly labels = new Map<string, 0 | 1>()
  /** Newest event time that counts, ms. */
  newestAt = 0
  private readonly users = new Map<string, UserTally>()
  private readonly seen = new Map<string, number>()

  take(event: StoryEvent): void {
    if (event.consent === 'none' || this.isDouble(event)) return
    const play = this.count(event)
    if (event.consent === 'full') this.remember(event, play)
  }

  private isDouble({ eventId, ts }: StoryEvent): boolean {
    if (this.seen.has(eventId)) return true
    this.seen.set(eventId, ts)
    // the story sends nothing again after so many others
    if (this.seen.size > 2 * KEPT)
      for (const old of [...this.seen.keys()].slice(0, KEPT)) this.seen.delete(old)
    return false
  }

  private readonly passing = new Map<string, PlayTally>()

  private count(event: StoryEvent): PlayTally | undefined {
    if (event.type === 'feedback') return undefined
    const totals = this.items.get(event.itemId) ?? {
      impressions: 0,
      watches: 0,
      positives: 0,
      watchedMs: 0,
    }
    this.items.set(event.itemId, totals)
    if (event.type === 'impression') {
      totals.impressions++
      this.impressions++
      this.newestAt = Math.max(this.newestAt, event.ts)
      return undefined
    }
    const { playId = '', watchedMs = 0, endReason = 'none' } = event
    const plays = event.consent === 'full' ? this.userOf(event.userId).plays : this.passing
    let play = plays.get(playId)
    const isNew = play === undefined
    if (!play) {
      play = {
        item: event.itemId,
        first: event.ts,
        watchedMs: 0,
        positive: false,
        finished: false,
        skipped: false,
      }
      plays.set(playId, play)
      totals.watches++
    }
    const more = Math.max(0, watchedMs - play.watchedMs)
    // of 60 s: half of it, or finished
    const becomes = !play.positive && (endReason === 'finished' || watchedMs >= 30_000)
    totals.watchedMs += more
    if (becomes) {
      totals.positives++
      this.positives.push({ item: event.itemId, at: event.ts })
    }
    if (isNew || becomes || more > 0) this.newestAt = Math.max(this.newestAt, event.ts)
    play.first = Math.min(play.first, event.ts)
    play.watchedMs += more
    play.positive ||= becomes
    play.finished ||= endReason === 'finished'
    play.skipped ||= endReason === 'skipped' && watchedMs < 2_000
    return play
  }

  private remember(event: StoryEvent, play: PlayTally | undefined): void {
    const user = this.userOf(event.userId)
    user.times.push(event.ts)
    user.newest = Math.max(user.newest, event.ts)
    const label = `${event.requestId} ${event.itemId}`
    if (event.type === 'impression') {
      user.impressions.push(event.ts)
      this.labels.set(label, 0)
    } else if (play?.positive && event.requestId !== null) this.labels.set(label, 1)
    if (user.times.length > KEPT) this.forget(user)
  }

  /** No sitting lasts a day: what is older is in no newest session. */
  private forget(user: UserTally): void {
    const from = user.newest - DAY_MS
    user.times = user.times.filter(ts => ts >= from)
    user.impressions = user.impressions.filter(ts => ts >= from)
    for (const [id, play] of user.plays) if (play.first < from) user.plays.delete(id)
  }

  private userOf(id: string): UserTally {
    const known = this.users.get(id)
    if (known) return known
    const user: UserTally = { times: [], impressions: [], plays: new Map(), newest: 0 }
    this.users.set(id, user)
    return user
  }

  /** The fields of each user's newest session, but session_id and version, which are freshet's to choose. */
  sessions(): Map<string, Record<string, string>> {
    const sessions = new Map<string, Record<string, string>>()
    for (const [id, user] of this.users) {
      if (user.times.length === 0) continue
      const times = [...user.times].sort((a, b) => a - b)
      let from = times.length - 1
      while (from > 0 && times[from] - times[from - 1] <= GAP_MS) from--
      const startedAt = times[from]
      const plays = [...user.plays.values()]
        .filter(play => play.first >= startedAt)
        .sort((a, b) => b.first - a.first)
      const many = (is: (play: PlayTally) => boolean): string => String(plays.filter(is).length)
      sessions.set(id, {
        started_at: String(startedAt),
        last_event_at: String(times.at(-1)),
        impressions: String(user.impressions.filter(ts => ts >= startedAt).length),
        watches: String(plays.length),
        positives: many(play => play.positive),
        watched_ms: String(plays.reduce((sum, play) => sum + play.watchedMs, 0)),
        completes: many(play => play.finished),
        skips: many(play => play.skipped),
        last_items: JSON.stringify([...new Set(plays.map(play => play.item))].slice(0, 50)),
      })
    }
    return sessions
  }
}

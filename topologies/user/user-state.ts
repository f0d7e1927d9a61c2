/**
 * What is known of an active user, as plain objects and arrays: quick to change, 2 to 6 KB. Who is not active is packed
 * (packing.ts), and this object is gone: nothing but `StoredUser` may hold on to it beyond a commit.
 */
import type { Row } from '../../streams/topology/store.ts'
import { SessionState } from '../sessions/session.ts'
import { APPROVALS, ChunkedList, EXCLUSIONS, POSITIVES, SHOWN } from './chunks.ts'
import { LEAST_WEIGHT, MOST_WEIGHT } from './creator-weights.ts'
import { ExclusionIndex } from './exclusion-index.ts'
import type { StoredUser } from './stored-user.ts'
import type { PositiveHistory } from './user.ts'

/** Why an item is excluded. */
export const FINISHED = 0
export const HIDDEN = 1
export const DISLIKED = 2
export const REPORTED = 3

const HOUR = 3_600_000
const MINUTE = 60_000
/** An exclusion or approval is (item * 2^20 + hour) * 4 + reason or kind; 2^20 hours reach to 2089. */
const HOURS = 1_048_576
const EXCLUSION_UNIT = HOURS * 4
/** Something shown is item * 2^26 + minute; 2^26 minutes reach to 2097. */
const MINUTES = 67_108_864

const POSITIVES_KEPT = 200

/** For lists; so few as these are looked through. */
const exclusions = new ExclusionIndex(EXCLUSION_UNIT)
const FEW = 64

export class UserState implements Row, PositiveHistory {
  readonly user: StoredUser
  dirty = false
  /** Touched since the last look for users to pack. */
  used = true
  session: SessionState
  /** Sessions before the newest that late events may still change, oldest first. */
  older: SessionState[] | null = null
  plays: number[] = []
  readonly liked = new ChunkedList()
  excluded: ChunkedList | null = null
  /** Items liked, saved, shared or whose creator is followed. */
  approved: ChunkedList | null = null
  /** Hashes of the last 512 events; null: none within the grace. */
  seen: ChunkedList | null = null
  /** Numbers dropped with `seen`, so that chunk numbers go on. */
  seenBefore = 0
  recentlyShown: ChunkedList | null = null
  lastSeenAt = 0
  lastOffset = 0
  cohort = ''
  surface = ''
  /** Processing time of the last view, ms since the task started; -1: none yet. */
  viewedAt = -1
  /** Waits in the queue of views. */
  viewWaits = false
  /** Kafka timestamp of the oldest record that the next view answers. */
  answersTs = 0
  /** Changed since the last commit: its features are to be published. */
  changed = false
  /** The hour of event time in which what has expired is cleared; 0: none. */
  cleanupHour = 0

  constructor(user: StoredUser, startedAt: number) {
    this.user = user
    this.session = new SessionState(this, startedAt)
  }

  get id(): string {
    return this.user.id
  }

  /** False for consent `contextual`: in memory only. */
  get stored(): boolean {
    return this.user.around.stored
  }

  /** The user's row is a tombstone. */
  get removed(): boolean {
    return this.user.gone
  }

  get length(): number {
    return Math.min(POSITIVES_KEPT, this.liked.values.length / 2)
  }

  item(k: number): number {
    const { values } = this.liked
    return values[values.length - 2 * k - 2]
  }

  at(k: number): number {
    const { values } = this.liked
    return values[values.length - 2 * k - 1]
  }

  /** Is the item among the positives? */
  likes(item: number): boolean {
    const { values } = this.liked
    const oldest = Math.max(0, values.length - 2 * POSITIVES_KEPT)
    for (let k = values.length - 2; k >= oldest; k -= 2) if (values[k] === item) return true
    return false
  }

  addPositive(item: number, at: number): void {
    this.liked.trim(POSITIVES)
    this.liked.values = this.liked.values.concat(item, at)
  }

  excludes(item: number): boolean {
    const { excluded } = this
    if (excluded === null) return false
    const { values } = excluded
    const at = values.length > FEW ? exclusions.placeOf(values, item) : findExclusion(values, item)
    if (at < 0) return false
    const value = excluded.values[at]
    if (value % 4 !== FINISHED) return true
    const { repeatAfterMs } = this.user.around.settings
    if (repeatAfterMs === Number.POSITIVE_INFINITY) return true
    const hour = Math.floor(value / 4) % HOURS
    return repeatAfterMs > 0 && this.user.around.watermark() < (hour + 1) * HOUR + repeatAfterMs
  }

  /** Takes an item out of the user's lists; gives the chunk that changed. */
  exclude(item: number, reason: number, ts: number): number {
    this.excluded ??= new ChunkedList()
    const list = this.excluded
    const hour = Math.floor(ts / HOUR)
    let at = findExclusion(list.values, item)
    if (at >= 0) {
      const old = list.values[at]
      const oldReason = old % 4
      const newest = Math.max(hour, Math.floor(old / 4) % HOURS)
      list.values[at] = exclusion(item, newest, Math.max(reason, oldReason))
      exclusions.forget()
    } else {
      list.trim(EXCLUSIONS)
      at = list.values.length
      list.values = list.values.concat(exclusion(item, hour, reason))
    }
    return list.chunkOf(EXCLUSIONS, at)
  }

  /** Takes in an approval (creator-weights.ts); gives the chunk that changed, -1 where it is known already. */
  approve(item: number, kind: number, ts: number): number {
    this.approved ??= new ChunkedList()
    const list = this.approved
    for (const value of list.values)
      if (itemOfExclusion(value) === item && value % 4 === kind) return -1
    list.trim(APPROVALS)
    list.values.push(exclusion(item, Math.floor(ts / HOUR), kind))
    return list.chunkOf(APPROVALS, list.values.length - 1)
  }

  last24h(item: number, now: number): number {
    return this.shownSince(item, now - 24 * HOUR)
  }

  last7d(item: number, now: number): number {
    return this.shownSince(item, now - 168 * HOUR)
  }

  unwatched(most: number, from: number): number[] {
    const found: number[] = []
    const fromMinute = Math.floor(from / MINUTE)
    const values = this.recentlyShown?.values ?? []
    for (let k = values.length - 1; k >= 0 && found.length < most; k--)
      if (values[k] >= 0 && minuteShown(values[k]) >= fromMinute) found.push(itemShown(values[k]))
    return found
  }

  private shownSince(item: number, from: number): number {
    if (this.recentlyShown === null) return 0
    const { values } = this.recentlyShown
    const low = item * MINUTES + Math.max(0, Math.floor(from / MINUTE))
    const high = (item + 1) * MINUTES
    let n = 0
    for (let k = 0; k < values.length; k++) if (values[k] >= low && values[k] < high) n++
    return n
  }

  addShown(item: number, ts: number): number {
    this.recentlyShown ??= new ChunkedList()
    const list = this.recentlyShown
    list.trim(SHOWN)
    list.values.push(item * MINUTES + Math.floor(ts / MINUTE))
    return list.chunkOf(SHOWN, list.values.length - 1)
  }

  /** A watch forgives the impressions before it; gives the chunks that changed. */
  forgetShown(item: number, touch: (chunk: number) => void): void {
    const list = this.recentlyShown
    if (list === null) return
    for (let k = 0; k < list.values.length; k++)
      if (Math.floor(list.values[k] / MINUTES) === item) {
        list.values[k] = -1
        touch(list.chunkOf(SHOWN, k))
      }
  }

  creatorWeight(creator: number): number {
    const { excluded, approved } = this
    if (creator < 0 || (excluded === null && approved === null)) return 1
    const { creatorOf, settings } = this.user.around
    const { byApproval, byExclusion } = settings.creatorWeights
    let weight = 1
    if (excluded !== null)
      for (const value of exclusions.opinions(excluded.values))
        if (creatorOf(itemOfExclusion(value)) === creator) weight *= byExclusion[value % 4]
    if (approved !== null)
      for (const value of approved.values)
        if (creatorOf(itemOfExclusion(value)) === creator) weight *= byApproval[value % 4]
    return Math.min(MOST_WEIGHT, Math.max(LEAST_WEIGHT, weight))
  }

  /** The session that holds a time; undefined where it was forgotten. */
  sessionAt(ts: number): SessionState | undefined {
    if (ts >= this.session.startedAt) return this.session
    const { older } = this
    if (older === null) return undefined
    for (let k = older.length - 1; k >= 0; k--)
      if (ts >= older[k].startedAt) return ts <= older[k].lastEventAt ? older[k] : undefined
    return undefined
  }
}

function exclusion(item: number, hour: number, reason: number): number {
  return (item * HOURS + hour) * 4 + reason
}

export const itemOfExclusion = (value: number): number => Math.floor(value / EXCLUSION_UNIT)
export const timeOfExclusion = (value: number): number => value % EXCLUSION_UNIT
export const exclusionOf = (item: number, time: number): number => item * EXCLUSION_UNIT + time

export const itemShown = (value: number): number => Math.floor(value / MINUTES)
export const minuteShown = (value: number): number => value % MINUTES
export const shownOf = (item: number, minute: number): number => item * MINUTES + minute

function findExclusion(values: readonly number[], item: number): number {
  const low = item * EXCLUSION_UNIT
  const high = low + EXCLUSION_UNIT
  for (let k = values.length - 1; k >= 0; k--) if (values[k] >= low && values[k] < high) return k
  return -1
}

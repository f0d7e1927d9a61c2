/**
 * Whose list is built next. Pure: time comes in.
 *
 *  - Q1 a user's list is built at most every `minIntervalMs`, whatever came in between (counted as `coalesced`).
 *  - Q2 the newest dirty user comes first, but the one that has waited longest before all once that is over
 *       `oldestFirstAfterMs`.
 *  - Q3 an urgent user (hide, dislike, report, a withdrawn item) comes before all, at once, whatever the interval.
 *  - Q4 who only owes lists that may not be built yet is not asked for before the first of them may.
 *
 * A user is in one place at most: `ready` (dirty, may be built), `resting` (built less than minIntervalMs ago; its dirt waits
 * there), `owing` (rested, Q4), `urgent`. All operations but those of `owing` are O(1): every user rests equally long, so
 * `resting` is in order of due time.
 */
import { DueTimes } from '../due-times.ts'

export interface Waiting {
  /** Since when the user waits, ms; undefined: it does not. */
  listDirtySince?: number
  /** When the list was built last, ms. */
  listBuiltAt?: number
  /** When the first of the lists that are owed may be built, ms; undefined: some wait for a new event. */
  listOwedAt?: number
  listPlace?: 'ready' | 'resting' | 'owing' | 'urgent'
}

export interface QueueOptions {
  readonly minIntervalMs: number
  readonly oldestFirstAfterMs: number
}

export class ListQueue<U extends { readonly scratch: Waiting }> {
  /** Events that found their user's list waiting already. */
  coalesced = 0
  private readonly options: QueueOptions
  private readonly ready = new Deque<U>()
  private readonly resting = new Deque<{ readonly user: U; readonly builtAt: number }>()
  private readonly owing = new DueTimes<U>()
  private readonly urgent = new Deque<U>()

  constructor(options: QueueOptions) {
    this.options = options
  }

  markDirty(user: U, now: number): void {
    const { scratch } = user
    scratch.listOwedAt = undefined
    if (scratch.listDirtySince !== undefined) this.coalesced++
    else scratch.listDirtySince = now
    // an entry elsewhere is passed over: the place says where it is
    if (scratch.listPlace !== undefined && scratch.listPlace !== 'owing') return
    scratch.listPlace = 'ready'
    this.ready.push(user)
  }

  markUrgent(user: U, now: number): void {
    const { scratch } = user
    scratch.listDirtySince ??= now
    scratch.listOwedAt = undefined
    if (scratch.listPlace === 'urgent') return
    scratch.listPlace = 'urgent'
    this.urgent.push(user)
  }

  /** The next user to build for, taken out; call `built` or `forget` for it. Undefined where none may be built now. */
  next(now: number): U | undefined {
    this.wake(now)
    const urgent = this.urgent.shift()
    if (urgent !== undefined) return urgent
    const { ready } = this
    while (ready.first() !== undefined && ready.first()?.scratch.listPlace !== 'ready')
      ready.shift()
    while (ready.last() !== undefined && ready.last()?.scratch.listPlace !== 'ready') ready.pop()
    const oldest = ready.first()
    if (oldest === undefined) return undefined
    const waited = now - (oldest.scratch.listDirtySince ?? now)
    return waited > this.options.oldestFirstAfterMs ? ready.shift() : ready.pop()
  }

  /** Notes that the user's list is as of `now`. */
  built(user: U, now: number): void {
    const { scratch } = user
    scratch.listDirtySince = undefined
    scratch.listOwedAt = undefined
    scratch.listBuiltAt = now
    scratch.listPlace = 'resting'
    this.resting.push({ user, builtAt: now })
  }

  /** After `built`: some of the user's lists are still to be built, the first from `dueAt` on. */
  owe(user: U, now: number, dueAt: number): void {
    user.scratch.listDirtySince = now
    user.scratch.listOwedAt = dueAt
  }

  /** Takes a user out (erased). */
  forget(user: U): void {
    user.scratch.listDirtySince = undefined
    user.scratch.listPlace = undefined
  }

  /** Everyone who waits for a list; a user may come twice. */
  *waiting(): IterableIterator<U> {
    for (const user of this.urgent.values())
      if (user.scratch.listDirtySince !== undefined) yield user
    for (const user of this.ready.values())
      if (user.scratch.listDirtySince !== undefined) yield user
    for (const user of this.owing.values())
      if (user.scratch.listDirtySince !== undefined) yield user
    for (const { user } of this.resting.values())
      if (user.scratch.listDirtySince !== undefined) yield user
  }

  /** Who has rested goes on to `ready` where it is dirty, else home; who owes goes by way of `owing`. */
  private wake(now: number): void {
    this.wakeResting(now)
    for (let due = this.owing.take(now); due !== undefined; due = this.owing.take(now)) {
      const { scratch } = due.what
      if (scratch.listPlace !== 'owing' || scratch.listOwedAt !== due.at) continue
      scratch.listPlace = 'ready'
      this.ready.push(due.what)
    }
  }

  private wakeResting(now: number): void {
    for (;;) {
      const rest = this.resting.first()
      if (rest === undefined) return
      const { scratch } = rest.user
      const current = scratch.listPlace === 'resting' && scratch.listBuiltAt === rest.builtAt
      if (current && rest.builtAt + this.options.minIntervalMs > now) return
      this.resting.shift()
      if (!current) continue
      if (scratch.listDirtySince === undefined) scratch.listPlace = undefined
      else if (scratch.listOwedAt !== undefined && scratch.listOwedAt > now) {
        scratch.listPlace = 'owing'
        this.owing.add(scratch.listOwedAt, rest.user)
      } else {
        scratch.listPlace = 'ready'
        this.ready.push(rest.user)
      }
    }
  }
}

/** A queue with two ends on one array; the room at its front is reused. */
class Deque<T> {
  private entries: T[] = []
  private head = 0

  push(entry: T): void {
    this.entries.push(entry)
  }

  first(): T | undefined {
    return this.entries[this.head]
  }

  last(): T | undefined {
    return this.entries.length > this.head ? this.entries[this.entries.length - 1] : undefined
  }

  pop(): T | undefined {
    return this.entries.length > this.head ? this.entries.pop() : undefined
  }

  shift(): T | undefined {
    if (this.head === this.entries.length) return undefined
    const entry = this.entries[this.head++]
    if (this.head > 1024 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head)
      this.head = 0
    }
    return entry
  }

  *values(): IterableIterator<T> {
    for (let i = this.head; i < this.entries.length; i++) yield this.entries[i]
  }
}

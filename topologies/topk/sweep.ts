/**
 * Finds the users whose newest list holds an item that had to leave: withdrawn, blocked, expired, or newly restricted. Pure:
 * time comes in, work is done in slices.
 *
 *  - S1 each such item is looked for in every list known; the owners are reported at once. But items expire all day and
 *       stand in `blocked` by then: those are looked for every `expiredEveryMs` in the lists of active users, and in all
 *       others by the sweep of S2.
 *  - S2 lists written before a restart are not known. Once an item was withdrawn within a list's life, their owners are
 *       reported too, spread evenly over `sweepMs`: after that every list was made without the item.
 *       So are lists that are older than the last `forget`.
 *  - S3 a list made while a sweep is under way is clean: what makes lists looks at the table itself.
 */
import { expiredEveryMs, isExpired } from '../items/expiry.ts'
import type { ItemTable } from '../items/table.ts'
import type { User, Users } from '../user/user.ts'

type ItemsLeaving = Pick<ItemTable, 'news' | 'leftAt' | 'withdrawnAt' | 'catalog'>

/** Of the users: all, and the ids of those who are active. */
type Owners = Pick<Users, 'values' | 'size' | 'get' | 'activeSince' | 'watermark'>

interface SlowSweep {
  readonly left: IterableIterator<User>
  readonly startedAt: number
  readonly total: number
  visited: number
}

export interface SweepOptions {
  readonly sweepMs: number
  /** Of lists. */
  readonly lifeMs: number
  /** Who had an event within it is active. */
  readonly activeMs: number
}

export class WithdrawalSweep {
  private readonly users: Owners
  private readonly table: ItemsLeaving
  private readonly options: SweepOptions
  private cursor = -1
  /** Items to look for with the next scan; those of the scan under way. */
  private found = new Set<number>()
  private wanted = new Set<number>()
  /** Some of `found` had to leave for another reason than that they expired. */
  private isPressing = false
  private scannedAt = Number.NEGATIVE_INFINITY
  private scan: IterableIterator<User | string | undefined> | undefined
  private slow: SlowSweep | undefined
  /** Another one is to follow: what expired meanwhile may stand in lists that it had passed. */
  private slowAgain = false
  private unknownSeen = false
  /** Lists built before that may not be the ones that stand in the view store. */
  private knownSince = 0

  constructor(users: Owners, table: ItemsLeaving, options: SweepOptions) {
    this.users = users
    this.table = table
    this.options = options
  }

  /**
   * Looks at no more than `limit` users; true where more could be done now. `urgent` gets the owners of lists with an
   * item that had to leave, `unknown` those of lists not known, or with an item that expired, in their turn.
   */
  step(
    now: number,
    limit: number,
    urgent: (user: User) => void,
    unknown: (user: User) => void,
  ): boolean {
    if (this.cursor === -1) this.start(now)
    this.takeNews(now)
    if (this.scan === undefined && this.found.size > 0) this.startScan(now)
    if (this.scan !== undefined) this.scanLists(this.scan, limit, now, urgent)
    if (this.slow !== undefined) this.sweepSlowly(this.slow, limit, now, unknown)
    return this.scan !== undefined
  }

  /** The view store lost lists, or holds older ones: all built before `now` are as unknown as after a restart. */
  forget(now: number): void {
    this.knownSince = now
    this.scan = undefined
    this.slow = undefined
    this.slowAgain = false
    this.found.clear()
    this.isPressing = false
    this.cursor = -1
  }

  private knownList({ scratch }: User): Int32Array | undefined {
    return (scratch.listBuiltAt ?? this.knownSince) < this.knownSince ? undefined : scratch.list
  }

  /** After a restart: did anything leave that a list may still hold? */
  private start(now: number): void {
    const { news } = this.table
    this.cursor = news.length
    const recent = news.some(item => this.table.leftAt(item) > now - this.options.lifeMs)
    if (recent && this.users.size > 0) this.startSlowly(now)
  }

  private takeNews(now: number): void {
    const { news } = this.table
    for (; this.cursor < news.length; this.cursor++) {
      const item = news[this.cursor]
      if (this.table.leftAt(item) === 0) continue
      this.found.add(item)
      this.isPressing ||= !isExpired(this.table.catalog(item), now)
    }
  }

  private startScan(now: number): void {
    const { users, isPressing } = this
    if (!isPressing && now - this.scannedAt < expiredEveryMs) return
    this.scannedAt = now
    this.wanted = this.found
    this.found = new Set()
    this.isPressing = false
    this.unknownSeen = false
    if (isPressing) {
      this.scan = users.values()
      return
    }
    this.scan = users.activeSince(users.watermark.at - this.options.activeMs)
    if (this.slow === undefined) this.startSlowly(now)
    else this.slowAgain = true
  }

  private scanLists(
    scan: IterableIterator<User | string | undefined>,
    limit: number,
    now: number,
    urgent: (user: User) => void,
  ): void {
    for (let n = 0; n < limit; n++) {
      const { done, value: each } = scan.next()
      if (done) {
        this.scan = undefined
        if (this.unknownSeen && this.slow === undefined) this.startSlowly(now)
        return
      }
      const user = typeof each === 'string' ? this.users.get(each) : each
      if (user === undefined) continue
      const list = this.knownList(user)
      if (list === undefined) this.unknownSeen = true
      else if (list.some(item => this.wanted.has(item))) urgent(user)
    }
  }

  /** A place of a list that is not filled has item -1. */
  private isOut(item: number): boolean {
    return item >= 0 && this.table.withdrawnAt(item) !== 0
  }

  private startSlowly(now: number): void {
    this.slowAgain = false
    this.slow = { left: this.users.values(), startedAt: now, total: this.users.size, visited: 0 }
  }

  private sweepSlowly(
    slow: SlowSweep,
    limit: number,
    now: number,
    unknown: (user: User) => void,
  ): void {
    const due = Math.ceil((slow.total * (now - slow.startedAt)) / this.options.sweepMs)
    for (let n = 0; n < limit && slow.visited < due; n++, slow.visited++) {
      const { done, value: user } = slow.left.next()
      if (done) {
        this.slow = undefined
        if (this.slowAgain) this.startSlowly(now)
        return
      }
      const list = this.knownList(user)
      if (list === undefined || list.some(item => this.isOut(item))) unknown(user)
    }
  }
}

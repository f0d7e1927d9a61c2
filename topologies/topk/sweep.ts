/**
 * Finds the users whose newest list holds an item that was withdrawn. Pure: time comes in, work is done in slices.
 *
 *  - S1 each withdrawal is looked for in every list known; the owners are reported at once.
 *  - S2 lists written before a restart are not known. Once an item was withdrawn within a list's life, their owners are
 *       reported too, spread evenly over `sweepMs`: after that every list was made without the item.
 *       So are lists that are older than the last `forget`.
 *  - S3 a list made while a sweep is under way is clean: what makes lists looks at the table itself.
 */
import type { User } from '../user/user.ts'

export interface Withdrawals {
  readonly withdrawals: readonly number[]
  withdrawnAt(index: number): number
}

interface SlowSweep {
  readonly left: IterableIterator<User>
  readonly startedAt: number
  readonly total: number
  visited: number
}

export class WithdrawalSweep {
  private readonly users: { values(): IterableIterator<User>; readonly size: number }
  private readonly table: Withdrawals
  private readonly sweepMs: number
  private readonly lifeMs: number
  private cursor = -1
  private wanted = new Set<number>()
  private scan: IterableIterator<User> | undefined
  private slow: SlowSweep | undefined
  private unknownSeen = false
  /** Lists built before that may not be the ones that stand in the view store. */
  private knownSince = 0

  constructor(
    users: { values(): IterableIterator<User>; readonly size: number },
    table: Withdrawals,
    options: { readonly sweepMs: number; readonly lifeMs: number },
  ) {
    this.users = users
    this.table = table
    this.sweepMs = options.sweepMs
    this.lifeMs = options.lifeMs
  }

  /**
   * Looks at no more than `limit` users; true where more could be done now. `urgent` gets the owners of lists with a
   * withdrawn item, `unknown` those of lists not known, in their turn.
   */
  step(
    now: number,
    limit: number,
    urgent: (user: User) => void,
    unknown: (user: User) => void,
  ): boolean {
    if (this.cursor === -1) this.start(now)
    if (this.scan === undefined && this.cursor < this.table.withdrawals.length) this.takeNews()
    if (this.scan !== undefined) this.scanLists(this.scan, limit, now, urgent)
    if (this.slow !== undefined) this.sweepSlowly(this.slow, limit, now, unknown)
    return this.scan !== undefined
  }

  /** The view store lost lists, or holds older ones: all built before `now` are as unknown as after a restart. */
  forget(now: number): void {
    this.knownSince = now
    this.scan = undefined
    this.slow = undefined
    this.cursor = -1
  }

  private knownList({ scratch }: User): Int32Array | undefined {
    return (scratch.listBuiltAt ?? this.knownSince) < this.knownSince ? undefined : scratch.list
  }

  /** After a restart: was anything withdrawn that a list may still hold? */
  private start(now: number): void {
    const { withdrawals } = this.table
    this.cursor = withdrawals.length
    const recent = withdrawals.some(item => this.table.withdrawnAt(item) > now - this.lifeMs)
    if (recent && this.users.size > 0) this.startSlowly(now)
  }

  private takeNews(): void {
    this.wanted = new Set()
    const { withdrawals } = this.table
    for (; this.cursor < withdrawals.length; this.cursor++)
      if (this.table.withdrawnAt(withdrawals[this.cursor]) !== 0)
        this.wanted.add(withdrawals[this.cursor])
    if (this.wanted.size === 0) return
    this.unknownSeen = false
    this.scan = this.users.values()
  }

  private scanLists(
    scan: IterableIterator<User>,
    limit: number,
    now: number,
    urgent: (user: User) => void,
  ): void {
    for (let n = 0; n < limit; n++) {
      const { done, value: user } = scan.next()
      if (done) {
        this.scan = undefined
        if (this.unknownSeen && this.slow === undefined) this.startSlowly(now)
        return
      }
      const list = this.knownList(user)
      if (list === undefined) this.unknownSeen = true
      else if (list.some(item => this.wanted.has(item))) urgent(user)
    }
  }

  private startSlowly(now: number): void {
    this.slow = { left: this.users.values(), startedAt: now, total: this.users.size, visited: 0 }
  }

  private sweepSlowly(
    slow: SlowSweep,
    limit: number,
    now: number,
    unknown: (user: User) => void,
  ): void {
    const due = Math.ceil((slow.total * (now - slow.startedAt)) / this.sweepMs)
    for (let n = 0; n < limit && slow.visited < due; n++, slow.visited++) {
      const { done, value: user } = slow.left.next()
      if (done) {
        this.slow = undefined
        return
      }
      if (this.knownList(user) === undefined) unknown(user)
    }
  }
}

/**
 * Session hashes written again from the state, a slice a commit: the view store lost what it held.
 *  - Of users active within the gap; for everything of all whose hash would still live, told by the partition's own time.
 *  - Users who were erased or withdrew consent are removed again, as long as that is remembered (the grace): an older copy of
 *    the store may hold them.
 */
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { RefillExtent } from '../../streams/topology/stage.ts'
import type { ItemTable } from '../items/table.ts'
import type { UserTable } from '../user/users.ts'
import { sessionLifeMs, sessionView } from './views.ts'

/** ~20 us a hash with the unpacking of its user: 20 ms a commit. */
const REFILLED_A_COMMIT = 1_000

export interface SessionRefillDeps {
  readonly users: UserTable
  readonly items: ItemTable
  /** Write session hashes. */
  readonly views: boolean
  readonly removeViews: (userId: string, out: Outbox) => void
}

export class SessionRefill {
  private readonly deps: SessionRefillDeps
  private readonly withdrawn: IterableIterator<string>
  private readonly active: IterableIterator<string | undefined>
  private readonly ttlMs: number

  constructor(extent: RefillExtent, deps: SessionRefillDeps) {
    this.deps = deps
    const { users, views } = deps
    const { gapMs } = users.settings
    this.ttlMs = sessionLifeMs(gapMs)
    this.withdrawn = users.withdrawals.keys()
    const sinceMs = extent === 'active' ? gapMs : this.ttlMs
    this.active = views ? users.activeSince(users.watermark.at - sinceMs) : [].values()
  }

  /** Emits the next slice; true after the last. */
  flush(out: Outbox): boolean {
    const { users, items, removeViews } = this.deps
    let left = REFILLED_A_COMMIT
    for (; left > 0; left--) {
      const { done, value: userId } = this.withdrawn.next()
      if (done) break
      // who came back since has views that are right
      if (!users.get(userId)) removeViews(userId, out)
    }
    while (left > 0) {
      const { done, value: userId } = this.active.next()
      if (done) return true
      if (userId === undefined) {
        // as much work as some tens of hashes
        left -= 20
        continue
      }
      left--
      const user = users.get(userId)
      if (user) out.view(sessionView(userId, user.session, items, this.ttlMs))
    }
    return false
  }
}

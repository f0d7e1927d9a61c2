/**
 * In the user task: what the removal of a user (an erasure, or an event with less consent) sets going behind the state. The
 * sessions stage has removed the state and the views; here the tables are told, and what was found and removed is written to
 * `erasures`, store by store.
 *
 *  - E1 An erasure orders the table store to remove the user's rows. The order leaves behind all rows of the user in the same
 *       commit, so this stage flushes last. It holds until the table store has carried it out, as any block of rows does.
 *       Which rows go is said by event time, up to the one from which on events of the user count again: what is left does
 *       not depend on when commits were made.
 *  - E4 Less consent orders nothing: a mutation rewrites every part that has a row of the user, and a user whose devices
 *       differ in consent would ask for one a minute for ever. A row of `erasures` (`use`) says up to which event time rows of
 *       the user are used no more: whoever trains or evaluates passes over them.
 *  - E2 `changelog` and `redis` are said to be done with the commit after the one whose tombstones and deletes were
 *       acknowledged. Until then the erasure stands on the changelog, so a restart does not forget to say it.
 *  - E3 Rows are known by pseudonym: the order names those under every key that is known.
 */
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { pseudonym } from '../labels/pseudonym.ts'
import type { UserEvent } from '../user/event.ts'
import type { StoredUser } from '../user/stored-user.ts'
import type { UserTable } from '../user/users.ts'
import { erasureStore, PendingErasure } from './rows.ts'

export interface ErasureDeps {
  readonly users: UserTable
  /** Of the pseudonyms, today's first. */
  readonly keys: readonly string[]
  /** Views that the removal of a user deletes. */
  readonly views: number
}

/** Make it before the stages that forget what they keep of a user, and let it flush behind them. */
export function createErasureStage(ctx: TaskContext, deps: ErasureDeps): Stage<UserEvent> {
  return new ErasureStage(ctx, deps)
}

/** A user who was removed since the last commit. */
interface Removed {
  found: number
  /** Processing time, ms. */
  readonly at: number
  /** Event time of the erasure, ms; 0: it was none. */
  asked: number
}

/** E4: nothing is removed. */
const usedNoMore = { store: 'use', found: 0, removed: 0, found_after: 0, revision: 1 } as const

class ErasureStage implements Stage<UserEvent> {
  readonly name = 'erasure'
  readonly stores: NonNullable<Stage['stores']>
  private readonly ctx: TaskContext
  private readonly deps: ErasureDeps
  private readonly store
  private readonly removed = new Map<string, Removed>()
  private pending: PendingErasure[] = []
  private readonly restoring = new Map<string, PendingErasure>()

  constructor(ctx: TaskContext, deps: ErasureDeps) {
    this.ctx = ctx
    this.deps = deps
    this.store = erasureStore((name, erasure) => {
      if (erasure) this.restoring.set(name, erasure)
      else this.restoring.delete(name)
    })
    this.stores = [this.store]
    deps.users.onRemove.push(user => this.sawRemoved(user))
  }

  private sawRemoved(user: StoredUser): void {
    const rows = 1 + (user.pendingLabels?.length ?? 0)
    this.of(user.id).found += rows
  }

  private of(userId: string): Removed {
    const known = this.removed.get(userId)
    if (known) return known
    const removed = { found: 0, at: this.ctx.now(), asked: 0 }
    this.removed.set(userId, removed)
    return removed
  }

  /** Also of a user who is not known here. */
  process(event: UserEvent): undefined {
    if (event.kind === 'erasure') this.of(event.userId).asked = event.ts
    return undefined
  }

  flush(out: Outbox): void {
    this.flushDelivered(out)
    for (const [userId, removed] of this.removed) this.flushRemoved(userId, removed, out)
    this.removed.clear()
  }

  private flushRemoved(userId: string, { found, at, asked }: Removed, out: Outbox): void {
    const { users, views, keys } = this.deps
    const until = Math.max(asked, users.withdrawals.get(userId)?.at ?? 0)
    const known = users.get(userId)
    const erasure = new PendingErasure({
      userId,
      asked: asked || until,
      found,
      // who came back since is somebody new
      left: known !== undefined && known.lastSeenAt <= until ? 1 : 0,
      views,
    })
    for (const key of keys) {
      const about = { pseudonym: pseudonym(userId, key), asked: erasure.asked }
      // slates have processing time
      if (asked > 0) out.row('erasures', { order: { examples: until, slates: at }, ...about })
      else out.row('erasures', { ...about, ...usedNoMore, done: at })
    }
    this.tell(erasure, null, out)
    this.pending.push(erasure)
    this.store.touch(erasure)
  }

  private flushDelivered(out: Outbox): void {
    if (this.pending.length === 0) return
    const now = this.ctx.now()
    for (const erasure of this.pending) {
      if (!erasure.delivered) continue
      this.tell(erasure, now, out)
      this.store.remove(erasure)
    }
    this.pending = this.pending.filter(({ delivered }) => !delivered)
  }

  private tell(erasure: PendingErasure, done: number | null, out: Outbox): void {
    const name = pseudonym(erasure.userId, this.deps.keys[0])
    const stores = [
      ['changelog', erasure.found, erasure.left],
      ['redis', erasure.views, 0],
    ] as const
    for (const [store, found, left] of stores)
      out.row('erasures', {
        pseudonym: name,
        asked: erasure.asked,
        done,
        store,
        found,
        removed: done === null ? 0 : found - Math.min(found, left),
        found_after: done === null ? found : left,
        revision: done === null ? 1 : 2,
      })
  }

  delivered(): void {
    for (const erasure of this.pending) erasure.delivered = true
  }

  /** The last commit's tombstones stand, and its deletes are sent again before the next commit is made. */
  restored(): void {
    for (const erasure of this.restoring.values()) {
      erasure.delivered = true
      this.pending.push(erasure)
    }
    this.restoring.clear()
  }
}

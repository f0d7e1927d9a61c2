/**
 * In the user task: what an erasure sets going behind the state. The sessions stage has removed the state and the views; here
 * the tables are told to remove the user's rows, and what was found and removed is written to `erasures`, store by store.
 *
 *  - E1 The order to the table store leaves behind all rows of the user in the same commit, so this stage flushes last. It
 *       holds until the table store has carried it out, as any block of rows does.
 *  - E2 `changelog` and `redis` are said to be done with the commit after the one whose tombstones and deletes were
 *       acknowledged. Until then the erasure stands on the changelog, so a restart does not forget to say it.
 *  - E3 Rows are known by pseudonym: the order names those under every key that is known.
 */
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { pseudonym } from '../labels/pseudonym.ts'
import type { ErasureEvent, UserEvent } from '../user/event.ts'
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

class ErasureStage implements Stage<UserEvent> {
  readonly name = 'erasure'
  readonly stores: NonNullable<Stage['stores']>
  private readonly ctx: TaskContext
  private readonly deps: ErasureDeps
  private readonly store
  private pending: PendingErasure[] = []
  private readonly restoring = new Map<string, PendingErasure>()
  /** Whom the stage before has just removed. */
  private removed: { userId: string; rows: number; lastSeenAt: number } | undefined

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
    this.removed = { userId: user.id, rows, lastSeenAt: user.lastSeenAt }
  }

  process(event: UserEvent): undefined {
    if (event.kind === 'erasure') this.erased(event)
    this.removed = undefined
    return undefined
  }

  private erased({ userId, ts }: ErasureEvent): void {
    const { users, views } = this.deps
    const known = this.removed?.userId === userId ? this.removed : undefined
    const erasure = new PendingErasure({
      userId,
      asked: ts,
      found: known?.rows ?? 0,
      left: users.get(userId) === undefined ? 0 : 1,
      views,
      // events may be ahead of the erasure's clock; of those that come back later none is this old
      examplesUntil: Math.max(ts, known?.lastSeenAt ?? 0),
      slatesUntil: this.ctx.now(),
    })
    this.pending.push(erasure)
    this.store.touch(erasure)
  }

  flush(out: Outbox): void {
    if (this.pending.length === 0) return
    const now = this.ctx.now()
    const waiting: PendingErasure[] = []
    for (const erasure of this.pending) {
      if (!erasure.told) this.order(erasure, out)
      erasure.told = true
      if (erasure.delivered) {
        this.tell(erasure, now, out)
        this.store.remove(erasure)
      } else waiting.push(erasure)
    }
    this.pending = waiting
  }

  /** E1, E3. */
  private order(erasure: PendingErasure, out: Outbox): void {
    const { asked, examplesUntil, slatesUntil } = erasure
    for (const key of this.deps.keys)
      out.row('erasures', {
        order: { examples: examplesUntil, slates: slatesUntil },
        pseudonym: pseudonym(erasure.userId, key),
        asked,
      })
    this.tell(erasure, null, out)
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
    for (const erasure of this.pending) erasure.delivered ||= erasure.told
  }

  /** The last commit's tombstones stand, and its deletes are sent again before the next commit is made. */
  restored(): void {
    for (const erasure of this.restoring.values()) {
      erasure.told = true
      erasure.delivered = true
      this.pending.push(erasure)
    }
    this.restoring.clear()
  }
}

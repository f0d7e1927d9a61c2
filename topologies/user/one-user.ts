/**
 * One user as the changelog of the user task has it, without the others: for who asks about a user and owns no task. Rows of
 * users begin with the id and its length (rows.ts), so that others are passed over unread.
 */
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import type { StoredUser } from './stored-user.ts'
import { type UsersSettings, UserTable } from './users.ts'

export class OneUser {
  private readonly userId: string
  private readonly table: UserTable
  /** A key behind the store's number begins with it. */
  private readonly start: Buffer
  private readonly byId = new Map<number, Store<Row>>()

  constructor(userId: string, settings: UsersSettings) {
    this.userId = userId
    this.table = new UserTable(settings)
    this.start = new ByteWriter(300).string(userId).copy()
    for (const store of Object.values(this.table.stores) as unknown as Store<Row>[])
      this.byId.set(store.spec.id, store)
  }

  /** Takes in a row or a tombstone, in log order. Errors: those of the store, for a row that can't be read. */
  take(key: Buffer, value: Buffer | null): void {
    const store = this.byId.get(key[0])
    if (store === undefined) return
    const isOurs = key.subarray(1, 1 + this.start.length).equals(this.start)
    if (!isOurs && store.spec.id !== this.table.stores.watermark.spec.id) return
    store.spec.restore(new ByteReader(key, 1), value === null ? null : new ByteReader(value))
  }

  /** Once all rows are taken in; undefined where nothing is stored of the user. */
  end(): StoredUser | undefined {
    this.table.restored()
    return this.table.get(this.userId)
  }

  /** Event time at which the user's data was removed (an erasure, or less consent), ms; 0: not within the grace. */
  get withdrawnAt(): number {
    return this.table.withdrawals.get(this.userId)?.at ?? 0
  }

  /** Newest event time of the user's partition, ms. */
  get watermark(): number {
    return this.table.watermark.at
  }
}

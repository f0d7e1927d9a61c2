/**
 * In the item task: the catalog. An Item or a tombstone of the items topic becomes an exact row; every process follows it.
 *  - Withdrawal is state: `withdrawnAt` stays after the tombstone (or a blocked Item) until an Item with safety `ok` comes.
 *  - An item that expires is withdrawn by the clock: until an Item comes that expires later.
 *  - A withdrawal does not wait for the commit interval (`urgent`), and enters the set `blocked` with that commit.
 *  - `blocked` keeps an item for `blocked.life`: until no list that may still be read can hold it.
 */
import type { OptionValues } from '../../streams/options.ts'
import { ByteReader, ByteWriter } from '../../streams/serde/bytes.ts'
import type { Outbox } from '../../streams/topology/outbox.ts'
import type { Stage, TaskContext } from '../../streams/topology/stage.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { DueTimes } from '../due-times.ts'
import {
  type CatalogValue,
  readCatalogValue,
  unitVector,
  writeCatalogValue,
} from './catalog-rows.ts'
import type { ItemEvent } from './decode.ts'
import type { itemOptions } from './options.ts'
import { itemStores } from './stores.ts'

interface CatalogRow extends Row {
  readonly itemId: string
  /** The value as it stands on the log: a million objects would cost several times as much. */
  value: Buffer
  withdrawnAt: number
  /** Withdrawn only since it expired. */
  expired: boolean
  /** As it stands in the value; while the row is not withdrawn, `expiries` has it. */
  expiresAt: number | null
}

export type CatalogOptions = Pick<OptionValues<typeof itemOptions>, 'blocked.life'>

/** So many items expire with one commit; the next goes on. */
const EXPIRING_A_COMMIT = 2_000
/** So many expired members leave `blocked` with one commit. */
const EXPIRED_A_COMMIT = 1_000
/** Of a refill: members that one write takes out of `blocked`, and so many writes a commit. */
const CLEARED_AT_ONCE = 1_000
const CLEARED_A_COMMIT = 20

export function createCatalogStage(ctx: TaskContext, options: CatalogOptions): Stage<ItemEvent> {
  const life = options['blocked.life']
  const rows = new Map<string, CatalogRow>()
  const w = new ByteWriter(4096)
  const refused = ctx.metrics.counter('freshet_content_vectors_refused_total')
  /** Items whose membership of `blocked` is to be written. */
  let news = new Set<CatalogRow>()
  let urgent = false
  const expiries = new DueTimes<CatalogRow>()
  let expiredNow = 0
  /** Withdrawn rows in order of withdrawal, to leave `blocked` when their life is over. */
  let leaving: { row: CatalogRow; withdrawnAt: number; since: number }[] = []
  /** Rows left to look through: an older copy of the view store may hold them in `blocked` although they are back. */
  let unlooked: IterableIterator<CatalogRow> | undefined

  const store = new Store<CatalogRow>({
    id: itemStores.catalog,
    name: 'catalog',
    write: 'exact',
    writeKey: (row, to) => to.rawString(row.itemId),
    writeValue: (row, to) => to.raw(row.value),
    restore(key, value) {
      const itemId = key.rawString()
      if (value === null) {
        rows.delete(itemId)
        return
      }
      const bytes = Buffer.from(value.raw(value.left))
      const { withdrawnAt, expired = false, item } = readCatalogValue(new ByteReader(bytes))
      rows.set(itemId, {
        dirty: false,
        removed: false,
        itemId,
        value: bytes,
        withdrawnAt,
        expired,
        expiresAt: item?.expiresAt ?? null,
      })
    },
  })

  function contentOf(embedding: readonly number[] | null): Float32Array | null {
    if (embedding === null || embedding.length === 0) return null
    const unit = unitVector(embedding)
    if (unit === null) refused.add()
    return unit
  }

  function put({ itemId, item, at }: ItemEvent): void {
    const known = rows.get(itemId)
    const before = known ? readCatalogValue(new ByteReader(known.value)) : null
    const out = item === null || item.safety === 'blocked'
    const back = item !== null && item.safety === 'ok'
    const was = known?.withdrawnAt ?? 0
    const wasWithdrawn = known?.expired ? 0 : was
    // 1 for a record without a time: 0 would say "not withdrawn"
    let withdrawnAt = out ? wasWithdrawn || Math.max(1, at) : back ? 0 : wasWithdrawn
    const expiresAt = item?.expiresAt ?? null
    const expired = withdrawnAt === 0 && expiresAt !== null && expiresAt <= ctx.now()
    if (expired) withdrawnAt = known?.expired ? was : Math.max(1, known ? at : 0, expiresAt)
    const described = item ?? before?.item ?? null
    w.reset()
    writeCatalogValue(
      {
        withdrawnAt,
        expired,
        restrictedAt: item === null ? before?.restrictedAt : restrictedAt(item.safety, at, before),
        item: described,
        content: item ? contentOf(item.embedding) : (before?.content ?? null),
      },
      w,
    )
    const value = w.copy()
    const row = known ?? {
      dirty: false,
      removed: false,
      itemId,
      value,
      withdrawnAt: 0,
      expired,
      expiresAt: null,
    }
    if (!known) rows.set(itemId, row)
    const isQueued = was === 0 && row.expiresAt === expiresAt
    row.value = value
    row.expired = expired
    row.expiresAt = described?.expiresAt ?? null
    if (expiresAt !== null && withdrawnAt === 0 && !isQueued) expiries.add(expiresAt, row)
    moved(row, withdrawnAt)
  }

  /** No list has it: it was so when it first came, or it left `blocked` since. */
  const isLongExpired = (row: CatalogRow): boolean =>
    row.expired && row.withdrawnAt <= ctx.now() - life

  /** The row's value is new; so may be whether it is withdrawn. */
  function moved(row: CatalogRow, withdrawnAt: number): void {
    const was = row.withdrawnAt
    row.withdrawnAt = withdrawnAt
    store.touch(row)
    if (was === withdrawnAt) return
    if (isLongExpired(row)) return
    news.add(row)
    // items expire all day: they go with the commits that there are
    if (!row.expired) urgent = true
    // by our clock: a record may be dated by another's, and lists live by ours
    if (withdrawnAt !== 0) leaving.push({ row, withdrawnAt, since: ctx.now() })
  }

  function expire(row: CatalogRow, at: number): void {
    // stale: another Item came since, or a tombstone
    if (row.withdrawnAt !== 0 || row.expiresAt !== at) return
    const value = readCatalogValue(new ByteReader(row.value))
    w.reset()
    writeCatalogValue({ ...value, withdrawnAt: Math.max(1, at), expired: true }, w)
    row.value = w.copy()
    row.expired = true
    expiredNow++
    moved(row, Math.max(1, at))
  }

  /** Members that may stand in `blocked`, in order of withdrawal: whether one past its life has left is not recorded. */
  function blockedRows(): CatalogRow[] {
    const long = ctx.now() - 2 * life
    return [...rows.values()]
      .filter(row => row.withdrawnAt > long)
      .sort((a, b) => a.withdrawnAt - b.withdrawnAt)
  }

  function clearReturned(unlookedRows: IterableIterator<CatalogRow>, out: Outbox): void {
    for (let n = 0; n < CLEARED_A_COMMIT; n++) {
      const members: string[] = []
      while (members.length < CLEARED_AT_ONCE) {
        const { done, value: row } = unlookedRows.next()
        if (done) {
          unlooked = undefined
          break
        }
        if (row.withdrawnAt <= ctx.now() - life) members.push(row.itemId)
      }
      if (members.length > 0) out.view({ op: 'zclear', key: 'blocked', members })
      if (unlooked === undefined) return
    }
  }

  return {
    name: 'catalog',
    stores: [store],
    process(event) {
      put(event)
      return undefined
    },
    tick() {
      const now = ctx.now()
      while (expiredNow < EXPIRING_A_COMMIT) {
        const due = expiries.take(now)
        if (due === undefined) break
        expire(due.what, due.at)
      }
      return false
    },
    urgent: () => urgent,
    flush(out) {
      urgent = false
      expiredNow = 0
      for (const row of news)
        if (row.withdrawnAt !== 0)
          out.view({ op: 'zadd', key: 'blocked', member: row.itemId, score: row.withdrawnAt })
        else out.view({ op: 'zrem', key: 'blocked', member: row.itemId })
      news = new Set()
      if (unlooked !== undefined) clearReturned(unlooked, out)
      const over = ctx.now() - life
      let n = 0
      while (n < leaving.length && n < EXPIRED_A_COMMIT && leaving[n].since < over) n++
      if (n === 0) return
      for (const { row, withdrawnAt } of leaving.slice(0, n))
        if (row.withdrawnAt === withdrawnAt)
          out.view({ op: 'zrem', key: 'blocked', member: row.itemId })
      leaving = leaving.slice(n)
    },
    refill() {
      const from = ctx.now() - life
      for (const row of blockedRows()) if (row.withdrawnAt > from) news.add(row)
      unlooked = rows.values()
      urgent = true
    },
    refilling: () => unlooked !== undefined || news.size > 0,
    restored(last) {
      const now = ctx.now()
      leaving = blockedRows().map(row => {
        const { withdrawnAt } = row
        return { row, withdrawnAt, since: Math.min(withdrawnAt, now) }
      })
      for (const row of rows.values())
        if (row.withdrawnAt === 0 && row.expiresAt !== null) expiries.add(row.expiresAt, row)
      for (const { store: id, key } of last) {
        const row = id === itemStores.catalog ? rows.get(key.toString()) : undefined
        if (row && !isLongExpired(row)) news.add(row)
      }
    },
  }
}

/** Of an item that came at `at`. Who was restricted from the first has never been in a list that must not show such. */
function restrictedAt(safety: string, at: number, before: CatalogValue | null): number {
  if (safety !== 'restricted' || !before?.item) return 0
  return before.item.safety === 'ok' ? Math.max(1, at) : (before.restrictedAt ?? 0)
}

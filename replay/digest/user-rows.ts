/**
 * The sessions and labels of a user task's rows as they are meant, whenever its sweeps came by: what has expired by the
 * task's watermark is left out, and a label whose time has come counts as given, whether or not its row says so yet.
 *
 * Left out, since they are not functions of the record order: offsets, revisions, which row a play stands in, what was shown
 * (soft), and what erasures still have to tell.
 */
import { ByteReader } from '../../streams/serde/bytes.ts'
import type { Row, Store } from '../../streams/topology/store.ts'
import { labelTimes } from '../../topologies/labels/options.ts'
import { type LabelEntry, RETURNING, UNPLAYED, WAITING } from '../../topologies/labels/pending.ts'
import { createLabelStores } from '../../topologies/labels/rows.ts'
import type { TopologyOptions } from '../../topologies/options.ts'
import type { SessionState } from '../../topologies/sessions/session.ts'
import { parseCreatorWeights } from '../../topologies/user/creator-weights.ts'
import { APART, COLUMNS, playFlags, playItem, STRIDE } from '../../topologies/user/plays.ts'
import { USER_STORES } from '../../topologies/user/store-ids.ts'
import type { StoredUser } from '../../topologies/user/stored-user.ts'
import {
  itemOfExclusion,
  timeOfExclusion,
  type UserState,
} from '../../topologies/user/user-state.ts'
import { UserTable } from '../../topologies/user/users.ts'
import type { ExactRow } from './digest.ts'
import { itemNames } from './item-names.ts'

export type UserOptions = Pick<
  TopologyOptions,
  | 'session.gap'
  | 'late.grace'
  | 'labels.slack'
  | 'labels.startWithin'
  | 'labels.joinWithin'
  | 'labels.silence'
  | 'labels.longest'
  | 'labels.objectives'
  | 'labels.returnWithin'
>

/** Rows that are nobody's without a row of their user's own. What was shown may outlive its user. */
const partsOfUsers: ReadonlySet<number> = new Set([
  USER_STORES.plays,
  USER_STORES.positives,
  USER_STORES.exclusions,
  USER_STORES.doubles,
  USER_STORES.approvals,
  USER_STORES.labelRequests,
  USER_STORES.labelEntries,
])

export class UserRows {
  private readonly options: UserOptions
  private readonly items = itemNames()
  private readonly table: UserTable
  private readonly stores = new Map<number, Store<Row>>()
  private readonly labelStores
  private readonly quantiles: string[] = []
  /** To tell those whose user is gone. */
  private readonly parts: ExactRow[] = []

  constructor(options: UserOptions) {
    this.options = options
    this.table = new UserTable({
      items: this.items,
      gapMs: options['session.gap'],
      graceMs: options['late.grace'],
      repeatAfterMs: Number.POSITIVE_INFINITY,
      creatorWeights: parseCreatorWeights(''),
    })
    this.labelStores = createLabelStores(this.table, this.items)
    const stores = [
      ...Object.values(this.table.stores),
      this.labelStores.requests,
      this.labelStores.entries,
    ] as unknown as Store<Row>[]
    for (const store of stores) this.stores.set(store.spec.id, store)
  }

  take(row: ExactRow): void {
    const { store, key, value } = row
    if (store === USER_STORES.labelQuantiles) {
      this.quantiles.push(`quantiles ${key.toString('hex')} ${value.toString('hex')}`)
      return
    }
    if (store === USER_STORES.shown) return
    if (partsOfUsers.has(store)) this.parts.push(row)
    this.stores.get(store)?.spec.restore(new ByteReader(key), new ByteReader(value))
  }

  /** All rows were given. */
  end(session: (text: string) => void, label: (text: string) => void): void {
    const { table } = this
    table.restored()
    const pending: string[] = []
    this.labelStores.restored(entry => {
      const text = this.pending(entry)
      if (text !== undefined) pending.push(text)
    })
    for (const { store, key, value } of this.parts) {
      if (table.directory.find(new ByteReader(key).string()) >= 0) continue
      const isLabel = store === USER_STORES.labelRequests || store === USER_STORES.labelEntries
      const say = isLabel ? label : session
      say(`of nobody ${store} ${key.toString('hex')} ${value.toString('hex')}`)
    }
    session(JSON.stringify(['watermark', table.watermark.at]))
    for (const { userId, at } of table.withdrawals.values())
      if (at >= this.horizon) session(JSON.stringify(['withdrawn', userId, at]))
    for (const user of table.values()) session(this.user(user))
    for (const text of [...pending, ...this.quantiles]) label(text)
  }

  /** What ended before this is changed by nothing any more. */
  private get horizon(): number {
    return this.table.watermark.at - this.options['late.grace']
  }

  private user(stored: StoredUser): string {
    const user = stored.state
    const older = (user.older ?? []).filter(
      session => session.lastEventAt + this.options['session.gap'] >= this.horizon,
    )
    return JSON.stringify([
      'user',
      user.id,
      user.cohort,
      user.surface,
      user.lastSeenAt,
      this.session(user.session),
      older.map(session => this.session(session)),
      this.plays(user),
      Array.from({ length: user.length }, (_, k) => [this.nameOf(user.item(k)), user.at(k)]),
      this.marks(user.excluded?.values),
      this.marks(user.approved?.values),
      user.lastSeenAt < this.horizon ? [] : (user.seen?.values ?? []),
    ])
  }

  private session(session: SessionState): unknown[] {
    const { startedAt, lastEventAt, impressions, watches, positives } = session
    const { watchedMs, completes, skips } = session
    const items = session.items.map(item => this.nameOf(item))
    return [
      startedAt,
      lastEventAt,
      impressions,
      watches,
      positives,
      watchedMs,
      completes,
      skips,
      items,
    ]
  }

  private plays({ plays }: UserState): unknown[] {
    const entries: [number, number, ...unknown[]][] = []
    for (let at = 0; at < plays.length; at += STRIDE) {
      if (this.table.playExpired(plays, at)) continue
      entries.push([
        plays[at + COLUMNS.HASH],
        plays[at + COLUMNS.FIRST],
        plays[at + COLUMNS.LAST],
        plays[at + COLUMNS.WATCHED],
        this.nameOf(playItem(plays, at)),
        playFlags(plays, at) & ~APART,
        plays[at + COLUMNS.SEQ],
      ])
    }
    return entries.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  }

  private marks(values: readonly number[] = []): unknown[] {
    return values.map(value => [this.nameOf(itemOfExclusion(value)), timeOfExclusion(value)])
  }

  private nameOf(item: number): string {
    return this.items.idOf(item)
  }

  /** Undefined: nothing is waited for any more. As the labels stage settles an entry. */
  private pending(entry: LabelEntry): string | undefined {
    const times = labelTimes(this.options)
    const passed = this.table.watermark.at - this.options['labels.slack']
    const isOver = (): boolean => passed > entry.deadline(times)
    if (entry.state === WAITING && isOver()) {
      entry.told = true
      entry.state = UNPLAYED
    }
    if (entry.state !== RETURNING && isOver()) {
      entry.told = true
      if (times.returnWithinMs === 0) return undefined
      entry.state = RETURNING
    }
    if (entry.state === RETURNING && (entry.returned || isOver())) return undefined
    const { request } = entry
    const { policy, model, surface, cohort, listVersion, experiments } = request
    return JSON.stringify([
      'pending',
      request.user.id,
      request.requestId,
      request.openedAt,
      [policy, model, surface, cohort, listVersion, Object.entries(experiments).sort()],
      this.nameOf(entry.item),
      entry.shownAt,
      [entry.position, entry.propensity, entry.prediction, entry.explore, entry.source],
      [entry.state, entry.told, entry.positive, entry.ended, entry.keptMarks, entry.quantileParts],
      [entry.play, entry.watchedMs, entry.durationMs, entry.heardAt],
    ])
  }
}

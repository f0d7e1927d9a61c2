/**
 * An erasure that is under way, as it stands on the changelog until its proof has left. Layout: user id and time asked in the
 * key; rows found in the task's state, views that are deleted, newest event time of the user that may be in tables, and the
 * processing time, as uints.
 */
import { type Row, Store } from '../../streams/topology/store.ts'

const STORE = 30

export class PendingErasure implements Row {
  dirty = false
  removed = false
  readonly userId: string
  /** Event time of the erasure, ms. */
  readonly asked: number
  /** Of the user in the task's state: itself, and impressions that waited for their label; 0: not known here. */
  readonly found: number
  /** Still there after the removal; never, or it is told. */
  readonly left: number
  readonly views: number
  /** Rows of `examples` up to this event time go, ms. */
  readonly examplesUntil: number
  /** Rows of `slates`, whose time is processing time, ms. */
  readonly slatesUntil: number
  /** What was to be deleted has been acknowledged. */
  delivered = false
  /** It has been told to the tables. */
  told = false

  constructor(
    from: Pick<
      PendingErasure,
      'userId' | 'asked' | 'found' | 'left' | 'views' | 'examplesUntil' | 'slatesUntil'
    >,
  ) {
    this.userId = from.userId
    this.asked = from.asked
    this.found = from.found
    this.left = from.left
    this.views = from.views
    this.examplesUntil = from.examplesUntil
    this.slatesUntil = from.slatesUntil
  }
}

/** `restored` gets rows as they come off the log, by name, and undefined for those that are done. */
export function erasureStore(
  restored: (name: string, erasure: PendingErasure | undefined) => void,
): Store<PendingErasure> {
  return new Store<PendingErasure>({
    id: STORE,
    name: 'erasures',
    write: 'exact',
    writeKey: (row, w) => void w.string(row.userId).uint(row.asked),
    writeValue: (row, w) =>
      void w
        .uint(row.found)
        .uint(row.left)
        .uint(row.views)
        .uint(row.examplesUntil)
        .uint(row.slatesUntil),
    restore(key, value) {
      const userId = key.string()
      const asked = key.uint()
      const name = JSON.stringify([userId, asked])
      if (value === null) restored(name, undefined)
      else
        restored(
          name,
          new PendingErasure({
            userId,
            asked,
            found: value.uint(),
            left: value.uint(),
            views: value.uint(),
            examplesUntil: value.uint(),
            slatesUntil: value.uint(),
          }),
        )
    },
  })
}

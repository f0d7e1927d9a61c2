/**
 * An erasure that is under way, as it stands on the changelog until its proof has left. Layout: user id and time asked in the
 * key; rows found in the task's state, those left, and views that are deleted, as uints. Soft: what is lost with a crash is
 * only told again as it was asked, never as done.
 */
import { type Row, Store } from '../../streams/topology/store.ts'

export const ERASURE_STORE = 30

export class PendingErasure implements Row {
  dirty = false
  removed = false
  readonly userId: string
  /** Event time, ms. */
  readonly asked: number
  /** Of the user in the task's state: itself, and impressions that waited for their label; 0: not known here. */
  readonly found: number
  readonly left: number
  readonly views: number
  /** What was to be deleted has been acknowledged. */
  delivered = false

  constructor(from: Pick<PendingErasure, 'userId' | 'asked' | 'found' | 'left' | 'views'>) {
    this.userId = from.userId
    this.asked = from.asked
    this.found = from.found
    this.left = from.left
    this.views = from.views
  }
}

/** `restored` gets rows as they come off the log, by name, and undefined for those that are done. */
export function erasureStore(
  restored: (name: string, erasure: PendingErasure | undefined) => void,
): Store<PendingErasure> {
  return new Store<PendingErasure>({
    id: ERASURE_STORE,
    name: 'erasures',
    write: { everyMs: 0 },
    writeKey: (row, w) => void w.string(row.userId).uint(row.asked),
    writeValue: (row, w) => void w.uint(row.found).uint(row.left).uint(row.views),
    restore(key, value) {
      const userId = key.string()
      const asked = key.uint()
      const name = JSON.stringify([userId, asked])
      if (value === null) restored(name, undefined)
      else {
        const [found, left, views] = [value.uint(), value.uint(), value.uint()]
        restored(name, new PendingErasure({ userId, asked, found, left, views }))
      }
    },
  })
}

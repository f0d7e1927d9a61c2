/**
 * How much of an item was watched, compared with what others watch of items about as long: the share watched alone makes
 * long items lose (of 20 minutes half is much, of 20 seconds it is little).
 *
 *  - Q1 Integer counts of plays by duration band and share watched; each play counts once, with its last heartbeat.
 *  - Q2 Counted and asked in the order of the task's records, of the task's own users alone: labels stay a function of that
 *       order. Users are dealt to tasks by hash, so each task sees a fair sample; counts of several add up.
 *  - Q3 A band's counts are halved once they reach a million, so that it follows what is watched now.
 *
 * Quantile of share x in a band of n other plays, of which b are in lower cells and e in its own: (b + e/2 + 20 x) / (n + 20):
 * the mid-rank, drawn to the share itself as long as there are few plays.
 */
import { FreshetError } from '../../streams/errors.ts'
import { type Row, Store } from '../../streams/topology/store.ts'
import { USER_STORES } from '../user/store-ids.ts'

/** Shares in 50 cells, and one for all of it. */
const cells = 51
/** 0: duration unknown; then up to 15 s, 30 s, ... doubling, the last over 4 h. */
const bands = 13
const firstBandMs = 7_500
/** Of an unknown duration the share is watched / (watched + 30 s). */
const unknownHalfMs = 30_000
const priorPlays = 20
const halvedAt = 1_000_000
const layout = 1

interface Band extends Row {
  readonly number: number
  readonly counts: Float64Array
  total: number
}

export class ShareQuantiles {
  readonly store: Store<Band>
  private readonly bands: readonly Band[]

  constructor() {
    this.bands = Array.from({ length: bands }, (_, number) => ({
      number,
      counts: new Float64Array(cells),
      total: 0,
      dirty: false,
      removed: false,
    }))
    this.store = new Store<Band>({
      id: USER_STORES.labelQuantiles,
      name: 'label-quantiles',
      write: 'exact',
      writeKey: (band, w) => w.u8(band.number),
      writeValue(band, w) {
        w.u8(layout)
        for (const count of band.counts) w.uint(count)
      },
      restore: (key, value) => {
        const band = this.bands[key.u8()]
        const found = value?.u8() ?? layout
        if (found !== layout || band === undefined)
          throw new FreshetError(
            'CHANGELOG_NEWER',
            `a row of label quantiles has layout ${found}; this version reads layout ${layout} and ${bands} bands: run the version that wrote it or newer`,
          )
        band.total = 0
        for (let cell = 0; cell < cells; cell++) {
          band.counts[cell] = value === null ? 0 : value.uint()
          band.total += band.counts[cell]
        }
      },
    })
  }

  /** A play was heard for the first time; gives the quantile of what was watched, in (0, 1]; 0 where nothing was. */
  add(watchedMs: number, durationMs: number): number {
    const band = this.bands[bandOf(durationMs)]
    const share = shareOf(watchedMs, durationMs)
    const quantile = quantileOf(band, share)
    band.counts[cellOf(share)]++
    if (++band.total >= halvedAt) halve(band)
    this.store.touch(band)
    return watchedMs > 0 ? quantile : 0
  }

  /** As `add`, for a play that was counted with other values before. */
  move(beforeMs: number, beforeDurationMs: number, watchedMs: number, durationMs: number): number {
    const band = this.bands[bandOf(beforeDurationMs)]
    const cell = cellOf(shareOf(beforeMs, beforeDurationMs))
    // it may have been halved away
    if (band.counts[cell] > 0) {
      band.counts[cell]--
      band.total--
      this.store.touch(band)
    }
    return this.add(watchedMs, durationMs)
  }
}

/** Number of the band of like durations; ms. */
function bandOf(durationMs: number): number {
  if (durationMs <= 0) return 0
  const doublings = Math.floor(Math.log2(durationMs / firstBandMs))
  return 1 + Math.min(bands - 2, Math.max(0, doublings))
}

function shareOf(watchedMs: number, durationMs: number): number {
  return durationMs > 0
    ? Math.min(1, watchedMs / durationMs)
    : watchedMs / (watchedMs + unknownHalfMs)
}

function cellOf(share: number): number {
  return Math.floor(share * (cells - 1))
}

function quantileOf(band: Band, share: number): number {
  const own = cellOf(share)
  let below = 0
  for (let cell = 0; cell < own; cell++) below += band.counts[cell]
  return (below + band.counts[own] / 2 + priorPlays * share) / (band.total + priorPlays)
}

function halve(band: Band): void {
  band.total = 0
  for (let cell = 0; cell < cells; cell++) {
    band.counts[cell] = Math.floor(band.counts[cell] / 2)
    band.total += band.counts[cell]
  }
}

/**
 * The features that a user's lists were ranked with, until their impressions have come: examples and drift show what was
 * served, not what would be computed later. In memory alone: a restart forgets them.
 *
 *  - S1 A list is found by user, surface and version, so by exactly one draw. Lists of cohorts, of an earlier owner of the
 *       task, and those that `freshet rebuild redis` wrote are not known here.
 *  - S2 A list is kept while it is its surface's newest and for 30 s after: a reader may have fetched it just before. If an
 *       impression of it has come, its reader pages through a copy: then until none has come for the session gap.
 *  - S3 What memory does not hold has no features (memory.ts), and each impression without is counted by its reason.
 *  - S4 Where they are recomputed (a replay, which draws lists of its own), a list that an impression names is taken for
 *       one of those kept here when it is first named, so its items have the features of a draw at that moment; items that
 *       were not drawn have those of now.
 */
import type { Metrics } from '../../streams/metrics.ts'
import { featureCount } from '../blend/features.ts'
import type { ImpressionEvent } from '../user/event.ts'
import type { KeptList, ServedMemory } from './memory.ts'
import {
  findRow,
  itemAt,
  packRows,
  type RankedItems,
  textOfRow,
  unpackRow,
  unpackText,
} from './packed-rows.ts'
import type { Recompute } from './recompute.ts'

const unseenMs = 30_000

const reasons = [
  /** The impression names no list. */
  'no_version',
  /** Not one that is kept: another's, from before a restart, or too long ago. */
  'list_unknown',
  'not_in_list',
  /** Ranked by the fixed mix. */
  'not_computed',
  /** Its first row has the features, the row with its label has not. */
  'no_room',
  /** It waited for its label when the task was restored. */
  'restart',
] as const
type Reason = (typeof reasons)[number]

interface ServedDeps {
  readonly memory: ServedMemory
  /** Processing time, ms. */
  readonly now: () => number
  readonly gapMs: number
  readonly metrics: Metrics
  /** S4; undefined: what is not known has no features. */
  readonly recompute?: Recompute
}

/** A list that has not left yet. */
interface Drawn {
  readonly surface: string
  readonly rows: Uint32Array | null
}

/** Where an impression's row stands. */
interface Found {
  readonly rows: Uint32Array
  readonly at: number
}

export class ServedFeatures {
  private readonly deps: ServedDeps
  private readonly byUser = new Map<string, KeptList[]>()
  private readonly drawnFor = new Map<string, Drawn[]>()
  private readonly row = new Float32Array(featureCount)
  /** S4: of the impression at that offset. */
  private recomputedAt = -1
  private recomputed: Uint32Array | undefined
  private readonly without: Readonly<Record<Reason, { add(n?: number): void }>>
  private readonly evicted
  private readonly bytes

  constructor(deps: ServedDeps) {
    const { metrics } = deps
    this.deps = deps
    this.evicted = metrics.counter('freshet_served_features_evicted_total')
    this.bytes = metrics.gauge('freshet_served_features_bytes')
    this.without = Object.fromEntries(
      reasons.map(reason => [
        reason,
        metrics.counter('freshet_examples_without_features_total', { reason }),
      ]),
    ) as Record<Reason, { add(n?: number): void }>
  }

  /** A list was drawn; a newer one of the surface before the commit takes its place. @param matrix undefined: without. */
  drawn(userId: string, surface: string, ranked: RankedItems, matrix?: Float32Array): void {
    const list = { surface, rows: matrix === undefined ? null : packRows(ranked, matrix) }
    const others = this.drawnFor.get(userId)
    if (others === undefined) this.drawnFor.set(userId, [list])
    else
      this.drawnFor.set(userId, [...others.filter(other => other.surface !== list.surface), list])
  }

  /** The user's lists leave with the next commit, as `version`. */
  left(userId: string, version: string): void {
    const drawn = this.drawnFor.get(userId)
    if (drawn === undefined) return
    const { memory } = this.deps
    const now = this.deps.now()
    for (const { surface, rows } of drawn) {
      this.supersede(userId, surface, now)
      const list = { userId, surface, version, rows, supersededAt: 0, seenAt: 0, leave: this.leave }
      const kept = this.byUser.get(userId)
      if (kept === undefined) this.byUser.set(userId, [list])
      else kept.push(list)
      memory.add(list)
    }
  }

  /** Whatever did not leave with the commit goes to nobody. */
  endCommit(): void {
    const { memory } = this.deps
    this.drawnFor.clear()
    this.bytes.set(memory.bytes)
    // of the whole process: whichever task comes first tells it
    this.evicted.add(memory.takeEvicted())
  }

  /** S2. */
  private supersede(userId: string, surface: string, now: number): void {
    const { memory, gapMs } = this.deps
    for (const list of [...(this.byUser.get(userId) ?? [])]) {
      if (list.surface !== surface) continue
      list.supersededAt ||= now
      const isOver =
        list.seenAt > 0 ? now - list.seenAt > gapMs : now - list.supersededAt > unseenMs
      if (isOver) memory.drop(list)
    }
  }

  private readonly leave = (list: KeptList): void => {
    const kept = this.byUser.get(list.userId)
    const at = kept?.indexOf(list) ?? -1
    if (kept === undefined || at < 0) return
    if (kept.length === 1) this.byUser.delete(list.userId)
    else kept.splice(at, 1)
  }

  /** The impression's features as they were when its list was ranked, in the registry's order. Valid until the next call. */
  of(event: ImpressionEvent): Float32Array | undefined {
    const found = this.find(event)
    if (typeof found === 'string') return undefined
    unpackRow(found.rows, found.at, this.row)
    return this.row
  }

  /** As `of`, packed: to be kept while the label is waited for, and let go with `release`. '' where there are none. */
  hold(event: ImpressionEvent): string {
    const found = this.find(event)
    if (typeof found === 'string') {
      this.without[found].add()
      return ''
    }
    const text = textOfRow(found.rows, found.at)
    if (this.deps.memory.hold(text)) return text
    this.without.no_room.add()
    return ''
  }

  /** Of what `hold` gave. Valid until the next call. */
  unpack(held: string): Float32Array {
    unpackText(held, this.row)
    return this.row
  }

  release(held: string): void {
    if (held !== '') this.deps.memory.release(held)
  }

  private find(impression: ImpressionEvent): Found | Reason {
    const { userId, item, event } = impression
    const { listVersion, surface } = event
    if (!listVersion) return 'no_version'
    const own = this.byUser.get(userId)?.filter(kept => kept.surface === surface) ?? []
    const list =
      own.find(kept => kept.version === listVersion || kept.standsFor?.has(listVersion)) ??
      this.standIn(own, impression)
    if (list === undefined) return this.anew(impression) ?? 'list_unknown'
    list.seenAt = this.deps.now()
    this.deps.memory.used(list)
    if (list.rows === null) return 'not_computed'
    const at = findRow(list.rows, item)
    return at < 0 ? (this.anew(impression) ?? 'not_in_list') : { rows: list.rows, at }
  }

  /**
   * S4: who takes the name of a list that was drawn elsewhere: the newest with the item in the same place, since chance is a
   * hash of what the list answers, so that the same draw comes out alike; else the newest that has the item; else the newest.
   */
  private standIn(
    own: readonly KeptList[],
    { item, event }: ImpressionEvent,
  ): KeptList | undefined {
    if (this.deps.recompute === undefined || own.length === 0) return undefined
    const newestFirst = [...own].reverse()
    const place = event.listIndex ?? -1
    const found =
      newestFirst.find(({ rows }) => rows !== null && place >= 0 && itemAt(rows, place) === item) ??
      newestFirst.find(({ rows }) => rows !== null && findRow(rows, item) >= 0) ??
      newestFirst[0]
    found.standsFor ??= new Set()
    found.standsFor.add(event.listVersion ?? '')
    return found
  }

  /** S4. */
  private anew(impression: ImpressionEvent): Found | undefined {
    const { recompute } = this.deps
    if (recompute === undefined) return undefined
    // asked for more than once an impression
    if (this.recomputedAt !== impression.offset) {
      this.recomputedAt = impression.offset
      this.recomputed = recompute.row(impression)
    }
    return this.recomputed && { rows: this.recomputed, at: 1 }
  }

  /** The user's data is removed. */
  forget(userId: string): void {
    this.drawnFor.delete(userId)
    for (const list of [...(this.byUser.get(userId) ?? [])]) this.deps.memory.drop(list)
  }

  /** Impressions whose features a restart has lost. */
  lost(impressions: number): void {
    this.without.restart.add(impressions)
  }
}

/**
 * A user as the stages of a user task hold it, whether its state stands unpacked or as bytes. The same object as long as
 * anyone may hold on to it (`idle`); small on purpose: 80 B, and what it names.
 */
import type { LabelEntry } from '../labels/pending.ts'
import type { SessionState } from '../sessions/session.ts'
import type { CreatorWeights } from './creator-weights.ts'
import type { PositiveHistory, User, UserScratch } from './user.ts'
import type { UserState } from './user-state.ts'

/** What users need to know of their surroundings; one object for all stored users of a task, one for those in passing. */
export interface Surroundings {
  /** False for consent `contextual`: in memory only. */
  readonly stored: boolean
  readonly settings: {
    /** How long a finished item stays out of the lists, ms: Infinity never comes back, 0 may come at once. */
    readonly repeatAfterMs: number
    readonly creatorWeights: CreatorWeights
  }
  /** Newest event time of the partition, ms. */
  watermark(): number
  /** Index of an item's creator; -1 unknown. */
  creatorOf(item: number): number
  /** The state of a packed user; it counts as active from now on. */
  unpack(user: StoredUser): UserState
  /** Time and offset of a packed user's newest event. */
  packedTimes(user: StoredUser): { readonly lastSeenAt: number; readonly lastOffset: number }
}

export class StoredUser implements User {
  readonly id: string
  readonly around: Surroundings
  /** Erased, or known only in passing: its rows are tombstones. */
  gone = false
  /** null: packed. */
  unpacked: UserState | null
  /** Its place in the directory; -1: known only in passing. */
  readonly entry: number
  /** Rows that are views into it and not written yet. */
  rowsWaiting = 0
  /** Impressions whose outcome is not known yet, oldest first; kept by the labels stage. */
  pendingLabels: LabelEntry[] | null = null
  private slots: UserScratch | null = null

  /** Packed; a user that is new is given its state. */
  constructor(id: string, around: Surroundings, entry: number) {
    this.id = id
    this.around = around
    this.entry = entry
    this.unpacked = null
  }

  /** Nothing but its bytes need be kept. */
  get idle(): boolean {
    return (
      this.unpacked === null &&
      this.pendingLabels === null &&
      this.slots === null &&
      this.rowsWaiting === 0
    )
  }

  /** Valid until the next `tick`, longer only while it has changes that are not committed. */
  get state(): UserState {
    return this.unpacked ?? this.around.unpack(this)
  }

  get stored(): boolean {
    return this.around.stored
  }

  get session(): SessionState {
    return this.state.session
  }

  get positives(): PositiveHistory {
    return this.state
  }

  get shown(): User['shown'] {
    return this.state
  }

  excludes(item: number): boolean {
    return this.state.excludes(item)
  }

  creatorWeight(creator: number): number {
    return this.state.creatorWeight(creator)
  }

  get lastSeenAt(): number {
    return this.state.lastSeenAt
  }

  get cohort(): string {
    return this.state.cohort
  }

  get surface(): string {
    return this.state.surface
  }

  get lastOffset(): number {
    return (this.unpacked ?? this.around.packedTimes(this)).lastOffset
  }

  get scratch(): UserScratch {
    this.slots ??= {}
    return this.slots
  }
}
